"""channeld: playlist files become television that never stops."""

__version__ = "0.1.0"
