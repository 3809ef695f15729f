"""The pictures of docs/dashboard.md: made of a daemon with the project's own clips on air.

Rule: they are written where $CHANNELD_TOUR says (docs/images, to renew them), else into the test's own folder.
"""

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard import PHONE, Dashboard
from playwright.sync_api import Browser
from running import RunningDaemon

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

LISTS = {
    "cinema": (
        "Cinema",
        {"Sintel (trailer)": "sintel_trailer-8s.mp4", "Big Buck Bunny": "big_buck_bunny_0_30.webm", "A rabbit": "bbb.flv"},
    ),
    "nature": ("Nature", {"Ocean": "ocean.ogv", "A bear": "bear-av1-opus.mp4"}),
    "square": ("The Square", {"The tall city": "cityCC0.mpg", "Passers-by": "vtest-5s.avi"}),
}
PROFILE = {"width": 640, "height": 360, "fps": 25, "gop_seconds": 1, "preset": "veryfast", "video_bitrate": "900k", "audio_bitrate": "96k"}


# Pictures that have played for three seconds.
_SEEN = """count => [...document.querySelectorAll('video')]
  .filter(video => video.getVideoPlaybackQuality().totalVideoFrames > 75).length >= count"""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Iterator[RunningDaemon]:
    """Three channels of real clips, and one that is off."""
    folder = tmp_path_factory.mktemp("tour")
    shutil.copytree(media_dir, folder / "media")
    channels = {}
    for name, (title, clips) in LISTS.items():
        entries = "".join(f"#EXTINF:-1,{clip}\nmedia/{file}\n" for clip, file in clips.items())
        (folder / f"{name}.m3u").write_text(f"#EXTM3U\n{entries}")
        outputs = [{"hls": {"segment_seconds": 1, "window": 8}}, "ts"]
        channels[name] = {"name": title, "playlist": str(folder / f"{name}.m3u"), "outputs": outputs}
    channels["night"] = {**copy.deepcopy(channels["square"]), "name": "Night", "enabled": False}
    running = RunningDaemon(folder, channels)
    running.config["profiles"]["small"] = PROFILE
    running.start()
    for name in LISTS:
        running.wait_for(name, lambda channel: channel["prepared"]["eta_s"] == 0, what=f"{name} prepared", timeout_s=200)
    yield running
    assert running.stop() == []


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = Path(os.environ.get("CHANNELD_TOUR", str(tmp_path)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_tour_of_the_dashboard_is_photographed(browser: Browser, station: RunningDaemon, shots: Path) -> None:
    desktop, phone, dark = (
        Dashboard(browser, station, size=size, dark=isdark) for size, isdark in (((1360, 760), False), (PHONE, False), ((1360, 760), True))
    )
    try:
        page = desktop.open()
        page.wait_for_function(_SEEN, arg=3, timeout=60_000)
        page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-wall.jpg")
        desktop.go("channel/cinema")
        page.wait_for_function(_SEEN, arg=1)
        page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-channel.jpg")
        dark.open("channel/cinema")
        dark.page.wait_for_function(_SEEN, arg=1)
        dark.page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-dark.jpg")
        desktop.until(
            lambda: len(station.get("/api/v1/channels/cinema/readings")["samples"]) >= 24, "two minutes of figures", timeout_s=200
        )
        desktop.go("channel/cinema/graphs")
        page.locator(".graph-now", has_text="kbit/s now").wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-graphs.jpg")
        phone.open("channel/cinema")
        phone.page.wait_for_function(_SEEN, arg=1)
        phone.page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-phone.jpg")
        assert [complaint for one in (desktop, phone, dark) for complaint in one.complaints] == []
    finally:
        for one in (desktop, phone, dark):
            one.close()
    names = ("wall", "channel", "dark", "graphs", "phone")
    assert all((shots / f"dashboard-{name}.jpg").stat().st_size > 10_000 for name in names)
