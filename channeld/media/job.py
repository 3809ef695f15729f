"""One run of FFmpeg into the cache: its stream checked, cut into blocks, written as it grows, committed when it is whole.

Rule: what does not pass the conformer or the judge is removed; a child is never left behind. A child that a signal ended, or that made
no progress, is run a second time, as it may have been the machine's fault; all other endings stand. Blocking; used by one prepare job at
a time.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from channeld.base.errors import ChildExited, ChildKilled, ChildStalled, PrepareError, StreamError
from channeld.media import child
from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.parts import PartWriter
from channeld.media.profile import COMPOSITION_DELAY, Profile
from channeld.media.reference import Reference
from channeld.media.stillness import StillnessLog
from channeld.media.verdict import EVERY_INPUT, DecodeLog
from channeld.ts.conform import Conformer, StreamRules, audio_unit_packets
from channeld.ts.index import Block, ClipHeader, Totals

STALL_S = 30.0
Judge = Callable[[DecodeLog], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Progress:
    """A clip while it grows: `speed` is prepared seconds per second of work."""

    clip: PreparedClip
    total_s: float
    speed: float


OnBlock = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to run and what it is to become. `frames` is what must come out."""

    key: str
    profile: Profile
    profile_key: str
    argv: list[str]
    frames: int
    facts: dict[str, Any] = field(default_factory=dict)
    stall_s: float = STALL_S
    """How long FFmpeg may make no progress."""
    inputs: range = EVERY_INPUT
    """Which of FFmpeg's inputs are the file."""
    may_change: bool = True
    """Its sound is the file's own, which may change midway."""


class SoundChangedError(PrepareError):
    """The sound has another sample rate or number of channels midway: the filters that count its samples began anew."""


def ignore_progress(progress: Progress) -> None:
    """Where nobody watches."""


def approve(log: DecodeLog) -> tuple[str, ...]:
    """The judge of what we drew ourselves."""
    return ()


def run_job(
    job: Job,
    cache: ClipCache,
    reference: Reference | None,
    *,
    judge: Judge = approve,
    on_block: OnBlock = ignore_progress,
    should_stop: child.Stop = child.never,
) -> PreparedClip:
    """Run a job to its committed clip.

    Raises PrepareError (SoundChangedError) when the clip is to be refused; ChildStopped, ChildStalled, SpawnError, OSError when that is not
    the clip's fault.
    """
    with contextlib.suppress(ChildStalled, ChildKilled):
        return _attempt(job, cache, reference, judge, on_block, should_stop)
    try:
        return _attempt(job, cache, reference, judge, on_block, should_stop)
    except ChildKilled as error:
        raise PrepareError(f"FFmpeg was ended by signal {-error.status}, twice") from error


def make_reference(job: Job, cache: ClipCache) -> tuple[PreparedClip, Reference]:
    """Run the job that sets the profile's parameter sets and silent audio frame: the built-in filler."""
    work = _Work(job, cache, None)
    clip = work.run(approve, ignore_progress, child.never)
    assert work.silent_frame is not None and work.conformer.parameter_sets is not None
    return clip, Reference(work.conformer.parameter_sets, work.silent_frame)


def _attempt(
    job: Job, cache: ClipCache, reference: Reference | None, judge: Judge, on_block: OnBlock, should_stop: child.Stop
) -> PreparedClip:
    work = _Work(job, cache, reference)
    try:
        return work.run(judge, on_block, should_stop)
    except (StreamError, ChildExited, PrepareError) as error:
        if work.log.machine_failure is not None:
            raise work.log.machine_failure from error
        if work.has_changed_sound:
            raise SoundChangedError("its sound changes midway") from error
        if isinstance(error, ChildExited) and not isinstance(error, ChildKilled):
            raise PrepareError(last_words(error)) from error
        if isinstance(error, StreamError):
            raise PrepareError(f"not conformed: {error}") from error
        raise


class _Work:
    """One attempt: conformer, part and log of one child."""

    def __init__(self, job: Job, cache: ClipCache, reference: Reference | None) -> None:
        self._job, self._cache = job, cache
        sets, silent = (reference.parameter_sets, reference.silent_frame) if reference else (None, None)
        profile = job.profile
        rules = StreamRules(
            profile.fps, profile.gop_frames, COMPOSITION_DELAY, parameter_sets=sets, silent_frame=silent, codec=profile.codec
        )
        self.conformer = Conformer(rules)
        self.silent_frame: bytes | None = None
        self.log, self._stillness = DecodeLog(job.inputs), StillnessLog()
        self._started = time.monotonic()

    def run(self, judge: Judge, on_block: OnBlock, should_stop: child.Stop) -> PreparedClip:
        job = self._job
        header = ClipHeader(job.profile_key, job.profile.fps, job.profile.gop_frames, COMPOSITION_DELAY, job.facts)
        part = self._cache.part(job.key, header)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(part.abort)
            with contextlib.closing(
                child.stream(job.argv, on_line=self._take_line, stall_s=job.stall_s, should_stop=should_stop)
            ) as chunks:
                for chunk in chunks:
                    for block in self.conformer.feed(chunk):
                        self._keep(part, block)
                        on_block(self._progress(part))
                    if self.has_changed_sound:
                        raise SoundChangedError("its sound changes midway")
            warnings = judge(self.log)
            for block in self.conformer.finish():
                self._keep(part, block)
            if part.frames != job.frames:
                raise PrepareError(f"{part.frames} of {job.frames} frames came out")
            clip = self._cache.commit(part, self._totals(part, warnings))
            on_failure.pop_all()
        return clip

    @property
    def has_changed_sound(self) -> bool:
        """What counts samples has begun anew, so that nothing that comes is right."""
        return self._job.may_change and self.log.has_changed_sound

    def _take_line(self, line: str) -> None:
        self.log.feed(line)
        self._stillness.feed(line)

    def _totals(self, part: PartWriter, warnings: tuple[str, ...]) -> Totals:
        facts = {"ts_bytes": part.ts_bytes, "warnings": list(warnings)}
        stillness = self._stillness.facts(self._job.profile.fps.seconds(part.frames))
        return Totals(self.conformer.video_frames, self.conformer.audio_frames, {**facts, **stillness})

    def _keep(self, part: PartWriter, block: Block) -> None:
        if self.silent_frame is None:
            # Past the encoder's start-up, before the end: the filler's sound is silence throughout.
            self.silent_frame = audio_unit_packets(block, len(block.audio) // 2)
        part.append(block)

    def _progress(self, part: PartWriter) -> Progress:
        clip = part.growing
        speed = clip.duration_s / max(1e-3, time.monotonic() - self._started)
        return Progress(clip, self._job.profile.fps.seconds(self._job.frames), speed)


def last_words(error: ChildExited) -> str:
    """Of FFmpeg, as a sentence."""
    told = [line.split("] ")[-1] for line in error.stderr_tail.splitlines() if "[error]" in line or "[fatal]" in line]
    return f"FFmpeg failed: {(told or ['no reason given'])[-1]}"
