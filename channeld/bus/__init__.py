"""Floor 3: the channel's cyclic buffer in a memfd: one writer, any number of readers."""
