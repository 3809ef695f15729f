"""What the FFmpegs of a push are called and started with, so that a later life of control finds them again.

Rule: sans-I/O. A push has two slots, each with a label (of the child and of its spare write end in the holder) and a FIFO
of its own: one is on air, the other is for its successor. A digest of the arguments says whether a child found is the
one that would be started now; it gives away nothing of the URL.
"""

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from channeld.base.clock import Clock
from channeld.outputs.push_args import push_arguments
from channeld.outputs.push_inbox import Inbox
from channeld.outputs.push_target import PushTarget, target_options
from channeld.process.holding import Held, Holding

OnWriter = Callable[[int | None, bool], None]
"""Gets a write end, and whether it continues at the byte where that FIFO's stream ended; or None: close it."""

DAY_S = 86_400.0
RTMP_WRAP_S = 2**31 / 1000
"""FFmpeg's RTMP clock counts milliseconds in 31 bits: 24.86 days."""
PREFIX = "push:"
_SLOTS = ("", "+")


@dataclass(frozen=True, slots=True)
class PushTiming:
    """Seconds: for FFmpeg to open the FIFO, without progress though there is something to read, for its end after EOF and after INT.

    RTMP's clock of milliseconds wraps at 2**31 (24.86 days): after `recycle_s` of stream, give or take, a successor is made ready.
    """

    open_s: float = 5.0
    stall_s: float = 4.0
    eof_grace_s: float = 2.0
    int_grace_s: float = 2.0
    recycle_s: float = 20 * DAY_S
    recycle_jitter_s: float = DAY_S

    def draw_recycle_s(self) -> float:
        """Seconds of stream after which this FFmpeg is recycled: pushes that began together must not reconnect together."""
        return self.recycle_s + random.uniform(-self.recycle_jitter_s, self.recycle_jitter_s)


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a push's two places. `label` names the child and, in the holder, its spare write end; `preset` is for FFmpeg's stdin."""

    number: int
    label: str
    fifo: Path
    arguments: tuple[str, ...] = field(repr=False)
    preset: bytes | None = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push's attempts start."""

    slots: tuple[Slot, Slot]
    timing: PushTiming = field(default_factory=PushTiming)
    is_called: bool = False
    """The far end calls us, perhaps never."""


@dataclass(frozen=True, slots=True)
class PushPorts:
    """What an attempt works with."""

    holder: Holding
    inbox: Inbox
    clock: Clock
    on_writer: OnWriter


def make_plan(channel: str, name: str, target: PushTarget, *, runtime_dir: Path, ffmpeg: str, timing: PushTiming | None) -> PushPlan:
    """The plan of a push. Raises OutputError for a URL that is neither RTMP nor SRT."""
    slots, options, timing = [], target_options(target), timing or PushTiming()
    if target.scheme == "srt":
        timing = replace(timing, recycle_s=math.inf)  # a transport stream's clock wraps as it should
    for number, suffix in enumerate(_SLOTS):
        fifo = runtime_dir.absolute() / "fifo" / f"{channel}.{name}{suffix}"
        arguments = push_arguments(fifo, options, ffmpeg=ffmpeg)
        digest = hashlib.sha256("\0".join(arguments).encode() + b"\0" + (options.preset or b"")).hexdigest()
        slots.append(Slot(number, f"{PREFIX}{channel}/{name}{suffix}", fifo, arguments, options.preset, digest))
    is_called = target.scheme == "srt" and target.srt.mode == "listener"
    return PushPlan((slots[0], slots[1]), timing, is_called)


def labels_of(channel: str, name: str) -> tuple[str, str]:
    """What the children of an output's two places are called."""
    return f"{PREFIX}{channel}/{name}{_SLOTS[0]}", f"{PREFIX}{channel}/{name}{_SLOTS[1]}"


def kept_fifos(held: Held) -> frozenset[str]:
    """Names of the FIFOs that living pushes of a holder read from; any other in the folder is a dead daemon's."""
    labels = (child.name for child in held.children if child.name.startswith(PREFIX))
    return frozenset(label.removeprefix(PREFIX).replace("/", ".", 1) for label in labels)
