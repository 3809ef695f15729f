"""Conform one clip to the house format, once: probe, plan, measure, one FFmpeg, judge, commit.

Rule: the result equals every other clip of its profile in all that a splice touches, or there is no result and one clear sentence why.
Blocking; run by the library's threads and by `channeld prepare`.
"""

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channeld.base.errors import PrepareError, ProbeError
from channeld.media import child, loudness
from channeld.media.cache import ClipCache, clip_key
from channeld.media.card import ensure_reference, key_of_profile
from channeld.media.clip import PreparedClip
from channeld.media.even_sound import EvenSound, even
from channeld.media.extents import WHOLE_FILE_S
from channeld.media.facts import STREAMS, AudioFacts, MediaFacts, VideoFacts, choose_audio
from channeld.media.ffmpeg_args import Sound, Voice, card_args, prepare_args
from channeld.media.filters import AUDIO_SURPLUS_S
from channeld.media.job import STALL_S, Job, OnBlock, SoundChangedError, ignore_progress, run_job
from channeld.media.opened import opened
from channeld.media.plan import Plan, Trim, make_plan
from channeld.media.probe import probe
from channeld.media.profile import Profile
from channeld.media.tools import Tools, find_tools
from channeld.media.verdict import EVERY_INPUT, DecodeLog, Tolerance, check_declared, judge

UNSEEN_PATIENCE = 4
"""Nothing comes of FFmpeg while it decodes what does not air, which may go no faster than a quarter of real time."""


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """What to conform: a file, or a URL, which the library downloads first.

    Seconds from the source's start; `out_s` is exclusive. `urgent`: must air within seconds.
    """

    source: Path | str
    profile: Profile
    facts: MediaFacts | None = None
    in_s: float = 0.0
    out_s: float | None = None
    duration_s: float | None = None
    urgent: bool = False

    @property
    def trim(self) -> Trim:
        """The part that airs."""
        return Trim(self.in_s, self.out_s, self.duration_s)

    @property
    def file(self) -> Path:
        """The source, which FFmpeg may open: never a URL. Raises PrepareError."""
        if not isinstance(self.source, Path):
            raise PrepareError("a URL must be downloaded before it is prepared")
        return self.source


def request_key(request: PrepareRequest, cache: ClipCache, tools: Tools | None = None) -> str:
    """Name of the clip that a request becomes; reads samples of a file not seen before. Raises OSError, ProcessError.

    A URL's clip is named by the URL and what its server last said of the content.
    """
    if isinstance(request.source, Path):
        content = cache.fingerprints.of(request.source)
    else:
        content = f"url:{request.source}|{cache.urls.known(request.source)}"
    language = request.profile.audio_language or ""
    return clip_key(content, key_of_profile(request.profile, tools or find_tools()), request.trim, language)


def prepare(
    request: PrepareRequest,
    cache: ClipCache,
    *,
    on_block: OnBlock = ignore_progress,
    should_stop: child.Stop = child.never,
    tolerance: Tolerance | None = None,
    tools: Tools | None = None,
    key: str | None = None,
    stall_s: float = STALL_S,
) -> PreparedClip:
    """The prepared clip, from the cache or made now; `on_block` hears of it as it grows and may put it on air.

    `key`: its name, where that is not to be made from the file: a download is named by its URL. `stall_s`: how long FFmpeg may stand still.
    Raises ProbeError and PrepareError, whose sentence says why the clip is refused; ChildStopped when `should_stop` became true;
    OSError, SpawnError and ChildStalled when disk or machine refuse, which says nothing of the clip.
    """
    tools, tolerance = tools or find_tools(), tolerance or Tolerance()
    if key is not None and (found := cache.find(key)) is not None:
        return found
    with _opened(request) as file:
        facts = request.facts or probe(file, tools=tools, should_stop=should_stop)
        key = key or request_key(request, cache, tools)
        if (found := cache.find(key)) is not None:
            return found
        check_declared(facts, tolerance)
        reference = ensure_reference(cache, request.profile, tools)
        profile_key = key_of_profile(request.profile, tools)

        def run(work: _Layout) -> PreparedClip:
            sound_log = work.even_sound.log if work.even_sound is not None else None

            def decide(log: DecodeLog) -> tuple[str, ...]:
                return facts.warnings + judge(log, work.video, work.audio, work.expected_frames, tolerance, sound_log=sound_log)

            patience_s = stall_s + UNSEEN_PATIENCE * work.plan.unseen_s
            told = work.told(request, facts)
            job = Job(
                key, request.profile, profile_key, work.argv, work.plan.frames, told, patience_s, work.inputs, work.even_sound is None
            )
            return run_job(job, cache, reference, judge=decide, on_block=on_block, should_stop=should_stop)

        work = _lay_out(request, file, facts, tools, should_stop)
        if not work.has_changed_sound:
            with contextlib.suppress(SoundChangedError):
                return run(work)
        assert work.voice is not None  # silence does not change
        length_s = request.profile.fps.seconds(work.plan.frames) + AUDIO_SURPLUS_S
        picture = facts.video.index if facts.video is not None else None
        patience_s = stall_s + UNSEEN_PATIENCE * work.plan.unseen_s
        with even(work.voice, picture, length_s, cache.root, tools, stall_s=patience_s, should_stop=should_stop) as sound:
            return run(_lay_out(request, file, facts, tools, should_stop, sound))


@contextlib.contextmanager
def _opened(request: PrepareRequest) -> Iterator[Path]:
    """The source as FFmpeg may open it. Raises ProbeError, as for a file that FFmpeg cannot open; OSError when its path was changed."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(request.file))
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise
            raise ProbeError(error.strerror or str(error)) from error
        yield file


@dataclass(frozen=True, slots=True)
class _Layout:
    """A request made concrete: tracks, plan, sound and command line. `video` None: a card or cover stands for it.

    `has_changed_sound`: it was heard to have more than one rate or number of channels. `even_sound`: what stands for the file's own.
    """

    argv: list[str]
    plan: Plan
    sound: Sound
    video: VideoFacts | None
    audio: AudioFacts | None
    voice: Voice | None
    is_still: bool
    has_changed_sound: bool
    even_sound: EvenSound | None

    @property
    def inputs(self) -> range:
        """Which of FFmpeg's inputs are the file: a card comes before it, sound that was made even behind it."""
        has_card = self.video is None and not self.is_still
        return range(int(has_card), EVERY_INPUT.stop if self.even_sound is None else 1)

    @property
    def expected_frames(self) -> int:
        return 1 if self.is_still else self.plan.picture_frames

    def told(self, request: PrepareRequest, facts: MediaFacts) -> dict[str, Any]:
        """Facts for the index, few and small."""
        return {
            "source": request.file.name,
            "container": facts.container,
            "video": self.video.codec if self.video else None,
            "audio": self.audio.codec if self.audio else None,
            "dropped": list(facts.dropped_tracks(self.audio))[:16],
            "gain_db": self.sound.gain_db,
        }


def _lay_out(
    request: PrepareRequest, file: Path, facts: MediaFacts, tools: Tools, should_stop: child.Stop, even_sound: EvenSound | None = None
) -> _Layout:
    """`even_sound`: what is heard in place of the file's own."""
    profile = request.profile
    audio = choose_audio(facts, profile.audio_language)
    plan = make_plan(facts, audio, request.trim, profile.fps)
    audio = _heard(audio, plan)
    voice = Voice(file, audio.index, plan) if audio is not None else None
    voice = even_sound.voice if even_sound is not None else voice
    sound, has_changed_sound = Sound(), False
    if voice is not None:
        heard = loudness.measure(voice, profile.fps.seconds(plan.frames), tools, urgent=request.urgent, should_stop=should_stop)
        sound, has_changed_sound = loudness.level(heard, profile.loudness), heard.has_changed
    picture = facts.video
    is_still = facts.is_image
    if picture is None and facts.cover is not None:
        picture, is_still = facts.cover, True
    if picture is None:
        argv = card_args(request.file.stem.replace("_", " "), voice, plan, profile, sound, tools)
    else:
        # Where clocks may jump, FFmpeg needs the pictures to tell a pause of the sound from a jump.
        is_apart = even_sound is not None or facts.container not in STREAMS
        followed = audio.index if audio is not None and even_sound is not None and plan.jump_s is not None else None
        argv = prepare_args(file, picture, voice, plan, profile, sound, tools, is_still=is_still, is_apart=is_apart, followed=followed)
    return _Layout(argv, plan, sound, facts.video, audio, voice, is_still, has_changed_sound, even_sound)


def _heard(audio: AudioFacts | None, plan: Plan) -> AudioFacts | None:
    """The track, unless it ends before the clip begins: then silence is made for it."""
    if audio is not None and audio.span.end_s is not None and audio.span.end_s <= plan.origin_s:
        return None
    return audio


def check(
    request: PrepareRequest,
    tolerance: Tolerance | None = None,
    tools: Tools | None = None,
    *,
    whole_s: float = WHOLE_FILE_S,
    should_stop: child.Stop = child.never,
) -> MediaFacts:
    """Probe a source and refuse it for what can be known without decoding. `whole_s` and errors as of `probe`, and PrepareError."""
    facts = request.facts
    if facts is None:
        with _opened(request) as file:
            facts = probe(file, tools=tools, whole_s=whole_s, should_stop=should_stop)
    check_declared(facts, tolerance or Tolerance())
    audio = choose_audio(facts, request.profile.audio_language)
    if make_plan(facts, audio, request.trim, request.profile.fps).frames < 1:
        raise PrepareError("nothing is left of the clip")
    return facts
