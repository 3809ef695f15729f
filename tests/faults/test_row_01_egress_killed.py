"""Row 1: the egress FFmpeg of a channel is killed."""

import os
import signal

from nginx_origin import wait_until
from stage import Stage


def test_a_killed_egress_is_replaced_without_a_picture_lost(stage: Stage) -> None:
    """nginx gets every picture, some of them twice; the embedded origin and the neighbours see nothing."""
    with stage.row(1) as row:
        dead = stage.push_pid("air")
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: stage.output("air")["pid"] not in (None, dead), what="a new FFmpeg")
        stage.push_pid("air")
        stage.wait_for_news(["air", "air@nginx"], 3)
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", row.since["air@nginx"])
        row.measured.update(gap_s=nginx.gap_s, lost=nginx.lost, repeated_s=nginx.repeated / 25, discontinuities=nginx.discontinuities)
    assert embedded.complaints() == []
    assert (nginx.lost, nginx.strange, nginx.discontinuities) == (0, 0, 1)
    assert nginx.repeated <= 4 * 25, "more than two seconds and a GOP, with as much again for a busy machine"
    assert nginx.late_s <= 5
