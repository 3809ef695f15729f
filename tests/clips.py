"""Makers of real test clips: numbered pictures and marks in every shape that a channel must take, by real FFmpeg.

Rule: a clip is made once for its path and never changed; the same arguments give the same pictures and sound.
Usage: `shelf = ClipShelf(tmp)`, `shelf.get("vfr.mkv", vfr_clip)` or `shelf.get("a.mp4", numbered_clip, frames=50, fps=25)`.
"""

import subprocess
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from judge.decode import SAMPLE_RATE, Gray, audio_samples, audio_start, frame_times, gray_frames
from judge.marks import TONE_HZ, beep_onsets, flash_onsets, pictures, read_number, sound

Rate = Fraction | int
_TIMEOUT_S = 300.0
_SAME_MARK_S = 0.45

VIDEO_CODECS: dict[str, tuple[str, ...]] = {
    "h264": ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "20"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "22", "-x265-params", "log-level=error:pools=1"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "3"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "3"),
    "ffv1": ("-c:v", "ffv1"),
}
AUDIO_CODECS: dict[str, tuple[str, ...]] = {
    "aac": ("-c:a", "aac", "-b:a", "128k"),
    "mp3": ("-c:a", "libmp3lame"),
    "opus": ("-c:a", "libopus"),
    "vorbis": ("-c:a", "libvorbis"),
    "ac3": ("-c:a", "ac3"),
    "pcm": ("-c:a", "pcm_s16le"),
}


class ClipShelf:
    """A folder of clips made on demand, for a whole test session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, maker: Callable[..., Path], **facts: Any) -> Path:
        """The clip `name`, made with these arguments if it is not there yet."""
        path = self.folder / name
        return path if path.exists() else maker(path, **facts)


def numbered_clip(
    path: Path,
    *,
    frames: int,
    fps: Rate = 25,
    size: tuple[int, int] = (640, 360),
    base: int = 0,
    audio: str | None = "tone",
    codec: str = "h264",
    acodec: str = "aac",
    rate: int = SAMPLE_RATE,
    channels: int = 2,
    tone_hz: int = TONE_HZ,
    filters: str = "",
    options: Iterable[str] = (),
) -> Path:
    """A clip of `frames` pictures with the numbers base, base + 1 …, its container by the path's suffix.

    `filters`: a video filter chain before the encoder; `options`: further FFmpeg output options (`-t` limits both tracks).
    """
    exact = Fraction(fps)
    command = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", str(exact), "-i", "pipe:0"]
    wave = path.with_name(f".{path.name}.f32")
    if audio is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        wave.write_bytes(np.repeat(sound(frames, exact, rate, tone_hz=tone_hz), channels).tobytes())
        command += [*_pcm_input(wave, rate, channels), "-map", "0:v", "-map", "1:a", *AUDIO_CODECS[acodec]]
    chain = [filters] if filters else []
    chain += [] if "-pix_fmt" in options else ["format=yuv420p"]
    command += ["-vf", ",".join(chain)] if chain else []
    try:
        return _make(path, [*command, *VIDEO_CODECS[codec], *options], pictures(frames, exact, size, base))
    finally:
        wave.unlink(missing_ok=True)


def _pcm_input(wave: Path, rate: int, channels: int) -> list[str]:
    return ["-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", f"file:{wave}"]


def _make(path: Path, arguments: list[str], frames: Iterable[Gray] = ()) -> Path:
    """Run FFmpeg into a name of its own, then rename: a clip that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".making-{path.name}")
    command = ["ffmpeg", "-hide_banner", "-v", "error", "-y", *arguments, f"file:{unfinished}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        try:
            for frame in frames:
                child.stdin.write(frame.tobytes())
        except BrokenPipeError:
            pass  # FFmpeg ended early, by -t or by an error that its exit status tells
        _, complaints = child.communicate(timeout=_TIMEOUT_S)
    if child.returncode:
        raise RuntimeError(f"FFmpeg could not make {path.name}: {complaints.decode(errors='replace')}")
    unfinished.rename(path)
    return path


def read_numbers(source: Path | Iterable[Gray], *, aspect: Fraction | None = None) -> list[int | None]:
    """The number in every decoded picture, None where there is none. `aspect`: of the clip as displayed, if it is boxed."""
    seen = gray_frames(source) if isinstance(source, Path) else source
    return [read_number(picture, aspect) for picture in seen]


def av_sync(path: Path, *, aspect: Fraction | None = None) -> list[float]:
    """Sound after picture at every mark, in ms: beep onset − presentation time of the first picture with the flash.

    Raises ValueError when flashes and beeps do not pair up.
    """
    times, begin = frame_times(path), float(audio_start(path))
    flashes = [float(times[at]) for at in flash_onsets(gray_frames(path), aspect)]
    beeps = [begin + at for at in beep_onsets(audio_samples(path))]
    offsets = [1000 * (beep - flash) for flash in flashes for beep in beeps if abs(beep - flash) < _SAME_MARK_S]
    if len(offsets) != len(flashes) or len(offsets) != len(beeps):
        raise ValueError(f"{len(flashes)} flashes and {len(beeps)} beeps: {flashes[:8]} / {beeps[:8]}")
    return offsets


def vfr_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """Variable frame rate: pictures stay for 20 ms, 40 ms or 100 ms in turn (suffix .mkv or .mp4)."""
    uneven = r"setpts='(floor(N/3)*160+eq(mod(N\,3)\,1)*20+eq(mod(N\,3)\,2)*60)/1000/TB'"
    options = ("-fps_mode", "vfr", "-enc_time_base", "1/1000")
    return numbered_clip(path, frames=frames, base=base, filters=f"settb=1/1000,{uneven}", audio=None, options=options)


def interlaced_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """25 frames of two fields a second, top field first; each frame is made of two numbered pictures."""
    options = ("-flags", "+ildct+ilme", "-x264-params", "tff=1", "-field_order", "tt")
    filters = "tinterlace=mode=interleave_top,fieldorder=tff"
    return numbered_clip(path, frames=2 * frames, fps=50, size=(640, 480), base=base, filters=filters, options=options)


def rotated_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """Displayed upright at 360×640, coded lying at 640×360 with a display matrix (suffix .mp4)."""
    coded = numbered_clip(path.with_name(f".coded-{path.name}"), frames=frames, size=(360, 640), base=base, filters="transpose=cclock")
    try:
        return _make(path, ["-i", f"file:{coded}", "-c", "copy", "-metadata:s:v", "rotate=270"])
    finally:
        coded.unlink()


def hdr_clip(path: Path, *, frames: int = 25, base: int = 0) -> Path:
    """HEVC of 10 bits, tagged BT.2020 and SMPTE 2084."""
    tags = ("-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    x265 = "log-level=error:pools=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"
    options = (*tags, "-color_range", "tv", "-x265-params", x265)
    return numbered_clip(path, frames=frames, base=base, codec="hevc", options=options)


def full_range_clip(path: Path, *, frames: int = 25, base: int = 0) -> Path:
    """Levels 0 to 255, tagged so."""
    filters = "scale=in_range=full:out_range=full"
    return numbered_clip(path, frames=frames, base=base, filters=filters, options=("-pix_fmt", "yuvj420p", "-color_range", "pc"))


def surround_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """Six channels."""
    return numbered_clip(path, frames=frames, base=base, channels=6, options=("-channel_layout", "5.1"))


def mono_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """One channel of 22.05 kHz."""
    return numbered_clip(path, frames=frames, base=base, channels=1, rate=22_050)


def silent_clip(path: Path, *, frames: int = 50, base: int = 0) -> Path:
    """No audio track."""
    return numbered_clip(path, frames=frames, base=base, audio=None)


def film_clip(path: Path, *, frames: int = 48, base: int = 0) -> Path:
    """24000/1001 frames a second."""
    return numbered_clip(path, frames=frames, fps=Fraction(24000, 1001), base=base)


def fast_clip(path: Path, *, frames: int = 120, base: int = 0) -> Path:
    """60 frames a second."""
    return numbered_clip(path, frames=frames, fps=60, base=base)


def audio_clip(path: Path, *, seconds: int = 2, acodec: str = "aac") -> Path:
    """No video track."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = path.with_name(f".{path.name}.f32")
    wave.write_bytes(np.repeat(sound(25 * seconds, Fraction(25), SAMPLE_RATE), 2).tobytes())
    try:
        return _make(path, [*_pcm_input(wave, SAMPLE_RATE, 2), *AUDIO_CODECS[acodec]])
    finally:
        wave.unlink()


def still_image(path: Path, *, number: int = 0, size: tuple[int, int] = (640, 360)) -> Path:
    """One numbered picture (suffix .png or .jpg)."""
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:0", "-frames:v", "1", "-update", "1"]
    return _make(path, source, pictures(1, Fraction(25), size, number))


def quiet_clip(path: Path, *, seconds: int = 6, size: tuple[int, int] = (320, 180)) -> Path:
    """Black, and silent."""
    picture = ["-f", "lavfi", "-i", f"color=black:s={size[0]}x{size[1]}:r=25", "-f", "lavfi", "-i", f"anullsrc=r={SAMPLE_RATE}"]
    return _make(path, [*picture, "-t", str(seconds), *VIDEO_CODECS["h264"], *AUDIO_CODECS["aac"]])


def truncated_clip(path: Path, *, frames: int = 100, kept: float = 0.4) -> Path:
    """A Matroska file of which only the first part is there; its header promises the whole."""
    whole = numbered_clip(path.with_name(f".whole-{path.stem}.mkv"), frames=frames)
    raw = whole.read_bytes()
    whole.unlink()
    path.write_bytes(raw[: int(len(raw) * kept)])
    return path


def text_file(path: Path) -> Path:
    """Text under the name of a film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("This is not a film.\n" * 40, encoding="utf-8")
    return path
