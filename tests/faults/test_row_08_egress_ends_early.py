"""Row 8: an egress FFmpeg ends with status 0, as it does at the end of its input."""

import pytest
from injection import traced
from nginx_origin import wait_until
from stage import Stage

pytestmark = pytest.mark.long


def test_an_egress_that_ends_with_status_0_is_replaced_as_one_that_failed(stage: Stage) -> None:
    fifo = stage.daemon.folder / "run" / "fifo" / "air.rtmp"
    with stage.row(8) as row:
        ended = stage.push_pid("air")
        restarts = stage.output("air")["restarts"]
        # From now on its input reads as ended, without a byte or a signal more.
        with traced("-f", "-P", str(fifo), "-e", "trace=read", "-e", "inject=read:retval=0", pid=ended):
            wait_until(lambda: stage.output("air")["pid"] != ended, what="FFmpeg to end", timeout_s=15)
        stage.push_pid("air")
        stage.wait_for_news(["air", "air@nginx"], 3)
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", row.since["air@nginx"])
        row.measured.update(gap_s=nginx.gap_s, lost=nginx.lost, repeated_s=nginx.repeated / 25, discontinuities=nginx.discontinuities)
    assert [entry for entry in stage.daemon.log("push_failed") if "ended with status 0" in entry["error"]]
    assert stage.output("air")["restarts"] == restarts + 1
    assert embedded.complaints() == []
    assert (nginx.lost, nginx.strange, nginx.discontinuities) == (0, 0, 1)
