"""Decoding of samples: takes a segment now and then, and holds what is seen and heard against the programme.

Rule: one FFmpeg at a time in a thread of its own, within the budget of `turns`. Belongs to the read-back's event loop.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import ProcessError
from channeld.base.units import TICKS_PER_SECOND
from channeld.readback.decode import Decoded, decode
from channeld.readback.judge import Finding
from channeld.readback.programme import Kind, Programme
from channeld.readback.segment import SegmentFacts
from channeld.readback.subject import Subject
from channeld.readback.turns import Turns

LATENCY_S = 60.0
"""How old what a push's viewers see may be: such manifests do not tell which moment a segment shows."""

log = structlog.get_logger()


class Sampler:
    """Decodes for all subjects. `programmes`: what each channel aired lately, replaced by others while this reads."""

    def __init__(self, turns: Turns, programmes: Mapping[str, Programme], ffmpeg: str, should_stop: Callable[[], bool]) -> None:
        self.turns = turns
        self._programmes, self._ffmpeg, self._should_stop = programmes, ffmpeg, should_stop
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="readback:decoder")
        self._is_busy = False

    async def sample(self, subject: Subject, segment: bytes, facts: SegmentFacts, *, is_suspect: bool) -> Finding | None:
        """Decode this segment if it is its turn; None when it is not, or when decoding was impossible here."""
        now_ns = time.monotonic_ns()
        if self._is_busy or not self.turns.take(subject.name, is_suspect=is_suspect, now_ns=now_ns):
            return None
        span_s = max(0.2, facts.video_s or facts.audio_s)
        self._is_busy = True
        try:
            turn = asyncio.get_running_loop().run_in_executor(self._decoder, self._decode, segment, span_s)
            decoded = await turn
        except (ProcessError, OSError) as error:
            log.warning("segment_not_decoded", subject=subject.name, error=str(error))
            return None
        finally:
            self._is_busy = False
        self.turns.budget.spend(decoded.cpu_s, time.monotonic_ns())
        return find(decoded, facts, self._programmes.get(subject.channel, Programme()), subject, now_ns)

    def _decode(self, segment: bytes, span_s: float) -> Decoded:
        return decode(segment, span_s, self._ffmpeg, should_stop=self._should_stop)

    def close(self) -> None:
        """Wait for the child that runs; `should_stop` ends it."""
        self._decoder.shutdown(wait=True, cancel_futures=True)


def find(decoded: Decoded, facts: SegmentFacts, programme: Programme, subject: Subject, now_ns: int) -> Finding:
    """What of it is a fault: silence and stills only where the clip on air has none."""
    span_s = facts.video_s or facts.audio_s
    errors = f"{decoded.errors} errors, the first: {decoded.first_error}" if decoded.errors else None
    is_silent = decoded.is_silent and not _is_explained("silent", span_s, facts, programme, subject, now_ns)
    is_frozen = decoded.is_still and not _is_explained("still", span_s, facts, programme, subject, now_ns)
    picture = "black" if decoded.is_black else "still"
    return Finding(
        now_ns,
        span_s,
        errors,
        f"{span_s:.1f} s of silence where the clip on air has sound" if is_silent else None,
        f"the picture is {picture} for {span_s:.1f} s where that of the clip on air moves" if is_frozen else None,
    )


def _is_explained(kind: Kind, span_s: float, facts: SegmentFacts, programme: Programme, subject: Subject, now_ns: int) -> bool:
    head = programme.head_ticks(now_ns)
    if head is None:
        return True
    if subject.kind == "hls" and facts.first_pts is not None:
        begin = programme.unwrap(facts.first_pts, now_ns)
        return begin is None or programme.explains(kind, begin, span_s)
    return programme.explains_somewhere(kind, head - round(LATENCY_S * TICKS_PER_SECOND), head, span_s)


def seconds_between(begin_ns: int, end_ns: int) -> float:
    """Nanoseconds as seconds."""
    return (end_ns - begin_ns) / NS_PER_SECOND
