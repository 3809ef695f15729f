"""Row 14: somebody else publishes under the channel's name."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from nginx_origin import NginxOrigin, wait_until
from running import RunningDaemon
from stage import Stage, poll_s


@contextlib.contextmanager
def intruding(origin: NginxOrigin, name: str, clip: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another FFmpeg that publishes under a name already."""
    source = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip)]
    intruder = subprocess.Popen([*source, "-c", "copy", "-f", "flv", origin.rtmp_url(name)], stderr=subprocess.DEVNULL)
    try:
        origin.wait_for_segments(name, 1)
        yield intruder
    finally:
        intruder.terminate()
        intruder.wait(10)


def test_a_name_that_is_taken_is_told_plainly_and_used_when_it_is_free(stage: Stage, house_clip: Path) -> None:
    daemon = stage.daemon
    with stage.row(14) as row:
        daemon.post("/api/v1/channels/hit/stop")
        daemon.wait_for("hit", lambda found: found["state"] == "stopped", what="the channel to stop")
        with intruding(stage.origin, "hit", house_clip):
            daemon.post("/api/v1/channels/hit/start")
            wait_until(lambda: stage.output("hit")["last_error"], what="the reason to be told", timeout_s=40)
            error = str(stage.output("hit")["last_error"])
        row.measured["up_after_free_s"] = poll_s(lambda: stage.output("hit")["state"] == "up", what="the push to be up")
    assert "already publishing" in error.lower()


def test_where_nginx_may_be_asked_the_other_session_is_dropped_and_the_push_takes_its_place(
    stage: Stage, solo_daemon: Callable[..., RunningDaemon], house_clip: Path
) -> None:
    origin = stage.origin
    push = {"rtmp": {"url": origin.rtmp_url("claimed"), "control": origin.control_url("control")}}
    daemon = solo_daemon(push)

    def shown() -> dict[str, object]:
        return next(output for output in daemon.channel("one")["outputs"] if output["name"] == "rtmp")

    with stage.row(14) as row, intruding(origin, "claimed", house_clip) as intruder:
        daemon.start()
        wait_until(lambda: shown()["last_error"], what="the taken name to be told", timeout_s=40)
        row.measured["control: up_after_told_s"] = poll_s(lambda: shown()["state"] == "up", what="the push to be up")
        assert intruder.wait(20) != 0, "the other one was shown out"
        listed = origin.segments("claimed")
        wait_until(lambda: len(origin.segments("claimed")) > len(listed), what="segments of the channel")
        assert "already publishing" in str(shown()["last_error"]).lower()
    (dropped,) = daemon.log("publisher_dropped")
    assert (dropped["app"], dropped["channel"]) == ("live", "one")
