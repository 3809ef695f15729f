"""Floor 1: MPEG transport streams, sans I/O: packets, tables, clip index, splicer."""
