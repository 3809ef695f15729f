"""What the host tells control: nobody waits for a control that does not read, and nothing piles up."""

import os
from collections.abc import Callable, Iterator

import pytest

from channeld.base.wire import Wire, socket_pair
from channeld.playout.reporter import MAX_REPORTS, Reporter

Until = Callable[[Callable[[], object]], None]


class Line:
    """A reporter that nobody hears yet: its wire is full."""

    def __init__(self) -> None:
        ours, theirs = socket_pair()
        self.control = Wire(ours)
        self.sent: list[str] = []
        self.reporter = Reporter(Wire(theirs), lambda kind, values: self.sent.append(kind))
        self.reporter.start()
        self._ends = (ours, theirs)

    def stuff(self, until: Until) -> None:
        """More than the wire holds: what is put from now on waits."""
        for _ in range(400):
            self.reporter.put("filling", {"text": "x" * 10_000})
        until(lambda: len(self.sent) > 10)

    def close(self) -> None:
        for end in self._ends:
            end.shutdown(2)
        self.reporter.close()
        for end in self._ends:
            end.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_reports_arrive_in_order_with_their_descriptors(line: Line) -> None:
    read_fd, write_fd = os.pipe()
    line.reporter.put("ring", {"channel": "one"}, (write_fd,))
    os.close(write_fd)
    line.reporter.put("started", {"channel": "one"})
    message = line.control.receive(20)
    assert message is not None and message.kind == "ring"
    os.write(message.fds[0], b"x")
    assert os.read(read_fd, 10) == b"x"
    os.close(message.fds[0])
    os.close(read_fd)
    second = line.control.receive(20)
    assert second is not None and second.kind == "started"


def test_while_nobody_reads_the_newest_reports_wait_and_only_the_last_of_progress(line: Line, until: Until) -> None:
    line.stuff(until)
    for number in range(50):
        line.reporter.put("progress", {"number": number}, newest_only=True)
    for number in range(MAX_REPORTS + 100):
        line.reporter.put("started", {"number": number})
    assert line.reporter.dropped >= 100
    heard: list[tuple[str, int]] = []
    while ("progress", 49) not in heard or not heard[-1:] or len(heard) < MAX_REPORTS // 2:
        message = line.control.receive(20)
        assert message is not None
        heard.append((message.kind, message.values.get("number", -1)))
    assert [number for kind, number in heard if kind == "progress"] == [49]
    numbers = [number for kind, number in heard if kind == "started"]
    assert numbers == sorted(numbers) and numbers[-1] == MAX_REPORTS + 99


def test_descriptors_of_reports_that_nobody_will_hear_are_closed(line: Line, until: Until) -> None:
    line.stuff(until)
    read_fd, write_fd = os.pipe()
    line.reporter.put("ring", {}, (write_fd,))
    os.close(write_fd)
    os.set_blocking(read_fd, False)
    with pytest.raises(BlockingIOError):
        os.read(read_fd, 1)
    for _ in range(MAX_REPORTS):
        line.reporter.put("started", {})
    assert os.read(read_fd, 1) == b"", "its last writer is gone"
    os.close(read_fd)
