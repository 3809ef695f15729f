"""Following one output: manifest, newest segment, verdict, again.

Rule: it asks as often as a player does (RFC 8216, 6.3.4), a little early or late by chance. Run by the read-back's event loop.
"""

import random
import time

from channeld.base.units import TICKS_PER_SECOND
from channeld.readback.effort import Effort
from channeld.readback.judge import Judge, Look
from channeld.readback.manifest import MAX_MANIFEST_BYTES, Listed, Listing, read_manifest
from channeld.readback.sampling import Sampler, seconds_between
from channeld.readback.segment import SegmentFacts, inspect_segment
from channeld.readback.subject import Reading, Subject
from channeld.readback.viewer import Unreadable, Viewer, segment_url

MAX_SEGMENT_BYTES = 64 << 20
LEAST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
_THIN_SHARE = 0.125
_WRAP = 1 << 33


class Follower:
    """One subject's looks. `look` fetches and judges; `sample` then decodes what was fetched, if it is its turn."""

    def __init__(self, subject: Subject, viewer: Viewer, sampler: Sampler, effort: Effort, timeout_s: float) -> None:
        self.subject = subject
        self._viewer, self._sampler, self._effort, self._timeout_s = viewer, sampler, effort, timeout_s
        self._loaded_ns = -(1 << 62)
        self._judge = Judge(now_ns=time.monotonic_ns(), target_s=subject.target_s, is_constant=subject.kind == "hls")
        self._fetched: tuple[bytes, SegmentFacts] | None = None
        self._usual_rate: float | None = None
        self._end_pts: int | None = None
        self._has_advanced = False

    def pause_s(self) -> float:
        """How long to wait before the next look: about a target duration, half of it when nothing was new."""
        due_s = self._judge.target_s * (1.0 if self._has_advanced else 0.5)
        return min(LONGEST_PAUSE_S, max(LEAST_PAUSE_S, due_s * random.uniform(0.85, 1.0)))  # spread, not secret

    async def look(self) -> Reading:
        """One look at manifest and newest segment."""
        self._fetched, self._has_advanced = None, False
        before = self._judge.listing
        try:
            listing = read_manifest(await self._fetch(self.subject.url, MAX_MANIFEST_BYTES, self._timeout_s))
        except Unreadable as error:
            look = Look(time.monotonic_ns(), trouble=f"the manifest: {error}", is_missing=error.is_missing)
        except ValueError as error:
            # Whatever answers here is no live playlist: players stop, and the one before it is void.
            self._judge.hold_fault(str(error), time.monotonic_ns())
            look = Look(time.monotonic_ns(), trouble=str(error))
        else:
            self._has_advanced = before is None or listing.newest.sequence != before.newest.sequence
            look = await self._look_at_newest(listing) if self._has_advanced and self._has_room() else Look(time.monotonic_ns(), listing)
        self._judge.take_look(look)
        if self._fetched is None and (look.listing is None or self._has_advanced):
            self._sampler.turns.pass_over(self.subject.name)
        return self._reading()

    async def sample(self) -> Reading | None:
        """Decode the segment just fetched if it is its turn; None when nothing is new."""
        if self._fetched is None:
            return None
        segment, facts = self._fetched
        self._fetched = None
        finding = await self._sampler.sample(self.subject, segment, facts, is_suspect=self._judge.is_suspect or self._is_thin(facts))
        if finding is None:
            return None
        self._judge.take_finding(finding)
        return self._reading()

    async def _fetch(self, url: str, max_bytes: int, timeout_s: float) -> bytes:
        return await self._viewer.fetch(url, max_bytes=max_bytes, timeout_s=timeout_s, trusted=self.subject.trusted)

    def _has_room(self) -> bool:
        unseen_s = seconds_between(self._loaded_ns, time.monotonic_ns())
        return self._effort.has_room(unseen_s=unseen_s, is_suspect=self._judge.is_suspect)

    async def _look_at_newest(self, listing: Listing) -> Look:
        """The newest segment may take longer than it lasts: that is lateness, not silence of the server, up to three times that."""
        begun_ns = self._loaded_ns = time.monotonic_ns()
        timeout_s = max(self._timeout_s, 3.0 * listing.target_s)
        try:
            url = segment_url(self.subject.url, listing.newest.uri)
            segment = await self._fetch(url, MAX_SEGMENT_BYTES, timeout_s)
        except (Unreadable, ValueError) as error:
            return Look(begun_ns, listing, faults=(str(error),), load_s=seconds_between(begun_ns, time.monotonic_ns()))
        load_s = seconds_between(begun_ns, time.monotonic_ns())
        facts = self._inspect(segment, listing.newest)
        return Look(begun_ns, listing, faults=facts.faults, load_s=load_s)

    def _inspect(self, segment: bytes, listed: Listed) -> SegmentFacts:
        facts = inspect_segment(segment, listed.duration_s)
        self._fetched = segment, facts
        if facts.first_pts is not None:
            self._end_pts = (facts.first_pts + round(facts.video_s * TICKS_PER_SECOND)) % _WRAP
        return facts

    def _is_thin(self, facts: SegmentFacts) -> bool:
        """So much less picture than usual that it may be black or still."""
        rate = facts.video_bytes / max(0.1, facts.video_s)
        usual, self._usual_rate = self._usual_rate, rate if self._usual_rate is None else 0.8 * self._usual_rate + 0.2 * rate
        return usual is not None and rate < _THIN_SHARE * usual

    def _reading(self) -> Reading:
        now_ns, wall_s = time.monotonic_ns(), time.time()
        listing = self._judge.listing
        newest = listing.newest if listing is not None else None
        age_s = self._judge.age_s(now_ns)
        return Reading(
            self.subject,
            self._judge.verdict(now_ns, wall_s),
            wall_s,
            age_s,
            newest.sequence if newest is not None else None,
            self._end_pts,
            newest.wall_s + newest.duration_s if newest is not None and newest.wall_s is not None else None,
            self._judge.segment_errors,
            self._judge.discontinuities,
        )
