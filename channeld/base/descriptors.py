"""How many descriptors a process may have open: as many as it is allowed, not the 1,024 that shells and service managers give first.

Rule: called once, at the start of a process that serves many: readers, viewers or children.
"""

import contextlib
import resource


def widen_descriptors() -> None:
    """Raise the soft limit to the hard one; what cannot be raised stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
