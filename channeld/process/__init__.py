"""Floor 2: children, FIFOs and the holder that owns both."""
