"""The judge that decodes: FFmpeg's own complaints, pictures, sound, and clicks in the sound.

Rule: FFmpeg runs as a viewer's player would, with nothing that hides errors.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 48_000
_TIMEOUT_S = 600.0
_NEAR_MS, _AROUND_MS = 15, 200
_LOUDER = 1.5
_INAUDIBLE = 10 ** (-50 / 20)

Samples = NDArray[np.float32]
"""Shape (n, channels), full scale 1.0."""
Gray = NDArray[np.uint8]
"""Shape (height, width)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a full decode gave."""

    complaints: tuple[str, ...]
    """FFmpeg's lines at level warning and above."""
    frames: int
    exit_status: int


@dataclass(frozen=True, slots=True)
class Click:
    """A join at which the sound jumps more than both sides do; steps between neighbouring samples, full scale 1.0."""

    at_s: float
    step: float
    allowed: float


def decode_fully(path: Path) -> Decoded:
    """Decode every track of a file."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "warning", "-progress", "pipe:1", "-i", f"file:{path}"]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False)
    counts = [int(line[6:]) for line in done.stdout.splitlines() if line.startswith("frame=")]
    return Decoded(tuple(done.stderr.splitlines()), counts[-1] if counts else 0, done.returncode)


def decode_faults(path: Path, *, frames: int | None = None) -> list[str]:
    """Sentences on a decode that complains, fails, or gives another number of frames."""
    decoded = decode_fully(path)
    found = [f"FFmpeg says: {line}" for line in decoded.complaints]
    if decoded.exit_status:
        found.append(f"FFmpeg exits with {decoded.exit_status}")
    if frames is not None and decoded.frames != frames:
        found.append(f"{decoded.frames} frames decode instead of {frames}")
    return found


def probe(path: Path, entries: str, *, stream: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """ffprobe's JSON for `-show_entries`. Raises CalledProcessError when it cannot read the file."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", entries]
    command += ["-select_streams", stream] if stream else []
    done = subprocess.run([*command, f"file:{path}"], capture_output=True, timeout=_TIMEOUT_S, check=True)
    answer: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return answer


def display_size(path: Path) -> tuple[int, int]:
    """Width and height of the decoded picture, in pixels, before any rotation."""
    stream = probe(path, "stream=width,height", stream="v:0")["streams"][0]
    return int(stream["width"]), int(stream["height"])


def gray_frames(path: Path, *, size: tuple[int, int] | None = None, filters: str = "") -> Iterator[Gray]:
    """Every decoded frame once, upright, as luma of 8 bits. `size`: scaled to it; default as decoded."""
    width, height = size or _upright_size(path)
    chain = ",".join(part for part in (filters, f"scale={width}:{height}:flags=area", "format=gray") if part)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", chain]
    with subprocess.Popen([*command, "-enc_time_base", "-1", "-f", "rawvideo", "-"], stdout=subprocess.PIPE, bufsize=1 << 20) as child:
        assert child.stdout is not None
        try:
            while len(raw := child.stdout.read(width * height)) == width * height:
                yield np.frombuffer(raw, dtype=np.uint8).reshape(height, width)
        finally:
            child.kill()


def _upright_size(path: Path) -> tuple[int, int]:
    width, height = display_size(path)
    sides: list[object] = probe(path, "stream_side_data=rotation", stream="v:0")["streams"][0].get("side_data_list", [])
    turned = any(int(side.get("rotation", 0)) % 180 for side in sides if isinstance(side, dict))
    return (height, width) if turned else (width, height)


def frame_times(path: Path) -> list[Fraction]:
    """Presentation time of every decoded frame, in seconds, exact to the container's ticks."""
    stream = probe(path, "stream=time_base", stream="v:0")["streams"][0]
    base = Fraction(stream["time_base"])
    frames = probe(path, "frame=best_effort_timestamp", stream="v:0")["frames"]
    return [int(frame["best_effort_timestamp"]) * base for frame in frames if "best_effort_timestamp" in frame]


def audio_start(path: Path) -> Fraction:
    """Presentation time of the first decoded audio frame, in seconds."""
    stream = probe(path, "stream=time_base", stream="a:0")["streams"][0]
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "a:0",
        "-read_intervals",
        "%+#20",
        "-show_entries",
        "frame=pts",
        "-of",
        "csv=p=0",
    ]
    done = subprocess.run([*command, f"file:{path}"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    return int(done.stdout.split()[0].strip(",")) * Fraction(stream["time_base"])


def audio_samples(path: Path, *, channels: int = 2) -> Samples:
    """The first audio track, decoded, at 48 kHz."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0", "-ac", str(channels), "-ar", str(SAMPLE_RATE)]
    done = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, timeout=_TIMEOUT_S, check=True)
    return np.frombuffer(done.stdout, dtype=np.float32).reshape(-1, channels)


def click_at(samples: Samples, at_s: float, *, rate: int = SAMPLE_RATE) -> Click:
    """The greatest step near an instant, and the greatest one that its surroundings allow.

    Near is ±15 ms; allowed is 1.5 × the greatest step within 200 ms on either side, or −50 dBFS if that is more.
    """
    at, near, around = round(at_s * rate), rate * _NEAR_MS // 1000, rate * _AROUND_MS // 1000
    first = max(at - near - around, 0)
    steps = np.abs(np.diff(samples[first : at + near + around], axis=0)).max(axis=1, initial=0)
    left, middle, right = np.split(steps, [max(at - near - first, 0), max(at + near - first, 0)])
    allowed = max(_LOUDER * float(max(left.max(initial=0), right.max(initial=0))), _INAUDIBLE)
    return Click(at_s, float(middle.max(initial=0)), allowed)


def clicks(samples: Samples, joins_s: Sequence[float], *, rate: int = SAMPLE_RATE) -> list[Click]:
    """The joins (seconds from the first sample) at which the sound clicks. Raises ValueError for a join outside of the sound."""
    length_s = len(samples) / rate
    outside = [at for at in joins_s if not 0 <= at <= length_s]
    if outside:
        raise ValueError(f"joins outside of the {length_s:.3f} s of sound: {outside[:5]}")
    measured = (click_at(samples, at, rate=rate) for at in joins_s)
    return [click for click in measured if click.step > click.allowed]
