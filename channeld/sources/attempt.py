"""One connection to a source: FFmpeg, conformer and live clip, from the first byte to the end, and what it tells meanwhile.

Rule: what is told is what a viewer would see: live with the first block, lost after the grace without one, live again with the next; a
manifest that stands still is not live. The child is never left behind; the clip is finished, so that a reader ends with what there was.
Blocking; one thread.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from channeld.base.clock import NS_PER_SECOND
from channeld.base.errors import ChildExited, ChildStalled, StreamError
from channeld.base.priority import added_to_ours
from channeld.media import child
from channeld.media.ffmpeg_args import live_args, live_copy_args
from channeld.media.live_input import PATTERN, LiveInput
from channeld.media.profile import COMPOSITION_DELAY
from channeld.media.reference import Reference
from channeld.media.tools import Tools
from channeld.process.confine import Limits
from channeld.sources.live_clip import LiveClip
from channeld.sources.measures import Arrival, Losses
from channeld.sources.picture_watch import PictureWatch
from channeld.sources.reach import private_fault
from channeld.sources.reasons import Diary
from channeld.sources.segments import Segments
from channeld.sources.spec import Reason, SourceSpec, SourceState, patience_s
from channeld.sources.suits import why_not_copied
from channeld.ts.conform import NotReordered, StreamRules
from channeld.ts.index import Block, ClipHeader
from channeld.ts.live_conform import LiveConformer
from channeld.ts.nal import VideoCodec
from channeld.ts.packet import AUDIO_PID

TICK_S = 0.02
"""How late a silence may be told."""
TRIAL_S = 10.0
"""A copied source that breaks a rule so soon is transcoded from then on, until it is lost again."""
FIRST_BLOCK_S = 20.0
"""So much longer than for any other block may be waited for the first: the source is probed, and begins with a key frame."""
LIMITS = Limits(address_space_bytes=4 << 30, file_size_bytes=child.WRITTEN_FILE_BYTES, processes=8192, open_files=256)
MUTE_S = 8.0
"""Sound that is announced may come so long after the first picture; FFmpeg gives out nothing before it has both."""
FFMPEG_NICE = 3
"""No limit on CPU time: it may run for years. Before preparing, behind hosts and pushes."""


@dataclass(frozen=True, slots=True)
class Means:
    """What every attempt at a source works with. `tell(state, reason, detail, clip key)`."""

    spec: SourceSpec
    live: LiveInput
    reference: Reference
    tools: Tools
    tell: Callable[[SourceState, Reason | None, str, str | None], None]
    should_stop: child.Stop


@dataclass(slots=True)
class Figures:
    """What came of a source so far; written by the attempt, read by whoever reports."""

    attempts: int = 0
    bytes: int = 0
    frames: int = 0
    mode: str = ""
    why: str = ""
    streams: list[str] = field(default_factory=list)
    last_block_s: float | None = None
    losses: Losses = field(default_factory=Losses)
    arrival: Arrival = field(default_factory=Arrival)
    mark: tuple[str, int, int] | None = None
    """Of the newest block: its clip, how many pictures that has with it, and when it came (monotonic, ns)."""


@dataclass(slots=True)
class Choice:
    """What is learned by trying: whether to copy, and whether there is sound. `refused`: why copying is not tried again."""

    copies: bool
    has_sound: bool = True
    refused: str = ""
    is_shifted: bool = False
    """What is copied has no B-frames: its pictures are said to be decoded a frame before they are shown."""
    is_last: bool = False
    """Copying is tried this time, and not again."""
    is_mute: bool = False
    """Its sound was announced, and did not come: this connection is to do without."""
    segments: tuple[str, ...] = ()
    """Of a manifest, those that the newest attempt opened."""


class BetterWay(Exception):
    """The attempt is begun again at once, as something was learned."""


def has_own_parameter_sets(spec: SourceSpec, *, copies: bool) -> bool:
    """Its parameter sets may be other than the slates', and change with a key frame.

    So may those of another encoder; and H.265, which never goes to an origin that throws away those within the stream, can be copied
    from any. H.264 is copied with the profile's own only.
    """
    return spec.profile.codec is VideoCodec.H265 if copies else spec.treatment.has_own_parameter_sets


def _has_sound(streams: Iterable[str]) -> bool:
    """What FFmpeg tells of the streams names one of sound."""
    return any(": Audio:" in stream for stream in streams)


class Attempt:
    """`run` returns why it ended."""

    def __init__(self, means: Means, choice: Choice, figures: Figures, key: str) -> None:
        self._means, self._choice, self._figures, self._key = means, choice, figures, key
        self._diary, self._picture = Diary(), PictureWatch(means.spec.picture)
        self._segments = Segments(choice.segments)
        self._clip: LiveClip | None = None
        spec, sets = means.spec, means.reference
        profile = spec.profile
        is_foreign = has_own_parameter_sets(spec, copies=choice.copies)  # of whichever the first key frame brings
        rules = StreamRules(
            profile.fps,
            profile.gop_frames,
            COMPOSITION_DELAY,
            parameter_sets=None if is_foreign else sets.parameter_sets,
            silent_frame=sets.silent_frame,
            codec=profile.codec,
        )
        self._has_sound = choice.copies or spec.url == PATTERN or (choice.has_sound and spec.treatment.has_sound)
        self._conformer = LiveConformer(
            rules, has_free_gops=choice.copies or is_foreign, has_sound=self._has_sound, is_encoded=not choice.copies
        )
        self._is_quiet = False
        self._received = False
        self._encodes_since_s: float | None = None
        self._first_block_s = self._last_block_s = 0.0
        self.has_refused = False
        """It was on air as a copy, and is not to be copied next."""

    @property
    def clip(self) -> LiveClip | None:
        """What it wrote, if anything came."""
        return self._clip

    @property
    def gave_s(self) -> float:
        """For how long something that was new came of it."""
        return 0.0 if self._segments.are_old else self._last_block_s - self._first_block_s

    @property
    def _length_s(self) -> float:
        return self._means.spec.profile.fps.seconds(self._clip.frames) if self._clip is not None else 0.0

    def run(self) -> tuple[Reason, str]:
        """Take the source in until it ends. Raises BetterWay, ChildStopped, SpawnError, OSError."""
        choice, spec = self._choice, self._means.spec
        self._figures.attempts += 1
        if not spec.allows_private and (fault := private_fault(spec.url)) is not None:
            return Reason.CANNOT_CONNECT, fault
        self._figures.mode = "copy" if choice.copies else "transcode"
        self._figures.why = "" if choice.copies else choice.refused or self._figures.why
        error: Exception | None = None
        try:
            self._take_in(self._arguments())
        except (StreamError, ChildExited, ChildStalled) as caught:
            error = caught
        finally:
            self._finish()
        if choice.copies and error is not None and self._clip is None:
            self._reconsider_copying(error)
        if choice.copies and isinstance(error, StreamError) and spec.mode == "auto" and self._length_s < TRIAL_S:
            # Its first GOP was as it should be, and none after it: copied again it would come and go for ever.
            choice.copies, choice.refused, self.has_refused = False, str(error)[:200], True
        if choice.has_sound and self._diary.lacks_sound and self._clip is None:
            choice.has_sound, choice.is_mute = False, _has_sound(self._diary.streams)  # of several, another than the one that is wanted
            raise BetterWay from error
        if isinstance(error, ChildStalled) and self._is_mute:
            choice.has_sound, choice.is_mute = False, True
            raise BetterWay from error
        return self._diary.explain(error, was_live=self._clip is not None)

    def _reconsider_copying(self, error: Exception) -> None:
        """What is learned of copying that came to nothing. Raises BetterWay."""
        choice = self._choice
        if isinstance(error, NotReordered) and not choice.is_shifted:
            choice.is_shifted = True
            raise BetterWay from error
        # One that could not be reached says nothing about copying it.
        if self._means.spec.mode != "auto" or not self._diary.streams:
            return
        if isinstance(error, StreamError) and error.pid == AUDIO_PID and not choice.is_last:
            choice.is_last = True  # tracks that began too far apart may have been this connection's
            raise BetterWay from error
        choice.copies, choice.refused, choice.is_shifted, choice.is_last = False, str(error)[:200], False, False
        raise BetterWay from error

    def _arguments(self) -> list[str]:
        means, choice = self._means, self._choice
        if choice.copies:
            profile = means.spec.profile
            shifted_at = profile.fps if choice.is_shifted else None
            return live_copy_args(means.live, means.tools, means.spec.treatment, codec=profile.codec, shifted_at=shifted_at)
        spec, has_sound = means.spec, self._has_sound
        return live_args(means.live, spec.profile, means.tools, has_sound=has_sound, watched=spec.picture, treatment=spec.treatment)

    def _take_in(self, argv: list[str]) -> None:
        self._figures.arrival.restart()
        means, spec = self._means, self._means.spec
        heard_s = time.monotonic()
        chunks = child.stream(
            argv,
            on_line=self._hear,
            stall_s=spec.timeout_s + FIRST_BLOCK_S,
            should_stop=means.should_stop,
            standing=child.Standing(LIMITS, added_to_ours(FFMPEG_NICE)),
            tick_s=TICK_S,
        )
        with contextlib.closing(chunks):
            for chunk in chunks:
                now_s = time.monotonic()
                if chunk:
                    self._received = True
                    self._figures.bytes += len(chunk)
                    self._consider_copying()
                    for block in self._conformer.feed(chunk):
                        heard_s = now_s
                        self._keep(block)
                    for dts in self._conformer.arrived():
                        self._figures.arrival.feed(dts, round(now_s * NS_PER_SECOND))
                # Blocks count, not bytes: pictures whose sound has stopped cannot air either.
                limit_s = spec.timeout_s if self._clip is not None else spec.timeout_s + FIRST_BLOCK_S
                if now_s - heard_s > limit_s or self._is_mute:
                    raise ChildStalled("the source", now_s - heard_s)
                self._is_quiet = now_s - heard_s > patience_s(spec.loss_grace_s)
                self._tell(now_s)

    @property
    def _is_mute(self) -> bool:
        """Pictures are encoded, and nothing comes out, as there is no sound yet."""
        if self._clip is not None or not self._has_sound or self._choice.copies or self._received:
            return False
        return self._encodes_since_s is not None and time.monotonic() - self._encodes_since_s > MUTE_S

    def _hear(self, line: str) -> None:
        self._diary.feed(line)
        if self._diary.encodes and self._encodes_since_s is None:
            self._encodes_since_s = time.monotonic()
        self._segments.feed(line)
        self._picture.feed(line, time.monotonic())
        self._figures.losses.feed(line)

    def _tell(self, now_s: float) -> None:
        """How the source stands; it is told on only where that is news."""
        clip, means = self._clip, self._means
        if clip is None:
            return
        if self._is_quiet:
            means.tell(SourceState.LOST, Reason.TIMED_OUT, f"nothing came for {means.spec.loss_grace_s:g} s", None)
        elif (trouble := self._picture.trouble(now_s)) is not None:
            means.tell(SourceState.LOST, *trouble, None)
        elif not self._segments.are_old:
            means.tell(SourceState.LIVE, None, "", clip.key)

    def _consider_copying(self) -> None:
        """Once its streams are known: a source in the house format is copied, if that was not tried."""
        figures, choice, spec = self._figures, self._choice, self._means.spec
        if figures.streams or not self._diary.streams:
            return
        figures.streams = list(self._diary.streams)
        if not (choice.has_sound or choice.is_mute) and _has_sound(figures.streams):
            choice.has_sound = True  # unlike the last connection's
            raise BetterWay
        if choice.copies or spec.mode != "auto" or choice.refused or spec.url == PATTERN:
            return
        if spec.picture.any:
            figures.why = "its picture or sound is looked at"
            return
        why = why_not_copied(figures.streams, spec.profile)
        if why is None:
            choice.copies = True
            raise BetterWay
        figures.why = why

    def _keep(self, block: Block) -> None:
        clip, figures = self._clip, self._figures
        if clip is None:
            profile = self._means.spec.profile
            header = ClipHeader("", profile.fps, profile.gop_frames, COMPOSITION_DELAY)
            clip = self._clip = LiveClip(Path(self._means.spec.folder), self._key, header)
            if not self._has_sound:
                self._picture.begin_mute(time.monotonic())
        clip.append(block)
        figures.frames += len(block.video)
        figures.last_block_s = self._last_block_s = time.monotonic()
        self._first_block_s = self._first_block_s or figures.last_block_s
        figures.mark = clip.key, clip.frames, round(figures.last_block_s * NS_PER_SECOND)

    def _finish(self) -> None:
        """A reader of the clip ends with what came; the next attempt knows what is old by then."""
        if self._clip is None:
            return
        self._choice.segments = self._segments.seen
        with contextlib.suppress(StreamError):  # what cannot be cut off cleanly is left out
            for block in self._conformer.finish():
                self._clip.append(block)
        self._clip.finish(self._conformer.audio_frames)
