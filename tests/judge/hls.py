"""The judge of HLS manifests: one manifest by RFC 8216, a row of polls by what must not change between them.

Rule: durations stay exact decimals, so that a sum over hours does not drift.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

_PDT_SLACK_S = 0.001


@dataclass(frozen=True, slots=True)
class Segment:
    """One media segment as listed."""

    sequence: int
    uri: str
    duration_s: Fraction
    discontinuity: bool
    program_date_time: datetime | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A media playlist as read; `syntax` holds what the parser could not accept."""

    version: int
    target_duration_s: int
    media_sequence: int
    discontinuity_sequence: int
    independent_segments: bool
    ended: bool
    segments: tuple[Segment, ...]
    syntax: tuple[str, ...]


def parse_manifest(text: str) -> Manifest:
    """Read a media playlist (RFC 8216, 4.3); never raises, the trouble goes to `syntax`."""
    lines = text.splitlines()
    tags = {name: value for name, _, value in (line.partition(":") for line in lines if line.startswith("#EXT"))}
    trouble = [] if lines and lines[0] == "#EXTM3U" else ["does not begin with #EXTM3U"]
    if text and not text.endswith("\n"):
        trouble.append("last line is not terminated")
    if sum(line.startswith("#EXT-X-TARGETDURATION:") for line in lines) != 1:
        trouble.append("has not exactly one EXT-X-TARGETDURATION")
    first = _number(tags, "#EXT-X-MEDIA-SEQUENCE", 0, trouble)
    return Manifest(
        version=_number(tags, "#EXT-X-VERSION", 1, trouble),
        target_duration_s=_number(tags, "#EXT-X-TARGETDURATION", 0, trouble),
        media_sequence=first,
        discontinuity_sequence=_number(tags, "#EXT-X-DISCONTINUITY-SEQUENCE", 0, trouble),
        independent_segments="#EXT-X-INDEPENDENT-SEGMENTS" in tags,
        ended="#EXT-X-ENDLIST" in tags,
        segments=_segments(lines, first, trouble),
        syntax=tuple(trouble),
    )


def _number(tags: dict[str, str], name: str, default: int, trouble: list[str]) -> int:
    written = tags.get(name)
    if written is None:
        return default
    if not re.fullmatch(r"\d{1,20}", written):
        trouble.append(f"{name} is not a number: {written!r}")
        return default
    return int(written)


def _segments(lines: Sequence[str], sequence: int, trouble: list[str]) -> tuple[Segment, ...]:
    found: list[Segment] = []
    duration: Fraction | None = None
    clock: datetime | None = None
    joint = False
    for number, line in enumerate(lines, 1):
        name, _, value = line.partition(":")
        if name == "#EXTINF":
            duration = _duration(value, number, trouble)
        elif name == "#EXT-X-DISCONTINUITY":
            joint = True
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            clock = _clock(value, number, trouble)
        elif line.strip() and not line.startswith("#"):
            if duration is None:
                trouble.append(f"line {number}: segment without EXTINF")
            found.append(Segment(sequence + len(found), line, duration or Fraction(0), joint, clock))
            duration, clock, joint = None, None, False
    if duration is not None:
        trouble.append("EXTINF without a segment at the end")
    return tuple(found)


def _duration(value: str, number: int, trouble: list[str]) -> Fraction | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?),.*", value)
    if match is None:
        trouble.append(f"line {number}: EXTINF is malformed: {value!r}")
    return Fraction(match[1]) if match else None


def _clock(value: str, number: int, trouble: list[str]) -> datetime | None:
    try:
        clock = datetime.fromisoformat(value)
    except ValueError:
        trouble.append(f"line {number}: EXT-X-PROGRAM-DATE-TIME is malformed: {value!r}")
        return None
    if clock.tzinfo is None:
        trouble.append(f"line {number}: EXT-X-PROGRAM-DATE-TIME has no time zone")
        return None
    return clock


def manifest_faults(manifest: Manifest) -> list[str]:
    """What RFC 8216 forbids within one manifest."""
    found = list(manifest.syntax)
    for segment in manifest.segments:
        # 4.3.3.1: durations, rounded to the nearest whole second, stay within the target.
        if math.floor(segment.duration_s + Fraction(1, 2)) > manifest.target_duration_s:
            found.append(f"segment {segment.sequence} lasts {float(segment.duration_s)} s, target is {manifest.target_duration_s} s")
        if segment.duration_s <= 0:
            found.append(f"segment {segment.sequence} has no duration")
        if segment.duration_s.denominator > 1 and manifest.version < 3:
            found.append(f"segment {segment.sequence} has a fractional duration below version 3")
    names = [segment.uri for segment in manifest.segments]
    if len(set(names)) < len(names):
        found.append("a segment is listed twice")
    total = sum(segment.duration_s for segment in manifest.segments)
    # 6.2.2: segments leave a live playlist only while three target durations remain.
    if manifest.media_sequence > 0 and not manifest.ended and total < 3 * manifest.target_duration_s:
        found.append(f"lists {float(total):.3f} s, less than three target durations, after segments were removed")
    return found + clock_faults(manifest.segments)


def clock_faults(segments: Sequence[Segment]) -> list[str]:
    """PROGRAM-DATE-TIME against the sum of durations, to 1 ms, between discontinuities. Segments without one are skipped."""
    found: list[str] = []
    anchor: datetime | None = None
    since = Fraction(0)
    for at, segment in enumerate(segments):
        if segment.discontinuity or (at and segment.sequence != segments[at - 1].sequence + 1):
            anchor = None
        stated = segment.program_date_time
        if stated is not None and anchor is None:
            anchor, since = stated, Fraction(0)
        elif stated is not None and anchor is not None:
            error = (stated - anchor - timedelta(seconds=float(since))).total_seconds()
            # Two stamps and their durations are each written to a limited precision.
            if abs(error) > _PDT_SLACK_S + 1e-6:
                found.append(f"segment {segment.sequence}: PROGRAM-DATE-TIME is {error * 1000:.1f} ms off its durations")
        since += segment.duration_s
    return found


def change_faults(before: Manifest, after: Manifest) -> list[str]:
    """What may not change from one poll of a live manifest to the next (RFC 8216, 6.2.1 and 6.2.2)."""
    found = []
    for name in ("version", "target_duration_s", "independent_segments"):
        if getattr(before, name) != getattr(after, name):
            found.append(f"{name} changes from {getattr(before, name)} to {getattr(after, name)}")
    if before.ended and before != after:
        found.append("manifest changes after EXT-X-ENDLIST")
    if after.media_sequence < before.media_sequence:
        found.append(f"media sequence goes back from {before.media_sequence} to {after.media_sequence}")
    old, new = ({segment.sequence: segment for segment in manifest.segments} for manifest in (before, after))
    found += [
        f"segment {number} changes while listed: {old[number].uri} → {new[number].uri}"
        for number in old.keys() & new.keys()
        if old[number] != new[number]
    ]
    if old and (not new or max(new) < max(old)):
        found.append("segments are taken back from the end")
    if new and old and min(new) > max(old) + 1:
        found.append(f"segments {max(old) + 1} to {min(new) - 1} were never listed at a poll")
    return found + _discontinuity_faults(before, after)


def _discontinuity_faults(before: Manifest, after: Manifest) -> list[str]:
    """6.2.2: the discontinuity sequence grows by the discontinuities removed."""
    first = after.media_sequence
    if not before.segments or first > before.segments[-1].sequence + 1 or first < before.media_sequence:
        return []
    expected = before.discontinuity_sequence + sum(segment.discontinuity for segment in before.segments if segment.sequence < first)
    if after.discontinuity_sequence != expected:
        return [f"discontinuity sequence is {after.discontinuity_sequence} instead of {expected} at media sequence {first}"]
    return []


def history_faults(polls: Iterable[Manifest]) -> list[str]:
    """All of the above over a row of polls, each sentence once; PROGRAM-DATE-TIME is judged over all segments ever listed."""
    found: list[str] = []
    seen: dict[int, Segment] = {}
    before: Manifest | None = None
    for manifest in polls:
        found += manifest_faults(manifest)
        if before is not None:
            found += change_faults(before, manifest)
        seen.update((segment.sequence, segment) for segment in manifest.segments)
        before = manifest
    found += clock_faults([seen[number] for number in sorted(seen)])
    return list(dict.fromkeys(found))
