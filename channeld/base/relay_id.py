"""The number of a relay, and the id of the channel that it is.

Rule: said here alone, for those who make the channel and those who serve it by the relay's address. Pure.
"""

import re

_CHANNEL = re.compile(r"relay-([1-9][0-9]{0,15})")
_NUMBER = re.compile(r"[1-9][0-9]{0,15}")


def channel_of(config_id: int) -> str:
    """The id of a relay's channel."""
    return f"relay-{config_id}"


def channel_by(written: str) -> str | None:
    """The channel of a relay whose number stands in an address; None for what is no number of one."""
    return f"relay-{written}" if _NUMBER.fullmatch(written) else None


def config_of(channel: str) -> int | None:
    """The relay that a channel is of; None for one that is none."""
    found = _CHANNEL.fullmatch(channel)
    return int(found[1]) if found is not None else None
