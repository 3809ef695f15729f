"""Floor 4: the playout host, the process that splices and publishes for many channels.

It imports only base, telemetry, ts, bus and itself: nothing that parses, serves or stores can share its GIL.
"""
