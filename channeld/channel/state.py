"""A channel's life as a table: state x event -> state, actions. Pure.

Rule: every pair that can happen stands in TABLE; a pair that does not is ignored and told by `step` returning None.
"""

from dataclasses import dataclass
from enum import StrEnum

from channeld.channel.insert import is_slate


class State(StrEnum):
    """CONTRACT's channel states."""

    STARTING = "starting"
    ON_AIR = "on_air"
    FILLER = "filler"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Event(StrEnum):
    """What happens to a channel."""

    START = "start"
    STOP = "stop"
    FILLER_READY = "filler_ready"
    FILLER_FAILED = "filler_failed"
    AIR_OPENED = "air_opened"
    AIR_CLOSED = "air_closed"
    CLIP_STARTED = "clip_started"
    FILLER_STARTED = "filler_started"
    CRASHED = "crashed"
    HOST_LOST = "host_lost"
    ADOPTED = "adopted"


class Action(StrEnum):
    """What the supervisor does about it."""

    PREPARE_FILLER = "prepare_filler"
    OPEN_AIR = "open_air"
    OPEN_OUTPUTS = "open_outputs"
    ADOPT_OUTPUTS = "adopt_outputs"
    FEED_OUTPUTS = "feed_outputs"
    CLOSE_OUTPUTS = "close_outputs"
    CLOSE_AIR = "close_air"
    RETRY_LATER = "retry_later"
    END = "end"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a pair leads, and what is to be done, in order."""

    state: State
    actions: tuple[Action, ...] = ()


_RUNNING = (State.STARTING, State.ON_AIR, State.FILLER)
_ENDED = (Action.CLOSE_OUTPUTS, Action.CLOSE_AIR)

TABLE: dict[tuple[State, Event], Step] = {
    (State.STOPPED, Event.START): Step(State.STARTING, (Action.PREPARE_FILLER,)),
    (State.FAILED, Event.START): Step(State.STARTING, (Action.PREPARE_FILLER,)),
    (State.STARTING, Event.FILLER_READY): Step(State.STARTING, (Action.OPEN_AIR,)),
    (State.STARTING, Event.FILLER_FAILED): Step(State.FAILED, (Action.RETRY_LATER,)),
    (State.STARTING, Event.AIR_OPENED): Step(State.STARTING, (Action.OPEN_OUTPUTS,)),
    **{(state, Event.CLIP_STARTED): Step(State.ON_AIR) for state in _RUNNING},
    **{(state, Event.FILLER_STARTED): Step(State.FILLER) for state in _RUNNING},
    **{(state, Event.STOP): Step(State.STOPPING, _ENDED) for state in _RUNNING},
    **{(state, Event.CRASHED): Step(State.FAILED, (*_ENDED, Action.RETRY_LATER)) for state in _RUNNING},
    # A host that ended leaves the ring and the outputs: another goes on from there, and viewers see no other state.
    **{(state, Event.HOST_LOST): Step(state, (Action.OPEN_AIR,)) for state in _RUNNING},
    **{(state, Event.ADOPTED): Step(State.STARTING, (Action.ADOPT_OUTPUTS,)) for state in (State.STOPPED, State.STARTING)},
    **{(state, Event.ADOPTED): Step(state, (Action.FEED_OUTPUTS,)) for state in (State.ON_AIR, State.FILLER)},
    (State.STOPPING, Event.HOST_LOST): Step(State.STOPPED, (Action.END,)),
    (State.FAILED, Event.STOP): Step(State.STOPPED, (Action.END,)),
    (State.STOPPING, Event.AIR_CLOSED): Step(State.STOPPED, (Action.END,)),
    (State.STOPPING, Event.CRASHED): Step(State.STOPPED, (Action.END,)),
}


def step(state: State, event: Event) -> Step | None:
    """The table's answer, or None where the event means nothing in this state."""
    return TABLE.get((state, event))


def what_began(airing: str | None, entry: str | None) -> Event:
    """A slate is a filler that says why."""
    return Event.FILLER_STARTED if airing is None or is_slate(entry) else Event.CLIP_STARTED
