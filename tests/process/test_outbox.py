"""What is left at an outbox is sent in order; who leaves the newest of a kind again and again can see that nobody reads."""

import time

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
