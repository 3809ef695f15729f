"""What is left at an outbox is sent in order; who leaves the newest of a kind again and again can see that nobody reads."""

import os
import time

from descriptors import none_free

from channeld.base.wire import Wire, socket_pair
from channeld.process.outbox import Outbox

LETTER = "x" * 20_000


def stays_behind(outbox: Outbox) -> bool:
    for wait_s in (0.002, 0.05, 0.5):
        time.sleep(wait_s)
        if not outbox.is_behind:
            return False
    return True


def test_it_is_behind_while_nobody_reads_and_everything_comes_in_order() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        outbox, reader = Outbox("test", Wire(ours)), Wire(theirs)
        outbox.start()
        count, deadline = 0, time.monotonic() + 60
        while not stays_behind(outbox):  # the kernel holds no more, and a letter waits
            assert outbox.put("letter", values={"number": count, "text": LETTER}) and time.monotonic() < deadline
            count += 1
        for number in range(count):
            message = reader.receive(30)
            assert message is not None and message.values["number"] == number
        assert not outbox.is_behind
        outbox.close(5)


def test_what_no_descriptor_is_free_for_is_refused_and_the_next_one_goes() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        outbox, reader = Outbox("test", Wire(ours)), Wire(theirs)
        outbox.start()
        with none_free():
            assert not outbox.put("pair", (0, 0))
            assert outbox.put("letter", values={"number": 1})
        assert outbox.put("pair", (0, 0), {"number": 2})
        first, second = reader.receive(30), reader.receive(30)
        assert first is not None and second is not None
        assert (first.values["number"], second.values["number"], len(second.fds)) == (1, 2, 2)
        for fd in second.fds:
            os.close(fd)
        outbox.close(5)
