"""A push that grew old, seen from its channel: it is renewed at a boundary of clips, without being called a failure."""

from collections.abc import Callable
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin
from station import Station, settings, until

from channeld.channel.settings import RtmpTarget
from channeld.outputs.push_plan import PushTiming

OpenStation = Callable[..., Station]


@pytest.mark.long
def test_an_old_push_goes_over_to_its_successor_at_a_boundary(station_of: OpenStation, shelf: Path, nginx_rtmp: NginxOrigin) -> None:
    playlist = shelf / "list.txt"
    playlist.write_text("a.mp4\nb.mp4\n")
    url = nginx_rtmp.rtmp_url("one")
    channel = settings(playlist, targets=(RtmpTarget("rtmp", url, url),))
    station = station_of(channel, push_timing=PushTiming(recycle_s=6.0, recycle_jitter_s=0.0))

    def push() -> dict[str, object]:
        (shown,) = station.shown()["outputs"]
        return dict(shown)

    until(lambda: push()["state"] == "up", "the push up")
    first = push()["pid"]
    until(lambda: push()["pid"] not in (first, None) and push()["state"] == "up", "its successor up")
    assert (push()["restarts"], push()["last_error"]) == (0, None)
    count = len(nginx_rtmp.segments("one"))
    nginx_rtmp.wait_for_segments("one", count + 2)
