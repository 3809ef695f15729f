"""Row 2: the egress FFmpeg of a channel is frozen."""

from injection import stopped
from stage import Stage, poll_s


def test_a_frozen_egress_is_noticed_and_replaced(stage: Stage) -> None:
    with stage.row(2) as row:
        frozen = stage.push_pid("air")
        with stopped(frozen):
            noticed_s = poll_s(lambda: stage.output("air")["pid"] != frozen, what="the frozen FFmpeg to be noticed")
            back_s = noticed_s + poll_s(lambda: stage.output("air")["state"] == "up", what="the push to be back")
        stage.wait_for_news(["air", "air@nginx"], 3)
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", row.since["air@nginx"])
        row.measured.update(noticed_s=noticed_s, back_s=back_s, gap_s=nginx.gap_s, lost=nginx.lost, repeated_s=nginx.repeated / 25)
    assert embedded.complaints() == []
    assert noticed_s <= 15
    assert back_s <= 20
    assert nginx.discontinuities == 1
