"""More viewers of a channel that suffers: programs that people watch with, each a process of its own, none of them ours.

Rule: whoever makes one closes it. `faults` says what it had to complain of so far: that it ended, or what it said.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from judge.hls_recorder import HlsRecorder
from playwright.sync_api import sync_playwright
from running import RunningDaemon

Start = Callable[[RunningDaemon, str, Path], "Client"]
_HARMLESS = ("Application provided invalid", "Past duration", "Cannot open display", "Can't open display", "XDG_RUNTIME_DIR")

_HLS_JS = Path(__file__).resolve().parents[2] / "channeld" / "api" / "web" / "assets" / "vendor" / "hls.js"
_PLAY = """async url => {
  const {default: Hls} = await import("/ordeal/hls.js");
  const video = document.body.appendChild(document.createElement("video"));
  const seen = window.seen = {at: [], fatal: [], told: {}};
  video.muted = true;
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, error) => {
    seen.told[error.details] = (seen.told[error.details] || 0) + 1;
    if (error.fatal) seen.fatal.push(error.details);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
  hls.loadSource(url);
  hls.attachMedia(video);
  setInterval(() => { if (seen.at.length || video.currentTime) seen.at.push(video.currentTime); }, 1000);
}"""


class Client:
    """A program that watches; what it says is kept."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )

    def faults(self) -> list[str]:
        """That it ended, and its lines, as far as they are complaints."""
        ended = [f"{self.name} ended with {self._process.returncode}"] if self._process.poll() is not None else []
        lines = self._log.read_text(errors="replace").splitlines()
        said = [line for line in lines if line.strip() and not any(words in line for words in _HARMLESS)]
        return ended + [f"{self.name} says: {line[:200]}" for line in said[:10]]

    def close(self) -> None:
        """End it; idempotent."""
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


class HlsClient(Client):
    """A player of HLS that keeps every segment, and whose manifests are judged."""

    def __init__(self, daemon: RunningDaemon, channel: str, folder: Path) -> None:  # no process of its own
        self.name = f"{channel} over HLS"
        self._recorder = HlsRecorder(daemon.hls_url(channel), folder / f"{channel}-hls", poll_s=0.5)
        self._recorder.__enter__()

    def faults(self) -> list[str]:
        self._recorder.close()
        return [f"{self.name}: {fault}" for fault in self._recorder.faults()]

    def close(self) -> None:
        self._recorder.close()


class Player(Client):
    """mpv; its clock is asked, too: it has to run."""

    def __init__(self, daemon: RunningDaemon, channel: str, folder: Path) -> None:
        self._socket = folder / f"{channel}-mpv.sock"
        words = ["mpv", "--no-config", "--msg-level=all=error", "--term-status-msg=", "--vo=null", "--ao=null"]
        words += [f"--input-ipc-server={self._socket}", daemon.ts_url(channel)]
        super().__init__(f"{channel} in mpv", words, folder / f"{channel}-mpv.log")

    def faults(self) -> list[str]:
        before = self._played_s()
        time.sleep(2)
        stands = [] if self._played_s() > before else [f"{self.name} stands still at {before:.1f} s"]
        return super().faults() + stands

    def _played_s(self) -> float:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self._socket))
            line.sendall(b'{"command": ["get_property", "time-pos"]}\n')
            answer = json.loads(line.makefile().readline())
        return float(answer.get("data") or 0.0)


class Browser(Client):
    """Chromium with hls.js. It plays by itself, and writes down each second how far it is."""

    def __init__(self, daemon: RunningDaemon, channel: str, folder: Path) -> None:
        self.name = f"{channel} in Chromium"
        self._playwright = sync_playwright().start()
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        self._browser = self._playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        self._page = self._browser.new_page()
        origin = daemon.hls_url(channel).rpartition("/hls/")[0]
        self._page.route(f"{origin}/ordeal/", lambda route: route.fulfill(body="<title>ordeal</title>", content_type="text/html"))
        self._page.route(f"{origin}/ordeal/hls.js", lambda route: route.fulfill(path=_HLS_JS, content_type="text/javascript"))
        self._page.goto(f"{origin}/ordeal/")
        self._page.evaluate(_PLAY, daemon.hls_url(channel))

    def faults(self) -> list[str]:
        seen = self._page.evaluate("() => window.seen")
        stood = sum(after <= before for before, after in zip(seen["at"][5:], seen["at"][6:], strict=False))
        found = [f"{self.name}: hls.js gave up: {words}" for words in seen["fatal"]]
        if stood:
            found.append(f"{self.name} stood still for {stood} of {len(seen['at'])} s; hls.js told {seen['told']}")
        return found if len(seen["at"]) > 6 else [*found, f"{self.name} never played"]

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()


def _ffmpeg(daemon: RunningDaemon, channel: str, folder: Path) -> Client:
    words = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-v", "warning", "-i", daemon.ts_url(channel), "-f", "null", "-"]
    return Client(f"{channel} in ffmpeg", words, folder / f"{channel}-ffmpeg.log")


def _vlc(daemon: RunningDaemon, channel: str, folder: Path) -> Client:
    # It refuses to be root; what it watches is open to all.
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp", "cvlc", "-q", "--no-video-title-show"]
    return Client(f"{channel} in VLC", [*words, "--vout=dummy", "--aout=dummy", daemon.ts_url(channel)], folder / f"{channel}-vlc.log")


CLIENTS: Mapping[str, Start] = {"ffmpeg": _ffmpeg, "hls": HlsClient, "mpv": Player, "vlc": _vlc, "chromium": Browser}
"""By the words of `--clients`."""
