"""Row 7: the heap of a playout host stands still, while its process and all its other threads live.

That a channel whose code raises is taken off alone is tried in tests/playout/test_host_resume.py.
"""

from itertools import pairwise
from pathlib import Path

from injection import traced
from nginx_origin import wait_until
from stage import Stage, poll_s


def test_a_host_whose_heap_hangs_is_noticed_and_followed_by_one_that_goes_on(stage: Stage) -> None:
    with stage.row(7, neighbours=("calm",)) as row:
        pid, hung = stage.push_pid("air"), stage.host_pid("air")
        ended = len(stage.daemon.log("host_frozen"))
        thread = playout_thread(hung)
        # Every system call of this one thread takes for ever.
        with traced("-e", "trace=all", "-e", "inject=all:delay_enter=60000000", pid=thread):
            row.measured["noticed_s"] = poll_s(lambda: len(stage.daemon.log("host_frozen")) > ended, what="the host to be noticed")
        stage.wait_for_news(["air", "side", "air@nginx"], 4)
        assert stage.push_pid("air") == pid
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side", "air@nginx")}
        row.measured["gap_s"] = max(each.gap_s for each in seen.values())
    assert {name: each.complaints() for name, each in seen.items() if "@" not in name} == {"air": [], "side": []}
    assert row.measured["noticed_s"] <= 15


def playout_thread(pid: int) -> int:
    """Of a host's threads, which are made in one order: the one after the feeder, who waits in epoll."""
    found: list[int] = []

    def look() -> bool:
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
        after = [int(later.name) for task, later in pairwise(tasks) if "epoll" in (task / "wchan").read_text()]
        found[:] = after[:1]
        return bool(found)

    wait_until(look, what="the feeder to wait")
    return found[0]
