"""A channel's list as the daemon tells it, and how its entries are named on the command line.

Rule: all of it is of one ETag, however many pages it has: the edit that follows is of just that list.
"""

from dataclasses import dataclass
from typing import Any

from channeld.base.errors import ConfigError
from channeld.cli_client import AdminClient, Conflict, channel_route

PAGE = 5_000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Listed:
    """The list and its ETag; `entries` is all of them, or the first only."""

    channel: str
    document: dict[str, Any]
    entries: list[dict[str, Any]]
    tag: str

    def at(self, revision: int | None) -> "Listed":
        """Itself. Raises Conflict when it is not at that revision any more."""
        present = self.document["revision"]
        if revision is not None and revision != present:
            raise conflict(self.channel, present)
        return self

    def find(self, name: str) -> str:
        """The id of the entry that is named by number from 1, id or path. Raises ConfigError, which says what there is."""
        if name.isdecimal():
            if not 1 <= int(name) <= len(self.entries):
                raise ConfigError(f"the list of {self.channel} has no entry {name}: it has {len(self.entries)}")
            return str(self.entries[int(name) - 1]["entry"])
        found = [each for each in self.entries if name in (each["entry"], each["path"])]
        if not found:
            raise ConfigError(f"the list of {self.channel} has no entry {name!r}. `channeld playlist show {self.channel}` shows all")
        if len(found) > 1:
            numbers = ", ".join(str(each["index"] + 1) for each in found[:10])
            raise ConfigError(f"{name!r} is in the list of {self.channel} {len(found)} times ({numbers}): name the entry by its number")
        return str(found[0]["entry"])


def conflict(channel: str, revision: int | None, more: str = "") -> Conflict:
    """Somebody else was faster, and what to do."""
    at = "" if revision is None else f": it is at revision {revision}"
    then = more or f"Look at it with `channeld playlist show {channel}`, then try again"
    return Conflict(f"the list of {channel} has changed since it was read{at}. Nothing was written. {then}", revision)


def read_list(client: AdminClient, channel: str, *, is_whole: bool = True) -> Listed:
    """The list, whole or its text and head only. Raises DaemonUnreachable, NotAllowed, Rejected; Conflict if it never stands still."""
    for _ in range(_TRIES):
        document, tag = client.get_tagged(channel_route(channel, "playlist") + f"?limit={PAGE if is_whole else 1}")
        entries, following = list(document["entries"]), document["next"]
        while is_whole and following is not None:
            page, page_tag = client.get_tagged(channel_route(channel, "playlist") + f"?limit={PAGE}&after={following}")
            if page_tag != tag:
                break
            entries, following = entries + page["entries"], page["next"]
        if following is None or not is_whole:
            return Listed(channel, document, entries, tag)
    raise conflict(channel, None)
