"""A thread that does not end says where it stands."""

import threading

import pytest

from channeld.base.worker import Worker


class _Deaf(Worker):
    def __init__(self) -> None:
        super().__init__("deaf:one")
        self.door = threading.Event()

    def run(self) -> None:
        self.stand_still()

    def stand_still(self) -> None:
        self.door.wait(30)


def test_a_thread_that_does_not_end_is_an_error_that_says_where_it_stands():
    worker = _Deaf()
    worker.start()
    with pytest.raises(RuntimeError, match=r"thread deaf:one did not end within 0\.05 s: it stands at .*test_worker\.py:\d+ stand_still"):
        worker.close(0.05)
    worker.door.set()
    worker.close()
    assert not worker.alive
