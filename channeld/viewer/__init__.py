"""A channel in an ordinary player of this machine: mpv, VLC, ffplay, or another program that plays its stdin.

Rule: nothing of the daemon's is imported, only the client library: who watches is no part of what airs.
"""
