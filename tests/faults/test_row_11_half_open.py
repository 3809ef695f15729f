"""Row 11: an RTMP connection dies without a word to either end, and its session at nginx still holds the name."""

from stage import Stage, poll_s


def test_a_half_open_connection_is_left_for_a_new_one(stage: Stage) -> None:
    with stage.row(11) as row:
        stage.push_pid("air")
        stage.wire.forget()
        noticed_s = poll_s(lambda: stage.output("air")["state"] != "up", what="the dead connection to be noticed", timeout_s=60)
        stage.push_pid("air")
        before = stage.newest("air@nginx")
        stage.wait_for_news(["air@nginx"], 1)
        stage.wait_for_news(["air", "air@nginx"], 2)
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", row.since["air@nginx"])
        row.measured.update(noticed_s=noticed_s, gap_s=nginx.gap_s, lost_s=nginx.lost / 25, late_s=nginx.late_s)
    assert before >= 0
    assert embedded.complaints() == []
    assert nginx.gap_s <= 30
