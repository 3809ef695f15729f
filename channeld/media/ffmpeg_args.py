"""Every FFmpeg command line of media work, as argument lists.

Rule: the only importer of ffmpeg-python; every input goes through the whitelist; nothing here starts a process. Pure.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from channeld.base.units import FrameRate
from channeld.media import filters
from channeld.media.facts import VideoFacts
from channeld.media.h265_args import h265_options
from channeld.media.live_input import PATTERN, LiveInput
from channeld.media.picture_rules import NOT_LOOKED_AT, PictureRules
from channeld.media.plan import Plan
from channeld.media.profile import COMPOSITION_DELAY, DECODER_BUFFER_S, PEAK_RATIO, Profile
from channeld.media.stillness import SILENCE_FILTER, STILL_FILTER
from channeld.media.tools import Tools
from channeld.media.treatment import NO_TREATMENT, Pairs, Treatment
from channeld.media.whitelist import input_options
from channeld.ts.nal import VideoCodec

_QUIET = ("-nostdin", "-hide_banner", "-nostats")
# `repeat`: errors are counted, so none may be folded away. Verbose: counts of decoded frames are told at that level.
_COUNTED = ("-loglevel", "repeat+level+verbose")
_TOLD = ("-loglevel", "repeat+level+info")
_JUMP_S = 10.0
"""How far ahead a clock must go for FFmpeg to take it for a jump (its default)."""
# An encoder that begins anew on the same connection begins near 0; by default FFmpeg waits so long for its clock to come round again.
_JUMPS = ("-dts_delta_threshold", "1")
# FFmpeg's own are 5 s and 5 MB: less than a broadcast has from one key frame to the next.
_PATIENCE = {"analyzeduration": "30000000", "probesize": "200000000"}
_LAVFI = {
    "f": "lavfi",
    "format_whitelist": "lavfi",
    "protocol_whitelist": "pipe",
    "codec_whitelist": "wrapped_avframe,rawvideo,pcm_u8,pcm_f32le,pcm_s16le",
}

# Not those of other encoders, or (the level) not written as they want it.
_X264_OPTIONS = frozenset(("preset", "tune", "level", "x264-params", "a53cc"))
_ANNEX_B = {VideoCodec.H264: "h264_mp4toannexb", VideoCodec.H265: "hevc_mp4toannexb"}
SILENCE = f"anullsrc=r={filters.AUDIO_RATE}:cl=stereo"


@dataclass(frozen=True, slots=True)
class Sound:
    """How the audio is levelled: one gain in dB, and whether a limiter stands behind it."""

    gain_db: float = 0.0
    is_limited: bool = False


@dataclass(frozen=True, slots=True)
class Voice:
    """A sound track as a reader of its own finds it: the file, the track's number there, and where the clip lies in that file's time."""

    source: Path
    index: int
    plan: Plan


def prepare_args(
    source: Path,
    video: VideoFacts,
    voice: Voice | None,
    plan: Plan,
    profile: Profile,
    sound: Sound,
    tools: Tools,
    *,
    is_still: bool = False,
    is_apart: bool = False,
    followed: int | None = None,
) -> list[str]:
    """Conform a source to the house format on stdout. A still is one picture (an image, cover art) held for the whole clip.

    `voice` None: silence. `is_apart`: it has a reader of its own, even of the same file, so that where it ends or pauses silence follows at
    once, not at the end of the pictures. `followed`: a track of the source that is read and thrown away, for its clock.
    """
    media = _source(source, plan.seek_s, {"noaccurate_seek": None, "reinit_filter:v": 0, "max_error_rate": 1} | _patience(plan))
    heard = media[str(voice.index)] if voice is not None and not is_apart else _heard(voice)
    chains = filters.picture_chain(video, plan, profile, is_still=is_still), _sound_chain(voice, plan, profile, sound)
    options = _house_options(profile) | _filters(*chains)
    beside = None if followed is None else _Followed(media[str(followed)], plan.shift_s + profile.fps.seconds(plan.frames))
    return _command(tools, [media[str(video.index)], heard], options, plan, beside)


def card_args(title: str, voice: Voice | None, plan: Plan, profile: Profile, sound: Sound, tools: Tools) -> list[str]:
    """A dark card with a title for the clip's length, with a source's sound or with silence: the filler, and audio-only files."""
    card = ffmpeg.input(filters.card_source(profile), **_LAVFI)
    chains = filters.card_chain(title, plan, profile), _sound_chain(voice, plan, profile, sound)
    return _command(tools, [card["0"], _heard(voice)], _house_options(profile) | _filters(*chains), plan)


def measure_args(voice: Voice, length_s: float, tools: Tools) -> list[str]:
    """Measure loudness and true peak of `length_s` seconds of a track; the summary comes on stderr, signs of life on stdout."""
    options: dict[str, Any] = {"filter:a": filters.loudness_chain(voice.plan, length_s), "f": "null"}
    argv = ffmpeg.output(_heard(voice), "-", **options).get_args()
    return [tools.ffmpeg, *_QUIET, "-loglevel", "info", "-progress", "pipe:1", *_over_jumps(voice.plan.jump_s), *argv]


def even_args(voice: Voice, length_s: float, tools: Tools, *, followed: int | None = None) -> list[str]:
    """Decode `length_s` seconds of a track to one sample rate and stereo, on stdout: Matroska, whose time begins with the clip's.

    `followed`: as in `prepare_args`.
    """
    media = _read_apart(voice)
    # A second track, of silence, which begins at 0 for certain: a reader counts from the first of all.
    begin = ffmpeg.input(SILENCE, t="0.1", **_LAVFI)["0"]
    options = {"filter:a:0": filters.even_chain(voice.plan, length_s), "c:a": "pcm_f32le", "ar": filters.AUDIO_RATE, "f": "matroska"}
    beside = None if followed is None else _Followed(media[str(followed)], voice.plan.shift_s + length_s)
    return _command(tools, [media[str(voice.index)], begin], options, voice.plan, beside)


def packets_args(source: Path, indexes: list[int], start_s: float, tools: Tools, *, is_patient: bool = False) -> list[str]:
    """List the packets of some tracks from about `start_s` on, without decoding, with the file's own timestamps."""
    media = _source(source, start_s, _PATIENCE if is_patient else {})
    return [tools.ffmpeg, *_QUIET, "-loglevel", "error", "-copyts", *_listed(media, indexes)]


def whole_packets_args(source: Path, indexes: list[int], jump_s: float, tools: Tools) -> list[str]:
    """List all packets of some tracks of a file whose clock jumps, with timestamps that begin at 0 and go on."""
    media = _source(source, 0.0, _PATIENCE)
    return [tools.ffmpeg, *_QUIET, "-loglevel", "error", *_over_jumps(jump_s), *_listed(media, indexes)]


def _listed(media: Any, indexes: list[int]) -> list[str]:
    argv: list[str] = ffmpeg.output(*[media[str(index)] for index in indexes], "pipe:1", c="copy", copyinkf=None, f="framecrc").get_args()
    return argv


def live_args(
    live: LiveInput,
    profile: Profile,
    tools: Tools,
    *,
    has_sound: bool,
    watched: PictureRules = NOT_LOOKED_AT,
    treatment: Treatment = NO_TREATMENT,
) -> list[str]:
    """Conform a live source to the house format on stdout, for as long as it lasts. `has_sound` False: its pictures alone.

    `watched`: FFmpeg says on stderr when the picture stands still or is black, or there is no sound. `treatment`: of a relay's profile.
    """
    has_sound = has_sound and treatment.has_sound
    if live.url == PATTERN:
        pattern = ffmpeg.input(filters.pattern_source(profile), re=None, **_LAVFI)
        tone = ffmpeg.input(filters.PATTERN_TONE, re=None, **_LAVFI)
        streams, picture = [pattern["v:0"], tone["a:0"]], filters.pattern_chain(profile)
    else:
        media = ffmpeg.input(live.url, **_opened(live, treatment.reading + treatment.decoding))
        streams = [media[treatment.picture_stream], *([media[treatment.sound_stream]] if has_sound else [])]
        picture = filters.live_picture_chain(profile, treatment.picture)
    sound = filters.live_sound_chain(treatment.sound)
    upload = [treatment.upload] if treatment.upload else []
    chains = {
        "filter:v": ",".join([picture, *watched.picture_filters(), *upload]),
        "filter:a": ",".join([sound, *watched.sound_filters()]),
    }
    options = _live_options(profile, treatment) | chains
    if len(streams) == 1:
        options = {name: value for name, value in options.items() if name not in {*_audio_options(profile), "filter:a"}}
    devices = [word for pair in treatment.devices for word in (f"-{pair[0]}", pair[1]) if word is not None]
    return [tools.ffmpeg, *_QUIET, *_TOLD, *_JUMPS, *devices, *ffmpeg.output(*streams, "pipe:1", **options).get_args()]


def live_copy_args(
    live: LiveInput,
    tools: Tools,
    treatment: Treatment = NO_TREATMENT,
    *,
    codec: VideoCodec = VideoCodec.H264,
    shifted_at: FrameRate | None = None,
) -> list[str]:
    """The same of a source that is in the house format already: its packets as they are.

    `shifted_at`: it has no B-frames; its pictures are said to be decoded a frame of this rate before they are shown.
    """
    media = ffmpeg.input(live.url, **_opened(live, treatment.reading))
    options = _mux_options() | {"c": "copy", "bsf:v": _ANNEX_B[codec]}
    if codec is VideoCodec.H265 and "rtsp_transport" in live.options:
        options["bsf:v"] += ",dump_extra=freq=keyframe"  # a camera may tell its parameter sets in the SDP alone
    if shifted_at is not None:
        options["bsf:v"] += _shift(shifted_at)
    streams = media[treatment.picture_stream], media[treatment.sound_stream]
    return [tools.ffmpeg, *_QUIET, *_TOLD, *_JUMPS, *ffmpeg.output(*streams, "pipe:1", **options).get_args()]


def _opened(live: LiveInput, said: Pairs) -> dict[str, Any]:
    """How FFmpeg opens a live source: what confines it, and what a relay's profile says over the rest."""
    options = live.options | dict(said)
    if "http" in str(options.get("rtsp_transport", "")):
        options["protocol_whitelist"] += ",http,https,httpproxy,tls"
    if decoder := str(options.get("c:v") or ""):
        options["codec_whitelist"] += f",{decoder}"  # those of hardware are in no list of ours
    return options


def _live_options(profile: Profile, treatment: Treatment) -> dict[str, Any]:
    """The house format by whichever encoder; all but x264 have parameter sets of their own."""
    house = _house_options(profile)
    if profile.codec is VideoCodec.H265:  # of relays, only those come here that copy and have to encode after all: they say nothing of it
        return house | h265_options(profile, is_live=True)
    if treatment.has_own_parameter_sets:
        return _foreign_options(house, profile, treatment)
    x264 = _x264_params(profile, is_live=True, said=treatment.x264_params)
    return house | {"x264-params": x264} | dict(treatment.encoding)


def _foreign_options(house: dict[str, Any], profile: Profile, treatment: Treatment) -> dict[str, Any]:
    video = {key: value for key, value in house.items() if key not in _X264_OPTIONS}
    video |= {"c:v": treatment.encoder, "g": profile.gop_frames, "bf": 0} | dict(treatment.encoding)
    if str(video["bf"]) == "0":
        # Without B-frames it gives DTS and PTS alike, and FFmpeg writes one of them; the splicer needs room for both, a frame apart.
        video["bsf:v"] += _shift(profile.fps)
    return video


def _shift(fps: FrameRate) -> str:
    return f",setts=dts=DTS-{COMPOSITION_DELAY * fps.den}/(TB*{fps.num})"


def ffprobe_args(source: Path, tools: Tools, *, is_patient: bool = False) -> list[str]:
    """Ask ffprobe for container, programs and tracks as JSON. `is_patient`: it may read far to find what a track is."""
    assert tools.ffprobe is not None
    shown = ["-show_format", "-show_programs", "-show_streams", "-of", "json"]
    return [tools.ffprobe, "-hide_banner", "-loglevel", "error", *shown, *_asked(source, is_patient)]


def banner_args(source: Path, tools: Tools, *, is_patient: bool = False) -> list[str]:
    """Have FFmpeg print what it sees; it ends with status 1, as there is no output."""
    return [tools.ffmpeg, *_QUIET, *_asked(source, is_patient)]


def _asked(source: Path, is_patient: bool) -> list[str]:
    url, options = input_options(source)
    options = options | (_PATIENCE if is_patient else {})
    return [*(word for key, value in options.items() for word in (f"-{key}", value)), "-i", url]


def _heard(voice: Voice | None) -> Any:
    """A sound by a reader of its own; None: silence."""
    if voice is None:
        return ffmpeg.input(SILENCE, **_LAVFI)["0"]
    return _read_apart(voice)[str(voice.index)]


def _read_apart(voice: Voice) -> Any:
    return _source(voice.source, voice.plan.seek_s, {"noaccurate_seek": None, "max_error_rate": 1} | _patience(voice.plan))


def _patience(plan: Plan) -> dict[str, str]:
    return _PATIENCE if plan.is_known_late else {}


def _sound_chain(voice: Voice | None, plan: Plan, profile: Profile, sound: Sound) -> str:
    shift_s = voice.plan.shift_s if voice is not None else None
    return filters.sound_chain(shift_s, plan, profile, gain_db=sound.gain_db, is_limited=sound.is_limited)


def _source(source: Path, seek_s: float, options: dict[str, Any]) -> Any:
    url, confined = input_options(source)
    seek = {"ss": f"{seek_s:.6f}"} if seek_s else {}
    # Any offset keeps FFmpeg from counting a transport stream's time from the first of the tracks that it is asked for.
    return ffmpeg.input(url, **confined, **seek, itsoffset="0.000001", **options)


def _over_jumps(jump_s: float | None) -> list[str]:
    """Pictures and sound do not jump at one moment: FFmpeg takes what is not yet behind a step back for a step ahead, and back again."""
    return [] if jump_s is None else ["-dts_delta_threshold", f"{min(_JUMP_S, max(1.0, jump_s / 2)):.3f}"]


@dataclass(frozen=True, slots=True)
class _Followed:
    """A stream that is read and thrown away for its clock, up to `end_s` of FFmpeg's time: else all of the file would be read for it."""

    stream: Any
    end_s: float


def _command(tools: Tools, streams: list[Any], options: dict[str, Any], plan: Plan, followed: _Followed | None = None) -> list[str]:
    output = ffmpeg.output(*streams, "pipe:1", **options)
    if followed is not None:
        thrown_away = ffmpeg.output(followed.stream, "-", c="copy", f="null", t=f"{followed.end_s + 1:.6f}")
        output = ffmpeg.merge_outputs(output, thrown_away)
    return [tools.ffmpeg, *_QUIET, *_COUNTED, *_over_jumps(plan.jump_s), *output.get_args()]


def _filters(picture: str, sound: str) -> dict[str, Any]:
    """Both chains, each with a detector behind it that looks and changes nothing."""
    return {"filter:v": f"{picture},{STILL_FILTER}", "filter:a": f"{sound},{SILENCE_FILTER}"}


def _house_options(profile: Profile) -> dict[str, Any]:
    picture = _h264_options(profile) if profile.codec is VideoCodec.H264 else h265_options(profile)
    return picture | _audio_options(profile) | _mux_options()


def _x264_params(profile: Profile, *, is_live: bool = False, said: Pairs = ()) -> str:
    gop = profile.gop_frames
    x264: dict[str, Any] = {
        "keyint": gop, "min-keyint": gop, "scenecut": 0, "open-gop": 0, "bframes": 3, "b-pyramid": "none",
        "stitchable": 1, "force-cfr": 1, "nal-hrd": "none", "fps": f"{profile.fps.num}/{profile.fps.den}",
    }  # fmt: skip
    if is_live:  # neither is told in the parameter sets
        x264 |= {"rc-lookahead": 6, "sync-lookahead": 0} | dict(said)
    assert COMPOSITION_DELAY == 1  # what b-pyramid=none gives
    return ":".join(f"{key}={value}" for key, value in x264.items())


def _h264_options(profile: Profile) -> dict[str, Any]:
    return {
        "c:v": "libx264",
        "preset": profile.preset,
        **({"tune": profile.tune} if profile.tune is not None else {}),
        "profile:v": "high",
        "level": profile.level,
        "x264-params": _x264_params(profile),
        "b:v": profile.video_bitrate,
        "maxrate": round(profile.video_bitrate * PEAK_RATIO),
        "bufsize": round(profile.video_bitrate * DECODER_BUFFER_S),
        "a53cc": 1,
        "fps_mode": "passthrough",
        # Without each of these the SPS depends on what the source says of itself (DESIGN, the house format).
        "color_range": "tv",
        "colorspace": "bt709",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "chroma_sample_location": "left",
        "bsf:v": "h264_metadata=chroma_sample_loc_type=0",
    }


def _audio_options(profile: Profile) -> dict[str, Any]:
    return {"c:a": "aac", "profile:a": "aac_low", "b:a": profile.audio_bitrate, "ar": filters.AUDIO_RATE, "ac": 2}


def _mux_options() -> dict[str, Any]:
    return {
        "map_metadata": -1,
        "map_chapters": -1,
        "max_muxing_queue_size": 8192,
        "f": "mpegts",
        "mpegts_start_pid": 0x100,
        "mpegts_pmt_start_pid": 0x1000,
        "pes_payload_size": 0,
        "muxdelay": 0,
        "muxpreload": 0,
        # The splicer writes the PCRs; FFmpeg only has to leave room for one in every picture (its own default is each 100 ms).
        "pcr_period": 1,
        "flush_packets": 1,
    }
