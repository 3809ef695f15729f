"""The heap: several channels on one thread, each at its own time, each failing alone."""

from collections.abc import Callable, Iterator

import pytest
from on_fake_air import Channel, filler_of, small_ring
from prepared import PreparedShelf, stream_format

from channeld.bus.ring import RingWriter
from channeld.playout.air import Air
from channeld.playout.schedule import RecentLateness, Schedule
from channeld.ts.splicer import Splicer

BEGIN_NS = 5_000_000_000
Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def other(channel: Channel, prepared: PreparedShelf) -> Iterator[Air]:
    """A second channel on the same heap, 30 ms behind the first."""
    ring = small_ring()
    made = Air(
        "other",
        Splicer(stream_format()),
        ring,
        filler_of(prepared),
        channel.readers,
        channel._report,
        anchor_ns=BEGIN_NS + 30_000_000,
    )
    channel.schedule.add(made)
    yield made
    made.close()
    ring.close()


def test_every_channel_is_released_at_its_own_time(channel: Channel, other: Air) -> None:
    channel.run(1.0, step_ns=10_000_000)
    times = [at - BEGIN_NS for at, _ in channel.released]
    assert times == sorted([*range(0, 1_000_000_000, 200_000_000), *range(30_000_000, 1_000_000_000, 200_000_000)])


def test_the_wait_is_until_the_next_release_and_never_longer_than_half_a_second(channel: Channel) -> None:
    assert channel.schedule.turn() == 0.0
    assert channel.schedule.turn() == pytest.approx(0.2)
    channel.schedule.remove("one")
    assert channel.schedule.turn() == 0.5


def test_local_readers_have_their_turn_before_others_hear_of_a_slice(channel: Channel, other: Air) -> None:
    """Unless another channel is due at once: nobody's picture waits for somebody else's readers."""
    told: list[int] = []
    channel.air.announce = lambda head: lambda: told.append(head)
    assert 0 < channel.schedule.turn() < 0.001
    assert told == [channel.ring.head_seq] and not channel.released
    channel.clock.advance(0.03)
    assert channel.schedule.turn() == 0.0
    assert len(channel.released) == 2, "nobody is attached to the other"
    channel.clock.advance(0.17 + 0.03)  # both are due
    assert channel.schedule.turn() == 0.0 and len(told) == 2
    assert len(channel.released) == 3


def test_what_is_ordered_while_readers_have_their_turn_comes_behind_the_slice(channel: Channel, until: Until) -> None:
    came: list[str] = []
    schedule = Schedule(channel.clock, lambda air, piece: came.append("heard of"), lambda air, trace: came.append(trace))
    channel.schedule.remove("one")
    schedule.add(channel.air)
    channel.air.announce = lambda head: lambda: schedule.post(lambda: came.append("ordered"))
    schedule.start()
    until(lambda: len(came) >= 2)
    schedule.close()
    assert came == ["heard of", "ordered"]


def test_lateness_is_what_the_clock_says(channel: Channel, other: Air) -> None:
    channel.run(0.4, step_ns=10_000_000)
    assert channel.schedule.lateness.percentiles_ms()["max"] == 0.0
    channel.clock.advance(0.07)
    channel.catch_up()
    assert channel.schedule.lateness.percentiles_ms()["max"] == 70.0


def test_lateness_keeps_the_latest_samples() -> None:
    lateness = RecentLateness()
    for late_ns in (5_000_000_000, *[1_000_000] * 16384):
        lateness.record(late_ns)
    assert lateness.percentiles_ms() == {"p50": 1.0, "p99": 1.0, "max": 1.0}


def test_a_channel_that_raises_is_taken_off_and_the_others_stay(channel: Channel, prepared: PreparedShelf) -> None:
    """A ring that is too small for its slices: publishing raises."""
    tiny = RingWriter.create(capacity_bytes=4096, slice_capacity=16, generation=2, description={})
    broken = Air("broken", Splicer(stream_format()), tiny, filler_of(prepared), channel.readers, channel._report, anchor_ns=BEGIN_NS)
    channel.schedule.add(broken)
    channel.run(2.0)
    assert len(channel.crashes) == 1 and "does not fit the ring" in channel.crashes[0]
    assert list(channel.schedule.airs) == ["one"]
    assert channel.frames == 50
    tiny.close()


def test_an_action_that_raises_takes_off_its_channel_only(channel: Channel, other: Air) -> None:
    channel.schedule.tell("other", lambda air: air.ring.publish(b"", dts=0, duration=0, is_random_access=False, state=b""))
    channel.run(1.0)
    assert len(channel.crashes) == 1 and "does not fit the ring" in channel.crashes[0]
    assert list(channel.schedule.airs) == ["one"]
    assert len(channel.released) == 5


def test_an_action_for_a_channel_that_is_gone_does_nothing(channel: Channel) -> None:
    channel.schedule.tell("nobody", Air.skip)
    channel.run(0.2)
    assert channel.crashes == []


def test_the_thread_ends_when_it_is_closed(channel: Channel) -> None:
    channel.schedule.start()
    channel.schedule.close()
    assert not channel.schedule.alive
