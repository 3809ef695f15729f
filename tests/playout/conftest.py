"""What the tests of playout share: prepared clips, a poll with a deadline, and a channel on a clock that the test moves."""

import time
from collections.abc import Callable, Iterator

import pytest
from on_fake_air import Channel
from prepared import PreparedShelf, shelf_of

from channeld.media.clip import PreparedClip


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedShelf:
    return shelf_of(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def long_clip(prepared: PreparedShelf) -> PreparedClip:
    """Nine seconds in three blocks, numbered from 200."""
    return prepared.numbered(225, base=200)


@pytest.fixture(scope="session")
def short_clip(prepared: PreparedShelf) -> PreparedClip:
    """Twelve frames, numbered from 12,000."""
    return prepared.numbered(12, base=12_000, tone_hz=700)


@pytest.fixture(scope="session")
def second_clip(prepared: PreparedShelf) -> PreparedClip:
    """Fifty frames, numbered from 50,000."""
    return prepared.numbered(50, base=50_000, tone_hz=300)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Polls until a condition holds, for 20 s at most."""

    def poll(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.005)

    return poll


@pytest.fixture
def channel(prepared: PreparedShelf, until: Callable[[Callable[[], object]], None]) -> Iterator[Channel]:
    """A channel with nothing planned; its filler is the built-in card."""
    made = Channel(prepared, until)
    yield made
    made.close()
