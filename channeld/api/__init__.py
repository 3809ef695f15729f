"""Floor 8: the admin HTTP interface and the media workers that serve viewers."""
