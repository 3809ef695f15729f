"""Row 7: the heap of a playout host stands still, while its process and all its other threads live.

That a channel whose code raises is taken off alone is tried in tests/playout/test_host_resume.py.
"""

from pathlib import Path

from injection import traced
from stage import Stage, poll_s


def test_a_host_whose_heap_hangs_is_noticed_and_followed_by_one_that_goes_on(stage: Stage) -> None:
    with stage.row(7, neighbours=("calm",)) as row:
        pid, hung = stage.push_pid("air"), stage.host_pid("air")
        ended = len(stage.daemon.log("host_frozen"))
        thread = busiest_thread(hung)
        # Every system call of this one thread takes for ever.
        with traced("-e", "trace=all", "-e", "inject=all:delay_enter=60000000", pid=thread):
            row.measured["noticed_s"] = poll_s(lambda: len(stage.daemon.log("host_frozen")) > ended, what="the host to be noticed")
        stage.wait_for_news(["air", "side", "air@nginx"], 4)
        assert stage.push_pid("air") == pid
        seen = {name: stage.look(name, row.since[name]) for name in ("air", "side", "air@nginx")}
        row.measured["gap_s"] = max(each.gap_s for each in seen.values())
    assert {name: each.complaints() for name, each in seen.items() if "@" not in name} == {"air": [], "side": []}
    assert row.measured["noticed_s"] <= 15


def busiest_thread(pid: int) -> int:
    """Of those that a host started: the one that splices."""
    used: dict[int, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        if int(task.name) != pid:
            fields = (task / "stat").read_text().rpartition(") ")[2].split()
            used[int(task.name)] = int(fields[11]) + int(fields[12])  # utime, stime: proc(5)
    return max(used, key=lambda thread: used[thread])
