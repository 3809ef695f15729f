"""How far a playlist entry's clip is, as values for the queue, the API and people. Pure."""

from dataclasses import dataclass
from enum import Enum

from channeld.media.clip import PreparedClip
from channeld.media.job import Progress

USABLE_LEAD_S = 20.0
USABLE_SPEED = 1.3


class Stage(Enum):
    """Where a clip stands."""

    PENDING = "pending"
    PREPARING = "preparing"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ClipState:
    """`clip` is there when ready, and while it grows; `reason` says why refused, or why still pending. Seconds; speed 1 is real time."""

    stage: Stage
    clip: PreparedClip | None = None
    reason: str = ""
    prepared_s: float = 0.0
    total_s: float = 0.0
    speed: float = 0.0
    may_pass: bool = False
    """What refuses it may be over soon, as on a disk that is ill, without the file's changing: worth another look."""

    @property
    def progress(self) -> float:
        """Prepared part, 0 to 1."""
        if self.stage is Stage.READY:
            return 1.0
        return min(1.0, self.prepared_s / self.total_s) if self.total_s > 0 else 0.0

    @property
    def is_usable(self) -> bool:
        """The clip may go on air now: whole, or growing with a lead and fast enough that it is never caught up with."""
        if self.stage is Stage.READY:
            return True
        if self.clip is None or self.prepared_s < min(self.total_s, USABLE_LEAD_S):
            return False
        return self.speed >= USABLE_SPEED or (self.total_s - self.prepared_s) <= self.prepared_s * self.speed


@dataclass(frozen=True, slots=True)
class PreparedTotals:
    """Seconds of air: prepared, wanted in all, and seconds of work until all is prepared (None: not known yet)."""

    ready_s: float
    needed_s: float
    eta_s: float | None


def pending(reason: str = "", total_s: float = 0.0) -> ClipState:
    """Not begun; with a reason where one holds it back."""
    return ClipState(Stage.PENDING, reason=reason, total_s=total_s)


def ready(clip: PreparedClip) -> ClipState:
    """Whole."""
    return ClipState(Stage.READY, clip, prepared_s=clip.duration_s, total_s=clip.duration_s)


def refused(reason: str, *, may_pass: bool = False) -> ClipState:
    """Never to be prepared as it is, unless what refuses it passes."""
    return ClipState(Stage.REFUSED, reason=reason, may_pass=may_pass)


def growing(progress: Progress) -> ClipState:
    """Being prepared."""
    return ClipState(Stage.PREPARING, progress.clip, "", progress.clip.duration_s, progress.total_s, progress.speed)
