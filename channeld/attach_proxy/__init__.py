"""Floor 5: `channeld attach-proxy`: channels for readers on the far side of a socket that is forwarded."""
