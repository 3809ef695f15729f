"""Many viewers of one endless stream, in one process: what a server gives them, measured from their side."""
