"""What every supervisor works with. Immutable; made once by the daemon."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from channeld.base.clock import Clock
from channeld.channel.budget import BudgetRules
from channeld.channel.loop import ControlLoop
from channeld.channel.override import OverrideBook
from channeld.channel.ports import HostPort, MediaPort, NoPipes, NoSources, PipePort, PositionPort, SourcePort
from channeld.channel.preparation import Preparer
from channeld.outputs.push_plan import PushTiming
from channeld.process.holding import Holding

Publish = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Means:
    """`publish(kind, **values)` tells the events' listeners."""

    loop: ControlLoop
    host: HostPort
    media: MediaPort
    holder: Holding
    preparer: Preparer
    positions: PositionPort
    runtime_dir: Path
    lists_dir: Path
    ffmpeg: str
    clock: Clock
    publish: Publish
    push_timing: PushTiming = field(default_factory=PushTiming)
    budget: BudgetRules = field(default_factory=BudgetRules)
    sources: SourcePort = field(default_factory=NoSources)
    overrides: OverrideBook | None = None
    pipes: PipePort = field(default_factory=NoPipes)
