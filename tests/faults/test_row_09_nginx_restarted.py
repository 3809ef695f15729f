"""Row 9: nginx is stopped and started again."""

from stage import Stage, poll_s


def test_a_restarted_nginx_gets_the_stream_back_from_the_same_process(stage: Stage) -> None:
    """The numbers of its manifest go on."""
    with stage.row(9) as row:
        pid = stage.push_pid("air")
        stage.origin.stop()
        before = stage.newest("air@nginx")
        stage.origin.start()
        row.measured["segment_after_start_s"] = poll_s(lambda: stage.newest("air@nginx") > before, what="a segment of the new nginx")
        assert stage.push_pid("air") == pid
        stage.wait_for_news(["air", "air@nginx", "calm@nginx"])
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", row.since["air@nginx"])
        row.measured.update(lost_s=nginx.lost / 25, discontinuities=nginx.discontinuities)
    assert embedded.complaints() == []
    assert nginx.discontinuities == 1
    assert row.measured["segment_after_start_s"] <= 20
