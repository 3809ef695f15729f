"""Relay profiles: what a user may have FFmpeg do with an upstream, and the arguments that come of it."""
