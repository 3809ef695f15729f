"""Floor 4: the playout host, the process that splices and publishes for many channels."""
