"""How much of a channel's loop is prepared, for `channeld check`.

Rule: only reads. The cache is neither made nor mended nor written; what takes longer than BUDGET_S in all is estimated from
the rest. Blocking; one thread.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from channeld.base.errors import ChannelError, MediaError, StreamError
from channeld.check import MeasureReadiness, Readiness
from channeld.config_values import ChannelSpec, Config
from channeld.media.cache import clip_key, load_refusals, read_clip
from channeld.media.card import key_of_profile
from channeld.media.facts import choose_audio
from channeld.media.fingerprint import FingerprintBook
from channeld.media.plan import make_plan
from channeld.media.prepare import PrepareRequest, check
from channeld.media.profile import Profile
from channeld.media.tools import Tools, find_tools
from channeld.playlist.model import Content, Entry, Playlist

BUDGET_S = 10.0


@dataclass(frozen=True, slots=True)
class _Part:
    """One entry: seconds of one airing (None: unknown), how often it airs in a row, and its clip's bytes if that is prepared.

    `is_first`: no entry before it shows the same clip.
    """

    length_s: float | None
    repeat: int
    bytes: int | None
    is_first: bool = True


class StockReader:
    """Looks into the cache of one configuration."""

    def __init__(self, config: Config) -> None:
        self._root = config.folders.state / "cache"
        self._limit = config.prepare.cache_limit.on(config.folders.state)
        self._fingerprints = FingerprintBook(self._root / "fingerprints.json")
        self._refusals = load_refusals(self._root / "refusals.json")
        self._ends = time.monotonic() + BUDGET_S

    def measure(self, config: Config, channel: ChannelSpec, playlist: Playlist) -> Readiness:
        """Of one channel's list. Raises ProcessError when there is no FFmpeg."""
        profile, tools = config.profile(channel.profile), find_tools()
        parts = list(self._parts(profile, playlist, tools))
        known = [part.length_s for part in parts if part.length_s is not None]
        mean_s = sum(known) / len(known) if known else 0.0
        ready_s = needed_s = 0.0
        dry_after_s: float | None = None
        loop_bytes = 0
        for part in parts:
            length_s = mean_s if part.length_s is None else part.length_s
            if part.bytes is None and dry_after_s is None:
                dry_after_s = needed_s
            needed_s += length_s * part.repeat
            ready_s += length_s * part.repeat if part.bytes is not None else 0.0
            if part.is_first:
                loop_bytes += round(length_s * profile.bytes_per_second) if part.bytes is None else part.bytes
        return Readiness(round(ready_s, 1), round(needed_s, 1), loop_bytes, dry_after_s, loop_bytes <= self._limit)

    def _parts(self, profile: Profile, playlist: Playlist, tools: Tools) -> Iterator[_Part]:
        seen: dict[Content, _Part | None] = {}
        for entry in playlist.entries:
            if entry.fault is not None:
                continue
            is_first = entry.content not in seen
            if is_first:
                seen[entry.content] = self._part(profile, entry, tools)
            part = seen[entry.content]
            if part is not None:
                yield replace(part, repeat=entry.repeat, is_first=is_first)

    def _part(self, profile: Profile, entry: Entry, tools: Tools) -> _Part | None:
        """An entry's clip; None for one that is refused."""
        if entry.path is None or time.monotonic() > self._ends:
            return _Part(None, entry.repeat, None)
        request = PrepareRequest(entry.path, profile, None, float(entry.in_s or 0), _seconds(entry.out_s), _seconds(entry.duration_s))
        try:
            folder = key_of_profile(profile, tools)
            key = clip_key(self._fingerprints.of(entry.path), folder, request.trim, profile.audio_language or "")
            if key in self._refusals:
                return None
            clip = read_clip(self._root / folder / f"{key}.idx")
            return _Part(clip.duration_s, entry.repeat, clip.bytes)
        except (OSError, StreamError):
            return self._unprepared(request, entry, tools)

    def _unprepared(self, request: PrepareRequest, entry: Entry, tools: Tools) -> _Part | None:
        try:
            facts = check(request, tools=tools, whole_s=0.0)
            plan = make_plan(facts, choose_audio(facts, request.profile.audio_language), request.trim, request.profile.fps)
        except MediaError:
            return None
        except (ChannelError, OSError):
            return _Part(None, entry.repeat, None)
        return _Part(request.profile.fps.seconds(plan.frames), entry.repeat, None)


def _seconds(exact: Fraction | None) -> float | None:
    return None if exact is None else float(exact)


def measure_once() -> MeasureReadiness:
    """A measure for one run of `check`, whose budget begins with its first channel."""
    readers: list[StockReader] = []

    def measure(config: Config, channel: ChannelSpec, playlist: Playlist) -> Readiness:
        if not readers:
            readers.append(StockReader(config))
        return readers[0].measure(config, channel, playlist)

    return measure
