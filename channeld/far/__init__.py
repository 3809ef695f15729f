"""Floor 3: a channel's stream over a connection to elsewhere: frames, seal, compression, and both ends' part of the conversation.

Rule: sans-I/O, and of the standard library alone until a seal or compression is asked for; docs/attach-proxy.md has it byte by byte.
"""
