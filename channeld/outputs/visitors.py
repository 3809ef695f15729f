"""Who visits a channel over HTTP, as may be counted: by what kind of player, from where, for how long; never by address.

Rule: an endless stream's client is there while it is connected. HLS has no connections: whoever asks for anything of a channel is there
until GONE_S after its last request, one viewer for each address and user agent. Bounded: past MAX_VISITS nobody more is counted, and
past MAX_VISITS_EACH nobody more from one address, so that none can take the room of all.
Event loop only.
"""

import re
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from channeld.base.client_address import address_key
from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.telemetry.metric_table import CONNECTION_BUCKETS_S

GONE_S = 30.0
"""Players ask for a manifest at least once in a target duration."""
MAX_VISITS = 20_000
MAX_VISITS_EACH = 200
"""Of one channel from one address (a network of IPv6): a school or a hotel behind one."""
MAX_PLACES = 200
"""Of one channel; viewers from more places are counted as from `other`."""

# First match wins: what names a player stands above what many players say.
_AGENTS = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\bVLC/|LibVLC", "vlc"),
        (r"\bmpv\b|libmpv", "mpv"),
        (r"Kodi|XBMC", "kodi"),
        (r"SmartTV|SMART-TV|Tizen|Web0S|webOS|Roku|AppleTV|HbbTV|BRAVIA|AFT[A-Z]", "tv"),
        (r"AppleCoreMedia", "apple"),
        (r"ExoPlayer|AndroidXMedia|stagefright|okhttp", "android"),
        (r"Lavf/|FFmpeg|GStreamer|libmpeg2", "ffmpeg"),
        (r"Mozilla/", "browser"),
        (r"curl/|Wget|python|Go-http-client|httpx|aiohttp", "tool"),
    )
)
AGENTS = (*(name for _, name in _AGENTS), "other")


def agent_class(user_agent: str) -> str:
    """One of AGENTS."""
    return next((name for pattern, name in _AGENTS if pattern.search(user_agent)), "other")


@dataclass(slots=True)
class Stays:
    """Visits that are over: how many by their seconds (metric_table.CONNECTION_BUCKETS_S), and all their seconds."""

    by_seconds: list[int] = field(default_factory=lambda: [0] * (len(CONNECTION_BUCKETS_S) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more is over."""
        self.by_seconds[bisect_left(CONNECTION_BUCKETS_S, seconds)] += 1
        self.seconds += seconds

    def add_all(self, other: "Stays") -> None:
        """All of these are over, too."""
        self.by_seconds = [mine + theirs for mine, theirs in zip(self.by_seconds, other.by_seconds, strict=True)]
        self.seconds += other.seconds


_Key = tuple[str, str, str, str]
"""Channel, address, user agent, protocol."""


@dataclass(slots=True)
class _Visit:
    agent: str
    place: str | None
    came_ns: int
    seen_ns: int


class SegmentVisits:
    """Viewers of HLS and of DASH. `place_of(address)`: where an address is, None where nobody knows."""

    def __init__(self, clock: Clock, place_of: Callable[[str], str | None]) -> None:
        self._clock, self._place_of = clock, place_of
        self._visits: OrderedDict[_Key, _Visit] = OrderedDict()
        self._each: Counter[tuple[str, str]] = Counter()
        self.stays: dict[str, Stays] = {}

    def asked(self, channel: str, address: str, user_agent: str, protocol: str) -> None:
        """A viewer asked for a manifest or a segment of a channel. `protocol`: hls or dash."""
        key, now_ns = (channel, address, user_agent, protocol), self._clock.monotonic_ns()
        visit = self._visits.get(key)
        if visit is not None:
            visit.seen_ns = now_ns
            self._visits.move_to_end(key)
        elif len(self._visits) < MAX_VISITS and self._each[_side(key)] < MAX_VISITS_EACH:
            self._each[_side(key)] += 1
            self._visits[key] = _Visit(agent_class(user_agent), self._place_of(address), now_ns, now_ns)

    def sweep(self) -> None:
        """Let go of who asked for nothing any more; once a second."""
        gone_ns = self._clock.monotonic_ns() - round(GONE_S * NS_PER_SECOND)
        while self._visits:
            key, visit = next(iter(self._visits.items()))
            if visit.seen_ns > gone_ns:
                return
            del self._visits[key]
            self._each[_side(key)] -= 1
            if not self._each[_side(key)]:
                del self._each[_side(key)]
            self.stays.setdefault(key[0], Stays()).add((visit.seen_ns - visit.came_ns) / NS_PER_SECOND)

    def present(self) -> dict[str, list[tuple[str, str, str | None]]]:
        """Of each channel, what plays there now: protocol, kind of player, place."""
        found: dict[str, list[tuple[str, str, str | None]]] = {}
        for (channel, _, _, protocol), visit in self._visits.items():
            found.setdefault(channel, []).append((protocol, visit.agent, visit.place))
        return found


def _side(key: _Key) -> tuple[str, str]:
    """Channel and address."""
    return key[0], address_key(key[1])


def counted_places(places: Iterable[str | None]) -> dict[str, int]:
    """How many are from where, at most MAX_PLACES of them; nothing of those from nobody knows where."""
    counts = Counter(place for place in places if place is not None)
    top = dict(counts.most_common(MAX_PLACES))
    rest = counts.total() - sum(top.values())
    return top | ({"other": rest} if rest else {})
