"""Row 7: the heap of a playout host stands still, or what feeds its outputs, while its process and all its other threads live.

That a channel whose code raises is taken off alone is tried in tests/playout/test_host_resume.py.
"""

from itertools import pairwise
from pathlib import Path

import pytest
from injection import traced
from nginx_origin import wait_until
from stage import Stage, poll_s


@pytest.mark.parametrize("role", ["playout", "feeder"])
def test_a_host_with_a_thread_that_hangs_is_noticed_and_followed_by_one_that_goes_on(stage: Stage, role: str) -> None:
    with stage.row(7, neighbours=("calm",)) as row:
        pid, hung = stage.push_pid("air"), stage.settled_host_pid("air")
        ended = len(stage.daemon.log("host_frozen"))
        thread = thread_of(hung, role)
        # Every system call of this one thread takes for ever.
        with traced("-e", "trace=all", "-e", "inject=all:delay_enter=60000000", pid=thread):
            row.measured["noticed_s"] = poll_s(lambda: len(stage.daemon.log("host_frozen")) > ended, what="the host to be noticed")
        stage.wait_for_news(["air", "side", "air@nginx"], 4)
        assert stage.push_pid("air") == pid
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side", "air@nginx")}
        row.measured["gap_s"] = max(each.gap_s for each in seen.values())
    assert {name: each.complaints() for name, each in seen.items() if "@" not in name} == {"air": [], "side": []}
    assert row.measured["noticed_s"] <= 15


def thread_of(pid: int, role: str) -> int:
    """Of a host's threads, which are made in one order: the feeder, who waits in epoll, and the heap's after it."""
    found: list[int] = []

    def look() -> bool:
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
        pairs = [pair for pair in pairwise(tasks) if "epoll" in (pair[0] / "wchan").read_text()]
        found[:] = [int(pair[role == "playout"].name) for pair in pairs[:1]]
        return bool(found)

    wait_until(look, what="the feeder to wait")
    return found[0]
