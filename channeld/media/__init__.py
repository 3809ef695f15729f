"""Floor 3: probing clips and conforming them to a channel's house format, once."""
