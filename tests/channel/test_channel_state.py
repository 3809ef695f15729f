"""The table of a channel's life, pair by pair."""

import itertools

import pytest

from channeld.channel.state import Action, Event, State, step

RUNNING = (State.STARTING, State.ON_AIR, State.FILLER)

# Written a second time on purpose, by what must happen and not by how the table is made.
LEADS_TO: dict[State, dict[Event, State]] = {
    State.STOPPED: {Event.START: State.STARTING, Event.ADOPTED: State.STARTING},
    State.FAILED: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    State.STARTING: {
        Event.FILLER_READY: State.STARTING,
        Event.FILLER_FAILED: State.FAILED,
        Event.AIR_OPENED: State.STARTING,
        Event.CLIP_STARTED: State.ON_AIR,
        Event.FILLER_STARTED: State.FILLER,
        Event.STOP: State.STOPPING,
        Event.CRASHED: State.FAILED,
        Event.HOST_LOST: State.STARTING,
        Event.ADOPTED: State.STARTING,
    },
    State.ON_AIR: {
        Event.CLIP_STARTED: State.ON_AIR,
        Event.FILLER_STARTED: State.FILLER,
        Event.STOP: State.STOPPING,
        Event.CRASHED: State.FAILED,
        Event.HOST_LOST: State.ON_AIR,
        Event.ADOPTED: State.ON_AIR,
    },
    State.FILLER: {
        Event.CLIP_STARTED: State.ON_AIR,
        Event.FILLER_STARTED: State.FILLER,
        Event.STOP: State.STOPPING,
        Event.CRASHED: State.FAILED,
        Event.HOST_LOST: State.FILLER,
        Event.ADOPTED: State.FILLER,
    },
    State.STOPPING: {Event.AIR_CLOSED: State.STOPPED, Event.CRASHED: State.STOPPED, Event.HOST_LOST: State.STOPPED},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_event_leads_where_it_should_in_every_state(state: State, event: Event) -> None:
    found = step(state, event)
    assert (found.state if found else None) is LEADS_TO[state].get(event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_what_leaves_the_air_closes_it_and_what_fails_is_tried_again(state: State, event: Event) -> None:
    found = step(state, event)
    if found is None:
        return
    leaves_air = state in RUNNING and found.state in (State.STOPPING, State.FAILED) and event is not Event.FILLER_FAILED
    assert (Action.CLOSE_AIR in found.actions) is leaves_air
    assert (Action.CLOSE_OUTPUTS in found.actions) is leaves_air
    assert (Action.RETRY_LATER in found.actions) is (found.state is State.FAILED)
    assert (Action.END in found.actions) is (found.state is State.STOPPED)
    assert (Action.PREPARE_FILLER in found.actions) is (event is Event.START)


def test_outputs_are_closed_before_the_air_they_read() -> None:
    for state in RUNNING:
        found = step(state, Event.STOP)
        assert found is not None
        assert found.actions.index(Action.CLOSE_OUTPUTS) < found.actions.index(Action.CLOSE_AIR)


def test_a_channel_goes_on_air_only_with_its_filler() -> None:
    openers = [(state, event) for state in State for event in Event if (found := step(state, event)) and Action.OPEN_AIR in found.actions]
    assert openers == [(State.STARTING, Event.FILLER_READY), *((state, Event.HOST_LOST) for state in RUNNING)]
