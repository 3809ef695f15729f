"""Whether this machine's hardware encodes: one frame, tried.

Rule: a confined argument list with a deadline, its whole group ended and reaped before an answer; the answer is a value, and a failure
is a reason and no error. Blocking; the thread that asks owns the child. Whoever asks keeps the answer.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

from channeld.base.redact import redact_text
from channeld.process.confine import Limits, clean_environment, confined
from channeld.relay.profile import Hardware
from channeld.relay.values import RENDER_NODE

FIRST_DEVICE = "/dev/dri/renderD128"
DEADLINE_S = 20.0
STDERR_BYTES = 16_384
MAX_REASON = 300
# No bound on the address space: CUDA maps more of it than any machine has.
_LIMITS = Limits(file_size_bytes=1 << 20, open_files=256, cpu_s=30)
_PICTURE = ("-f", "lavfi", "-i", "color=black:s=320x240:r=25")
# Which part of FFmpeg speaks, with an address that is another one each time.
_PREFIX = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\] ?")
_UPLOAD = ("-filter:v", "format=nv12,hwupload=extra_hw_frames=16")


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a kind of hardware encodes here; the reason when it does not, else empty."""

    hardware: Hardware
    is_available: bool
    reason: str = ""


def probe_arguments(ffmpeg: str, hardware: Hardware, device: str = FIRST_DEVICE) -> list[str]:
    """One frame through the encoder, to nowhere. Raises ValueError when the device is no render node."""
    if re.fullmatch(RENDER_NODE, device) is None:
        raise ValueError(f"{device} is not a render node: give /dev/dri/renderD and a number")
    before, encode = {
        Hardware.NONE: ((), ("-c:v", "libx264")),
        Hardware.NVIDIA: ((), ("-c:v", "h264_nvenc")),
        Hardware.VAAPI: (("-init_hw_device", f"vaapi=card:{device}", "-filter_hw_device", "card"), (*_UPLOAD, "-c:v", "h264_vaapi")),
        Hardware.QSV: (("-init_hw_device", "qsv=card", "-filter_hw_device", "card"), (*_UPLOAD, "-c:v", "h264_qsv")),
    }[hardware]
    quiet = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error")
    return [ffmpeg, *quiet, *before, *_PICTURE, "-frames:v", "1", *encode, "-f", "null", "-"]


def probe(ffmpeg: str, hardware: Hardware, *, device: str = FIRST_DEVICE, deadline_s: float = DEADLINE_S) -> Availability:
    """Try one kind of hardware; NONE tries the CPU's encoder. Raises ValueError when the device is no render node."""
    argv = confined(probe_arguments(ffmpeg, hardware, device), limits=_LIMITS)
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        return Availability(hardware, False, f"FFmpeg could not be started: {error.strerror}")
    said, is_in_time = _listen(child, time.monotonic() + deadline_s)
    status = _end(child)
    if not is_in_time:
        return Availability(hardware, False, f"no frame was encoded within {deadline_s:g} s")
    if status == 0:
        return Availability(hardware, True)
    return Availability(hardware, False, _reason(said, status))


def _listen(child: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytes, bool]:
    """The first of what it says, until it closes its stderr; False when the deadline came first."""
    said = b""
    assert child.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stderr, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            if selector.select(left_s):
                chunk = os.read(child.stderr.fileno(), 4096)
                if not chunk:
                    break
                said = (said + chunk)[:STDERR_BYTES]
        else:
            return said, False
    try:
        child.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return said, False
    return said, True


def _end(child: "subprocess.Popen[bytes]") -> int:
    """End what is left of the group, reap, close the pipe."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert child.stderr is not None
    child.stderr.close()
    return child.wait()


def _reason(said: bytes, status: int) -> str:
    """FFmpeg's first line, which names the cause; those behind it only follow from it."""
    text = redact_text(said.decode("utf-8", "replace"))
    lines = [told for line in text.splitlines() if (told := _PREFIX.sub("", line).strip())]
    told = lines[0] if lines else f"FFmpeg ended with status {status} and said nothing"
    return told[:MAX_REASON]
