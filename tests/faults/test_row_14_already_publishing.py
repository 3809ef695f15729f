"""Row 14: somebody else publishes under the channel's name."""

import subprocess
from pathlib import Path

from nginx_origin import wait_until
from stage import Stage, poll_s


def test_a_name_that_is_taken_is_told_plainly_and_used_when_it_is_free(stage: Stage, house_clip: Path) -> None:
    daemon = stage.daemon
    with stage.row(14) as row:
        daemon.post("/api/v1/channels/hit/stop")
        daemon.wait_for("hit", lambda found: found["state"] == "stopped", what="the channel to stop")
        source = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(house_clip)]
        intruder = subprocess.Popen([*source, "-c", "copy", "-f", "flv", stage.origin.rtmp_url("hit")])
        try:
            stage.origin.wait_for_segments("hit", 1)
            daemon.post("/api/v1/channels/hit/start")
            wait_until(lambda: stage.output("hit")["last_error"], what="the reason to be told", timeout_s=40)
            error = str(stage.output("hit")["last_error"])
        finally:
            intruder.terminate()
            intruder.wait(10)
        row.measured["up_after_free_s"] = poll_s(lambda: stage.output("hit")["state"] == "up", what="the push to be up")
    assert "already publishing" in error.lower()
