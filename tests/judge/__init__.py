"""Independent judges of streams: what a viewer's decoder would object to, found without any code of the daemon.

Rule: nothing here imports channeld; every format is read from its specification, so that one mistake is not made twice.
"""
