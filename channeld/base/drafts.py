"""Names of files that are being written, so that what a killed run left can be told from what others own.

Rule: a draft lies beside its target, hidden, and its name says whose it is and for what. Pure.
"""

import re

_SHOWN_CHARACTERS = 40  # of the target's name: a file name holds 255 bytes
_RANDOM = re.compile(r"[a-z0-9_]{8}")  # tempfile's


def draft_prefix(target: str) -> str:
    """What tempfile is to begin a draft's name with; it adds eight characters of its own."""
    return f".{target[:_SHOWN_CHARACTERS]}.channeld-"


def is_draft_of(name: str, target: str) -> bool:
    """Whether a file of this name was to become that one."""
    prefix = draft_prefix(target)
    return name.startswith(prefix) and _RANDOM.fullmatch(name[len(prefix) :]) is not None
