"""Row 6: a channel's children are killed again and again."""

import os
import signal
import time

import pytest
from nginx_origin import wait_until
from stage import Stage

pytestmark = pytest.mark.long


@pytest.mark.parametrize("times", [10])
def test_a_channel_whose_children_die_again_and_again_backs_off_and_heals(stage: Stage, times: int) -> None:
    """Its own embedded origin sees nothing of it either."""
    with stage.row(6) as row:
        begun = time.monotonic()
        waits = len(stage.daemon.log("push_failed"))
        for _ in range(times):
            dead = stage.output("air")["pid"]
            os.kill(int(dead), signal.SIGKILL)
            wait_until(lambda dead=dead: stage.output("air")["pid"] not in (None, dead), what="another FFmpeg")  # type: ignore[misc]
        row.measured[f"killed {times} times: took_s"] = round(time.monotonic() - begun, 1)
        stage.push_pid("air")
        stage.wait_for_news(["air", "air@nginx"], 3)
        told = [entry for entry in stage.daemon.log("push_failed")[waits:] if entry.get("channel") == "air"]
        row.measured[f"killed {times} times: longest wait_s"] = max((entry["retry_in_s"] for entry in told), default=0.0)
        embedded = stage.look("air", row.since["air"])
    assert embedded.complaints() == []
