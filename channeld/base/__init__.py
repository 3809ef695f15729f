"""Floor 0: units, errors, clocks, threads and the wire between processes. Imports nothing of the project."""
