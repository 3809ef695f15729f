"""Real peers to hold relays against: sources over every protocol, an RTMP origin, and bad lines between. See `fixtures`."""
