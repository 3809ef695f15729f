"""DASH in a real browser by dash.js, the reference player: it plays over joins of clips, out of one unbroken buffer.

dash.js comes from npm, once, into the environment of the tests; where there is no npm, or no way to it, this is skipped.
"""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from running import RunningDaemon

pytestmark = pytest.mark.timeout(600)  # the waits below have limits of their own
PACKAGE = "dashjs@5.2.1"
PLAYER = "dist/modern/umd/dash.all.min.js"
PLAYS_S = 14
"""Longer than a clip of the list, so that at least one join is among it."""
PAGE = """<!doctype html><link rel="icon" href="data:,"><video muted></video><script src="/{player}"></script><script>
const player = dashjs.MediaPlayer().create(), video = document.querySelector("video");
window.seen = {{errors: [], seeks: 0, first: null, gaps: 0}};
player.on("error", told => seen.errors.push(JSON.stringify(told.error)));
player.on("playbackSeeking", () => seen.first === null || seen.seeks++);
video.addEventListener("timeupdate", () => {{
  if (video.videoWidth && !video.seeking) seen.first ??= video.currentTime;
  seen.gaps = Math.max(seen.gaps, video.buffered.length - 1);
}});
player.initialize(video, "{url}", true);
</script>"""


@pytest.fixture(scope="session")
def dash_js() -> Path:
    """The folder of the package."""
    folder = Path(sys.prefix) / "share" / PACKAGE.replace("@", "-")
    if not (folder / PLAYER).exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm on this machine, to fetch dash.js")
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder.parent, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            pytest.skip(f"npm cannot fetch {PACKAGE}: {done.stderr[-300:]}")
        shutil.unpack_archive(folder.parent / done.stdout.strip(), folder.with_suffix(".new"))
        (folder.with_suffix(".new") / "package").rename(folder)
    return folder


@pytest.fixture
def channel(films: Path, tmp_path: Path) -> Iterator[RunningDaemon]:
    settings = {"playlist": str(films), "outputs": [{"dash": {"segment_seconds": 2, "window": 12}}]}
    daemon = RunningDaemon(tmp_path / "daemon", {"one": settings})
    daemon.start()
    yield daemon
    assert daemon.stop() == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(dash_js: Path, channel: RunningDaemon, tmp_path: Path) -> Iterator[str]:
    """A page of another site than the channel's, so that CORS is needed."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "dist").symlink_to(dash_js / "dist")
    url = f"http://127.0.0.1:{channel.media_port}/dash/one/manifest.mpd"
    (root / "index.html").write_text(PAGE.format(player=PLAYER, url=url), encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()


def test_dash_js_plays_over_a_join_out_of_one_buffer(site: str, channel: RunningDaemon, browser: Browser) -> None:
    channel.wait_for("one", lambda shown: shown["outputs"][0].get("media_sequence", -1) >= 2, what="segments", timeout_s=90)
    page = browser.new_page()
    try:
        page.goto(site)
        page.wait_for_function(
            f"seen.errors.length || (seen.first !== null && document.querySelector('video').currentTime > seen.first + {PLAYS_S})",
            timeout=120_000,
        )
        seen = page.evaluate("seen")
        assert (seen["errors"], seen["seeks"], seen["gaps"]) == ([], 0, 0)
        assert page.evaluate("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames") > 0
    finally:
        page.close()
    assert len(channel.aired("one")) > 1
