"""What the tests of processes share."""

import time
from collections.abc import Callable, Iterator

import pytest

from channeld.process.holder import Holder


@pytest.fixture
def holder() -> Iterator[Holder]:
    """A holder that ends its children with the test."""
    held = Holder()
    try:
        yield held
    finally:
        held.close()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Polls until a condition holds, for 20 s at most."""

    def poll(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.01)

    return poll
