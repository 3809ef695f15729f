"""Floor 4: live sources, each taken in by a process of its own that conforms it as it comes."""
