"""What a media file holds, found out without trusting it.

Rule: the file is read by a confined child with a deadline and a bounded answer; whatever it is, we get MediaFacts or a ProbeError
whose sentence a channel's owner understands. Blocking; run by prepare jobs and by `channeld probe`.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from channeld.base.errors import ChildExited, ChildKilled, ChildStalled, ProbeError, ProcessError, SpawnError
from channeld.media import child
from channeld.media.extents import WHOLE_FILE_S, measure_ends
from channeld.media.facts import AudioFacts, Colour, MediaFacts, Picture, Span, VideoFacts
from channeld.media.ffmpeg_args import banner_args, ffprobe_args
from channeld.media.probe_banner import parse_banner
from channeld.media.tools import Tools, find_tools

MAX_ANSWER_BYTES = 1 << 20
VFR_RATIO = 1.02
STILL_CODECS = ("mjpeg", "png", "bmp", "tiff", "webp", "jpegxl", "jpeg2000", "ppm", "pgm", "targa", "qoi")


def probe(
    path: Path,
    *,
    timeout_s: float = 20.0,
    whole_s: float = WHOLE_FILE_S,
    tools: Tools | None = None,
    should_stop: child.Stop = child.never,
) -> MediaFacts:
    """Facts of a media file. `whole_s`: how long it may take to read a file whose clock jumps, if that is more than `timeout_s`.

    Raises ProbeError: empty, not media, no tracks; another ProcessError, or OSError, when nothing can be said of it.
    """
    tools = tools or find_tools()
    started = time.monotonic()
    facts = look(path, timeout_s=timeout_s, tools=tools, should_stop=should_stop)
    if facts.is_image:
        return facts
    left_s = max(1.0, timeout_s - (time.monotonic() - started))
    return measure_ends(path, facts, tools=tools, timeout_s=left_s, whole_s=max(left_s, whole_s), should_stop=should_stop)


def look(path: Path, *, timeout_s: float, tools: Tools, should_stop: child.Stop = child.never) -> MediaFacts:
    """What the file declares, its ends not measured. Raises as `probe`."""
    _check_file(path)
    try:
        answer = child.twice(lambda: _ask(path, tools, timeout_s, should_stop, is_patient=False))
        is_late = any(_is_unknown_picture(stream) for stream in answer.get("streams", []))
        if is_late:
            answer = child.twice(lambda: _ask(path, tools, timeout_s, should_stop, is_patient=True))
    except (ChildKilled, ChildStalled, child.ChildStopped, SpawnError):
        raise  # perhaps the machine's fault, or the disk's: no verdict on the file
    except ChildExited as error:
        # By which path FFmpeg had it is nobody's business: it may be that of a descriptor.
        raise ProbeError(_first_reason(error.stderr_tail.replace(f"file:{path.absolute()}: ", ""))) from error
    except (ProcessError, ValueError) as error:
        raise ProbeError(f"not readable as media: {error}") from error
    return replace(read_answer(answer), is_known_late=is_late)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ProbeError("not a file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ProbeError(error.strerror or str(error)) from error
    if size == 0:
        raise ProbeError("the file is empty")


def _is_unknown_picture(stream: Any) -> bool:
    """A picture whose size is not known: a recording that was cut far from its next key frame."""
    return isinstance(stream, dict) and stream.get("codec_type") == "video" and bool(stream.get("codec_name")) and not stream.get("width")


def _ask(path: Path, tools: Tools, timeout_s: float, should_stop: child.Stop, *, is_patient: bool) -> dict[str, Any]:
    if tools.ffprobe is None:
        lines: list[str] = []
        try:
            argv = banner_args(path, tools, is_patient=is_patient)
            child.run(argv, max_bytes=MAX_ANSWER_BYTES, deadline_s=timeout_s, on_line=lines.append, should_stop=should_stop)
        except ChildExited as error:
            # FFmpeg without an output always ends with status 1; only a missing banner means trouble.
            if not any(line.lstrip().startswith("Stream #") for line in lines):
                raise error
        return parse_banner(lines)
    answer = child.run(
        ffprobe_args(path, tools, is_patient=is_patient), max_bytes=MAX_ANSWER_BYTES, deadline_s=timeout_s, should_stop=should_stop
    )
    parsed = json.loads(answer)
    if not isinstance(parsed, dict):
        raise ValueError("no answer")
    return parsed


def _first_reason(stderr: str) -> str:
    """The last line that says why, without the `[demuxer @ 0x…]` in front."""
    lines = [line.split("] ", 1)[-1].strip() for line in stderr.splitlines() if line.strip()]
    if any("not on whitelist" in line for line in lines):
        return "a kind of file or codec that is not accepted"
    specific = [line for line in lines if "Invalid data found" not in line and not line.startswith("file:")]
    return f"not readable as media: {(specific or lines or ['no reason given'])[-1]}"


def read_answer(answer: dict[str, Any]) -> MediaFacts:
    """MediaFacts from ffprobe's JSON. Raises ProbeError when there is no track that could air."""
    container = answer.get("format", {})
    start_s = _number(container.get("start_time")) or 0.0
    streams = [stream for stream in answer.get("streams", []) if isinstance(stream, dict)]
    name = str(container.get("format_name", ""))
    covers = [s for s in streams if s.get("codec_type") == "video" and s.get("disposition", {}).get("attached_pic")]
    videos = [s for s in streams if s.get("codec_type") == "video" and s not in covers and s.get("width") and s.get("codec_name")]
    sounds = [s for s in streams if s.get("codec_type") == "audio" and s.get("codec_name") not in (None, "unknown")]
    sounds = _of_one_program(videos[:1], sounds, answer.get("programs"))
    video = _video(videos[0], start_s) if videos else None
    audio = tuple(_audio(stream, start_s) for stream in sounds)
    if video is None and not audio:
        raise ProbeError("no video or audio track")
    used = {id(stream) for stream in (*videos[:1], *sounds, *covers[:1])}
    dropped = tuple(_name(stream) for stream in streams if id(stream) not in used)
    is_image = (
        not audio and video is not None and ((name.endswith("_pipe") and video.codec in STILL_CODECS) or _is_still_gif(name, videos[0]))
    )
    cover = _video(covers[0], start_s) if covers and covers[0].get("width") else None
    return MediaFacts(name, start_s, _number(container.get("duration")), video, audio, is_image, cover, dropped)


def _is_still_gif(container: str, stream: dict[str, Any]) -> bool:
    return container == "gif" and str(stream.get("nb_frames")) == "1"


def _of_one_program(videos: list[dict[str, Any]], sounds: list[dict[str, Any]], programs: Any) -> list[dict[str, Any]]:
    """The sounds that belong to a picture: in a broadcast of several programs those of its own."""
    of_picture: set[int] = set()
    for program in programs if isinstance(programs, list) else []:
        indexes = {stream.get("index") for stream in program.get("streams", [])}
        if videos and videos[0].get("index") in indexes:
            of_picture |= indexes
    return [sound for sound in sounds if sound.get("index") in of_picture] if of_picture else sounds


def _name(stream: dict[str, Any]) -> str:
    kind, codec = stream.get("codec_type", "unknown"), stream.get("codec_name", "unknown")
    language = stream.get("tags", {}).get("language")
    return f"{kind} {stream.get('index')} ({codec}{', ' + language if language else ''})"


def _video(stream: dict[str, Any], start_s: float) -> VideoFacts:
    average, nominal = _ratio(stream.get("avg_frame_rate")), _ratio(stream.get("r_frame_rate"))
    rotation = 0
    for side in stream.get("side_data_list", []):
        rotation = round(-float(side.get("rotation", 0))) % 360 if "rotation" in side else rotation
    picture = Picture(
        int(stream["width"]),
        int(stream["height"]),
        _aspect(stream.get("sample_aspect_ratio")),
        rotation,
        str(stream.get("pix_fmt", "")),
        str(stream.get("field_order", "unknown")),
    )
    colour = Colour(*(_known(stream.get(key)) for key in ("color_range", "color_space", "color_primaries", "color_transfer")))
    is_vfr = bool(average and nominal and not 1 / VFR_RATIO <= nominal / average <= VFR_RATIO)
    captions = bool(stream.get("closed_captions"))
    return VideoFacts(
        int(stream["index"]), str(stream["codec_name"]), picture, colour, _span(stream, start_s), average, nominal, is_vfr, captions
    )


def _audio(stream: dict[str, Any], start_s: float) -> AudioFacts:
    language = str(stream.get("tags", {}).get("language", ""))
    return AudioFacts(
        int(stream["index"]),
        str(stream["codec_name"]),
        int(_number(stream.get("sample_rate")) or 0),
        int(stream.get("channels", 0)),
        "" if language == "und" else language,
        _span(stream, start_s),
        bool(stream.get("disposition", {}).get("default")),
    )


def _span(stream: dict[str, Any], start_s: float) -> Span:
    own = _number(stream.get("start_time"))
    return Span((own - start_s) if own is not None else 0.0, _number(stream.get("duration")), None)


def _known(value: Any) -> str:
    return "" if value in (None, "unknown", "reserved") else str(value)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _ratio(value: Any) -> float:
    num, _, den = str(value or "0/0").partition("/")
    try:
        return float(num) / float(den or 1)
    except (ValueError, ZeroDivisionError):
        return 0.0


def _aspect(value: Any) -> tuple[int, int]:
    num, _, den = str(value or "1:1").partition(":")
    try:
        pair = int(num), int(den)
    except ValueError:
        return 1, 1
    return pair if pair[0] > 0 and pair[1] > 0 else (1, 1)
