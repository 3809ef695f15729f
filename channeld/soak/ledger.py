"""The as-run ledger of one timeline: what the host said it aired, against the pictures that were seen.

Rule: airings touch without a gap (but for an excused one), each shows the pictures of its clip from the first on, none missing,
none twice; so the timeline is the sum of what was aired, to the frame.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Complain = Callable[[str, str], None]

MAX_LEFT_OUT = 4


@dataclass(slots=True)
class _Airing:
    """Frames count from the timeline's first; `end` None while it airs. `is_filler`: goes round."""

    serial: int
    begin: int
    pictures: Sequence[int]
    is_filler: bool
    end: int | None = None


class Ledger:
    """`pictures_of(airing)` gives the fingerprints of a named airing's clip, of the filler for None."""

    def __init__(self, frame_of: Callable[[int], int], pictures_of: Callable[[str | None], Sequence[int]], complain: Complain) -> None:
        self.frames_aired = 0
        self._frame_of = frame_of
        self._pictures_of = pictures_of
        self._complain = complain
        self._airings: deque[_Airing] = deque()
        self.left_out = 0
        """Frames of the timeline that nothing was aired in, because a clip broke off where none may be cut."""
        self._may_leave_out = False
        self._seen = 0
        self._ended: tuple[int, int, str] | None = None  # serial, frames, reason of the airing that just ended

    def started(self, values: dict[str, Any]) -> None:
        """The host began an airing."""
        begin, airing = self._frame_of(values["dts"]) - self.left_out, values["airing"]
        last = self._airings[-1] if self._airings else None
        if last is not None:
            last.end = begin
            self._compare(last, begin)
            if values["serial"] != last.serial + 1:
                self._complain("as-run", f"airing {values['serial']} follows {last.serial}")
        elif begin:
            self._complain("as-run", f"the first airing begins at frame {begin}")
        self._airings.append(_Airing(values["serial"], begin, self._pictures_of(airing), airing is None))

    def _compare(self, last: _Airing, begin: int) -> None:
        serial, frames, reason = self._ended or (0, 0, "")
        length, whole = begin - last.begin, len(last.pictures)
        self.frames_aired += length
        if serial != last.serial:
            self._complain("as-run", f"airing {last.serial} never ended")
        elif last.is_filler and (length - frames) % whole:
            self._complain("as-run", f"the filler aired for {length} frames, and the host says {frames} of its last round")
        elif not last.is_filler and (length != frames or length > whole or (reason == "end" and length != whole)):
            self._complain("as-run", f"airing {serial} took {length} frames; the host says {frames} ({reason}), its clip has {whole}")

    def excuse(self) -> None:
        """The airing that ended lost its host and its clip at once, in the midst of a GOP."""
        self._may_leave_out = True

    def gap_before(self, values: dict[str, Any]) -> int:
        """Frames left empty before an airing that is about to begin; call before `started`."""
        may, self._may_leave_out = self._may_leave_out, False
        if not may or self._ended is None:
            return 0
        gap = self._frame_of(values["dts"]) - self.left_out - self._airings[-1].begin - self._ended[1]
        gap = gap if 0 < gap <= MAX_LEFT_OUT else 0
        self.left_out += gap
        return gap

    def ended(self, values: dict[str, Any]) -> None:
        """The host ended an airing."""
        self._ended = values["serial"], values["frames"], values["reason"]

    def see(self, pictures: list[int]) -> None:
        """Pictures that were on the wire, in order."""
        at = 0
        while at < len(pictures):
            if not self._airings:
                self._complain("as-run", f"{len(pictures)} pictures that nobody said were aired")
                return
            airing = self._airings[0]
            end = len(pictures) if airing.end is None else min(len(pictures), at + airing.end - self._seen)
            if end > at:
                self._match(airing, pictures[at:end])
                self._seen, at = self._seen + end - at, end
            if airing.end is not None and self._seen >= airing.end:
                self._airings.popleft()

    def _match(self, airing: _Airing, pictures: list[int]) -> None:
        first, known = self._seen - airing.begin, airing.pictures
        if airing.is_filler:
            first %= len(known)
            known = [*known] * (2 + len(pictures) // len(known))
        if pictures != list(known[first : first + len(pictures)]):
            self._complain("pictures", f"airing {airing.serial} does not show its clip's pictures {first} to {first + len(pictures) - 1}")

    def close(self, frames_on_air: int, frames_seen: int) -> None:
        """The timeline ended while an airing had shown so many frames; the sum must be what was seen."""
        if not self._airings:
            return
        last = self._airings[-1]
        length = frames_seen - last.begin
        self.frames_aired += length
        if self.frames_aired != frames_seen or (length - frames_on_air) % (len(last.pictures) if last.is_filler else 1 << 62):
            self._complain("as-run", f"{self.frames_aired} frames aired by the ledger, {frames_seen} on the wire")
