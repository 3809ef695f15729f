"""What a viewer sees of a stream, by ffprobe and FFmpeg.

Rule: shares no code with channeld. Every look has a deadline.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What FFmpeg decoded: a digest for each picture, and what it complained about."""

    pictures: tuple[str, ...]
    complaints: str
    status: int

    @property
    def changes(self) -> int:
        """How many pictures differ from the one before."""
        return sum(one != other for one, other in zip(self.pictures, self.pictures[1:], strict=False))


def _input(url: str, transport: str | None) -> list[str]:
    # A second of a live stream is enough to know it; FFmpeg looks at five unless told.
    quick = ["-analyzeduration", "1500000"]
    return quick + (["-rtsp_transport", transport] if transport else []) + ["-i", url]


def streams_of(url: str, *, transport: str | None = None) -> dict[str, dict[str, Any]]:
    """ffprobe's streams by kind, `video` and `audio`; empty when there are none. Raises subprocess.TimeoutExpired."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", *_input(url, transport)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return {each["codec_type"]: each for each in json.loads(done.stdout or "{}").get("streams", [])}


def watch(url: str, *, frames: int = 10, transport: str | None = None, filters: str = "null", wait_s: float = TIMEOUT_S) -> Seen:
    """Decode so many pictures. When they do not come within `wait_s`, what came until then."""
    start = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-v", "error", *_input(url, transport)]
    command = [*start, "-map", "0:v:0", "-frames:v", str(frames), "-vf", filters, "-f", "framemd5", "-flush_packets", "1", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    lines = [line for line in out.splitlines() if line.startswith("0,")]
    return Seen(tuple(line.split(",")[-1].strip() for line in lines), err, process.returncode)


def detect(url: str, filters: str, *, seconds: float = 3.0, transport: str | None = None, sound: str = "anull") -> str:
    """What FFmpeg's detectors (blackdetect, freezedetect, silencedetect) told of some seconds of stream."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-v", "info", *_input(url, transport), "-t", str(seconds)]
    command += ["-vf", filters, "-af", sound, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return "\n".join(re.findall(r"(?:black_start|freeze_start|silence_start)[^\n]*", done.stderr))
