"""Floor 6: a channel's state and the supervisor that drives it."""
