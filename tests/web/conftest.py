"""A daemon with clips on air and a browser, both made once a session; pages are of each test, and none may complain.

Rule: each test has a channel of its own, so that it edits what nobody else does. Skipped where there is no Chromium.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "on_air"))

from clips import ClipShelf, numbered_clip
from running import Channels, RunningDaemon, prepare

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from dashboard import Dashboard
from playwright.sync_api import Browser, sync_playwright

OpenPage = Callable[..., Dashboard]

CLIPS = ("a", "b", "c", "d")
SECONDS = 6
HOSTILE = "<img src=x onerror=alert(1)>"
TITLES = {"a": "Alpha", "b": "Bravo", "c": HOSTILE, "d": "Delta"}
M3U = ("watch", "shelf", "drag", "keys", "skip", "two", "phone", "heal", "roles", "look")
YAML = ("text",)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of six seconds."""
    shelf = ClipShelf(tmp_path_factory.mktemp("films"))
    for number, name in enumerate(CLIPS):
        shelf.get(f"{name}.mp4", numbered_clip, frames=25 * SECONDS, base=number * 1000, size=(320, 180))
    return shelf.folder


def _write_lists(folder: Path, films: Path) -> Channels:
    channels: Channels = {}
    for name in (*M3U, *YAML):
        media = folder / "media" / name
        media.mkdir(parents=True)
        for clip in CLIPS:
            (media / f"{clip}.mp4").hardlink_to(films / f"{clip}.mp4")
        if name in YAML:
            playlist = media / "list.yaml"
            playlist.write_text("# the evening\n" + "".join(f"- {{path: {clip}.mp4, title: '{TITLES[clip]}'}}\n" for clip in CLIPS))
        else:
            playlist = media / "list.m3u"
            playlist.write_text("#EXTM3U\n# the evening\n" + "".join(f"#EXTINF:-1,{TITLES[clip]}\n{clip}.mp4\n" for clip in CLIPS))
        outputs = [{"hls": {"segment_seconds": 1, "window": 8}}]
        channels[name] = {"name": f"Channel {name}", "playlist": str(playlist), "outputs": outputs}
    return channels


@pytest.fixture(scope="session")
def daemon(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A channel for each test, all on air."""
    folder = tmp_path_factory.mktemp("dashboard")
    channels = _write_lists(folder, films)
    cache = prepare(folder / "prepared", channels)
    running = RunningDaemon(folder, channels, cache=cache)
    running.start()
    for name in channels:
        running.wait_for(name, lambda channel: channel["state"] == "on_air", what=f"{name} on air")
    yield running
    assert running.stop() == []


@pytest.fixture
def open_page(browser: Browser, daemon: RunningDaemon) -> Iterator[OpenPage]:
    """Makes pages, not yet signed in; none of them may have complained when the test is over."""
    made: list[Dashboard] = []

    def make(**how: object) -> Dashboard:
        made.append(Dashboard(browser, daemon, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    complaints = [complaint for page in made for complaint in page.complaints]
    for page in made:
        page.close()
    assert complaints == []


@pytest.fixture
def playlist_of(daemon: RunningDaemon) -> Callable[[str], Path]:
    """The file of a channel's list."""
    return lambda channel: Path(daemon.config["channels"][channel]["playlist"])
