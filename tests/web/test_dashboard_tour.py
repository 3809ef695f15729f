"""The pictures of docs/dashboard.md: made of daemons with the project's own clips and live test pictures on air.

Rule: they are written where $CHANNELD_TOUR says (docs/images, to renew them), else into the test's own folder.
"""

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard import PHONE, Dashboard
from peers.mock_peer import MockPeer
from playwright.sync_api import Browser, expect
from recordings import TsRecorder
from running import RunningDaemon, free_ports

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


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A camera that is away, with the test pattern in its place, and a list of which three channels are relayed, one of them dead."""
    ports = free_ports(2)
    peers = [MockPeer("ts", port) for port in ports]
    folder = tmp_path_factory.mktemp("relays")
    sources = [
        {"name": "camera", "url": "rtsp://viewer:secret@127.0.0.1:9/main"},
        {"name": "bars", "title": "Bars and tone", "pattern": True},
    ]
    daemon = RunningDaemon(folder, {"harbour": {"name": "Harbour", "sources": sources, "outputs": [{"hls": {"segment_seconds": 2}}, "ts"]}})
    daemon.config["url_allow"] = {"schemes": ["http"], "private": True}
    urls = [*(peer.url for peer in peers), *(f"http://127.0.0.1:9/{name}.ts" for name in ("sport", "music", "children", "weather"))]
    titles = ("World News", "Parliament", "Sport One", "Music", "Children", "Weather")
    entries = [
        f'#EXTINF:-1 tvg-id="c{at}" group-title="{"News" if at < 2 else "Various"}",{titles[at]}\n{url}\n' for at, url in enumerate(urls)
    ]
    (folder / "provider.m3u").write_text("#EXTM3U\n" + "".join(entries))
    try:
        for peer in peers:
            peer.start()
        daemon.start()
        daemon.post("/api/v1/proxies", name="Provider", source="provider.m3u").raise_for_status()
        daemon.post("/api/v1/proxies/provider/refresh").raise_for_status()
        for at, profile in enumerate((1, 2, 1)):
            daemon.post(f"/api/v1/proxies/provider/channels/c{at}/relay", profile_id=profile).raise_for_status()
        for relay in (1, 2):
            daemon.wait_for(f"relay-{relay}", lambda channel: channel["sources"][0]["on_air"], what="a relay on air", timeout_s=120)
        yield daemon
        assert daemon.stop() == []
    finally:
        for peer in peers:
            peer.stop()


def test_the_place_of_relays_is_photographed(browser: Browser, relays: RunningDaemon, shots: Path, tmp_path: Path) -> None:
    dashboard = Dashboard(browser, relays, size=(1360, 900))
    try:
        page = dashboard.open("relay")
        with TsRecorder(relays.ts_url("relay-1"), tmp_path / "seen.ts"):
            page.locator(".run", has_text="World News").locator(".run-cells dd", has_text="1").first.wait_for(timeout=60_000)
            page.get_by_role("button", name="Details of Harbour").click()
            page.locator(".switches li", has_text="on air now").wait_for()
            expect(page.locator(".run[data-kind=ok]")).to_have_count(2, timeout=120_000)
            page.mouse.move(0, 0)
            page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-relays.jpg")
        dashboard.go("relay/profiles/new")
        page.get_by_label("Name").fill("720p for tablets")
        page.get_by_label("FFmpeg's arguments").fill(
            "-i {input_url} -c:v libx264 -crf 90 -s 1280x720 -report -c:a aac -f mpegts {output_path}"
        )
        page.locator(".fault-link").nth(1).wait_for()
        page.screenshot(type="jpeg", quality=82, path=shots / "dashboard-relay-profile.jpg")
        assert dashboard.complaints == []
    finally:
        dashboard.close()
    assert all((shots / f"dashboard-{name}.jpg").stat().st_size > 10_000 for name in ("relays", "relay-profile"))
