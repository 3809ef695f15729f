"""What is known of a named_pipe output, for the API, metrics, events and alerts. Immutable."""

from dataclasses import dataclass
from typing import Any

from channeld.base.clock import iso_utc
from channeld.outputs.push_health import PushCondition, PushState


@dataclass(frozen=True, slots=True)
class PipeState:
    """A named_pipe output at one moment. `since_s`: seconds of the wall clock; `paths` in order, `jumps` of readers that
    were too slow, `stalls` of those that took nothing and were hung up on."""

    channel: str
    output: str
    condition: PushCondition
    since_s: float
    paths: tuple[str, ...]
    readers: int = 0
    jumps: int = 0
    stalls: int = 0
    restarts: int = 0
    last_error: str | None = None
    pids: tuple[int, ...] = ()

    def described(self) -> dict[str, Any]:
        """For the API."""
        return {
            "state": self.condition.value,
            "since": iso_utc(self.since_s),
            "restarts": self.restarts,
            "last_error": self.last_error,
            "paths": list(self.paths),
            "readers": self.readers,
            "jumps": self.jumps,
            "stalls": self.stalls,
            "pids": list(self.pids),
        }

    def as_push(self) -> PushState:
        """As those see it who look after pushes. Its attempts are none of theirs, so none failed."""
        facts = self.since_s, self.restarts, self.last_error, next(iter(self.pids), None)
        return PushState(self.channel, self.output, "", self.condition, None, *facts)
