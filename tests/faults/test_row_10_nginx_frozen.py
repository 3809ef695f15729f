"""Row 10: nginx's worker stands still."""

import threading

import pytest
from injection import rss_mb
from stage import Stage, poll_s

pytestmark = pytest.mark.long


@pytest.mark.parametrize("frozen_s", [4, 20])
def test_a_frozen_worker_costs_little_memory_and_gets_the_stream_back_from_the_same_process(stage: Stage, frozen_s: int) -> None:
    with stage.row(10) as row:
        pid = stage.push_pid("calm")
        before_mb = rss_mb([pid])
        stage.origin.freeze()
        try:
            threading.Event().wait(frozen_s)  # the fault's own length
            more_mb = round(rss_mb([pid]) - before_mb, 1)
        finally:
            stage.origin.thaw()
        before = stage.newest("calm@nginx")
        back_s = poll_s(lambda: stage.newest("calm@nginx") > before + 1, what="segments of the thawed worker", timeout_s=60)
        row.measured |= {f"frozen {frozen_s} s: back_s": back_s, f"frozen {frozen_s} s: more_mb": more_mb}
        assert stage.push_pid("calm") == pid
        stage.push_pid("air")
        stage.wait_for_news(["calm@nginx", "air@nginx"])
        row.measured[f"frozen {frozen_s} s: lost_s"] = stage.look("calm@nginx", row.since["calm@nginx"]).lost / 25
    assert more_mb <= 50
