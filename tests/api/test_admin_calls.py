"""The way from HTTP to the daemon, where the daemon does not answer."""

import asyncio
import threading

import pytest

from channeld.api.admin_calls import Calls
from channeld.api.problems import Problem
from channeld.channel.loop import ControlLoop


def test_a_busy_control_loop_is_told_as_such_and_not_as_a_fault_of_the_server() -> None:
    loop, released = ControlLoop(), threading.Event()
    loop.start()
    calls = Calls()
    try:
        loop.post(lambda: released.wait(30))
        with pytest.raises(Problem) as refused:
            asyncio.run(calls.run(lambda: loop.call(lambda: None, timeout_s=0.05)))
    finally:
        released.set()
        calls.close()
        loop.close()
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
    assert "busy" in str(refused.value)
