"""Names of a proxy's channels that stay: the same after the list was fetched again in another order.

Rule: an id comes of `tvg-id`, else of the title. Where several entries would have the same one, each keeps the id that it had before; new
ones get a number behind theirs, in an order that the list's own has no part in. Pure.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

MAX_SLUG = 56
"""Room for a number is left in the 64 characters of an id."""

CHANNEL_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_OTHER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """By what an entry is known again."""

    tvg_id: str
    title: str
    url: str = field(repr=False)


_Match = Callable[[Identity], Hashable]
# From what is surely the same channel to what can hardly be another.
_MATCHES: tuple[_Match, ...] = (lambda one: one, lambda one: (one.tvg_id, one.title), lambda one: one.url, lambda one: one.tvg_id)


def slug(identity: Identity) -> str:
    """Lower-case letters and digits of ASCII, with single hyphens between; what has none gets a name of its digest."""
    for text in (identity.tvg_id, identity.title):
        # Half a name would be that of many: of a title in another script only a number or a "HD" is left.
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        found = _OTHER.sub("-", plain)[: MAX_SLUG + 1].strip("-")[:MAX_SLUG].rstrip("-")
        if found and (len(found) * 2 >= len(text.strip()) or len(found) > MAX_SLUG // 2):
            return found
        if text.strip():
            return f"channel-{blake2b(text.strip().encode('utf-8', 'replace'), digest_size=6).hexdigest()}"
    return "channel"


def channel_ids(entries: Sequence[Identity], known: Mapping[str, Identity]) -> list[str]:
    """An id for each entry, all different. `known`: ids given before."""
    bases = [slug(entry) for entry in entries]
    groups: dict[str, list[int]] = {}
    for index, base in enumerate(bases):
        groups.setdefault(base, []).append(index)
    before: dict[str, dict[str, Identity]] = {}
    for channel_id, identity in known.items():
        before.setdefault(slug(identity), {})[channel_id] = identity
    given: dict[int, str] = {}
    for base, members in groups.items():
        _recognize(entries, members, before.get(base, {}), given)
    # Ids of channels that went are not given to others at once: somebody may have noted them.
    taken = {*given.values(), *known}
    for base in sorted(groups):
        fresh = sorted((index for index in groups[base] if index not in given), key=lambda index: _order(entries[index]))
        _number(base, fresh, groups, taken, given)
    return [given[index] for index in range(len(entries))]


def _order(entry: Identity) -> tuple[str, str]:
    return entry.title, entry.url


def _recognize(entries: Sequence[Identity], members: list[int], before: dict[str, Identity], given: dict[int, str]) -> None:
    """Give those that were there before the ids they had."""
    left, unmatched = dict(before), members
    for match in _MATCHES:
        if not left:
            return
        candidates: dict[Hashable, list[str]] = {}
        for channel_id in sorted(left, reverse=True):
            candidates.setdefault(match(left[channel_id]), []).append(channel_id)
        for index in sorted(unmatched, key=lambda index: _order(entries[index])):
            if same := candidates.get(match(entries[index])):
                given[index] = same.pop()
                del left[given[index]]
        unmatched = [index for index in unmatched if index not in given]


def _number(base: str, fresh: list[int], groups: Mapping[str, object], taken: set[str], given: dict[int, str]) -> None:
    """Ids for new entries: the plain one, then numbers, none of which another entry may claim."""
    candidates = itertools.chain((base,), (f"{base}-{number}" for number in itertools.count(2)))
    for index in fresh:
        given[index] = next(each for each in candidates if each not in taken and (each == base or each not in groups))
        taken.add(given[index])
