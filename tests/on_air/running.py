"""A real daemon for tests: its configuration, its process, its admin interface, and the proof that nothing stays behind.

Rule: whoever makes a RunningDaemon ends it; all that it writes stands below one folder, its log among it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from nginx_origin import listens, wait_until

FPS = 25
FRAME_TICKS = 90_000 // FPS
ORIGIN_TICKS = 90_000
PROFILE = {
    "width": 320,
    "height": 180,
    "fps": FPS,
    "gop_seconds": 1,
    "preset": "ultrafast",
    "video_bitrate": "400k",
    "audio_bitrate": "96k",
}
START_S = 90.0
_EVENTS = {"warning", "error", "critical"}

Channels = dict[str, dict[str, Any]]


class RunningDaemon:
    """`channeld run` on ports and folders of its own. `cache`: prepared clips to begin with, copied."""

    def __init__(self, folder: Path, channels: Channels, *, cache: Path | None = None) -> None:
        self.folder = folder
        self.admin_port, self.media_port = free_ports(2)
        self.config_path = folder / "channeld.yaml"
        self.log_path = folder / "daemon.log"
        self.config = self._config(channels)
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, "-m", "channeld"]
        self.environment: dict[str, str] = {}
        for name in ("state", "run", "hls", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if cache is not None:
            shutil.copytree(cache, folder / "state" / "cache", ignore=shutil.ignore_patterns("writer.lock"))

    def _config(self, channels: Channels) -> dict[str, Any]:
        return {
            **{f"{name}_dir": str(self.folder / place) for name, place in (("state", "state"), ("runtime", "run"), ("hls", "hls"))},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "media": {"listen": f"127.0.0.1:{self.media_port}"},
            "media_roots": [str(self.folder)],
            "log": {"format": "json"},
            "profiles": {"small": dict(PROFILE)},
            "defaults": {"profile": "small"},
            "channels": channels,
        }

    # -- life ---------------------------------------------------------------------------------------------------

    def write_config(self) -> None:
        """Write the configuration as it is now."""
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")

    def launch(self) -> None:
        """Start the process, without waiting for anything."""
        self.write_config()
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp"), **self.environment}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "run", "--config", str(self.config_path)],
                stdout=log,
                stderr=log,
                env=environment,
                process_group=0,
            )

    def start(self) -> None:
        """Start, and return when /readyz says that a channel is on air."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Raises RuntimeError with the log when the daemon ends instead."""
        wait_until(self._is_ready, what="the daemon to be ready", timeout_s=START_S)

    def _is_ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended: {self.log_path.read_text(errors='replace')[-4000:]}")
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether a route of the admin listener answers 200 now."""
        try:
            return httpx.get(f"{self.admin_url}{path}", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        """Of the daemon. Raises RuntimeError when it was not started."""
        if self.process is None:
            raise RuntimeError("the daemon does not run")
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """Every process below the daemon."""
        return psutil.Process(self.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process | None:
        """The one process below the daemon whose command line has these words; None when there is not just one."""
        found = [process for process in self.family() if words in command_line(process)]
        return found[0] if len(found) == 1 else None

    def stop(self, *, within_s: float = 15.0) -> list[str]:
        """SIGTERM, and what is wrong with how it ended: status, children, FIFOs, temporary files, ports. Idempotent."""
        if self.process is None:
            self.end_holder()
            return []
        process, self.process = self.process, None
        try:
            family = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        process.send_signal(signal.SIGTERM)
        found: list[str] = []
        try:
            status = process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait(10)
            found.append(f"the daemon did not end within {within_s} s of SIGTERM")
        if status:
            found.append(f"the daemon exits with {status}: {self.log_path.read_text(errors='replace')[-3000:]}")
        return [*found, *self._leftovers(family)]

    def end_holder(self) -> None:
        """End what a killed daemon left with its holder, as a minute without a daemon does."""
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "channeld.process.hold" in line and str(self.folder / "run" / "hold.sock") in line:
                process.terminate()
                process.wait(20)

    def kill(self) -> None:
        """SIGKILL for the daemon alone, as the kernel does when memory is short."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def _leftovers(self, family: Iterable[psutil.Process]) -> list[str]:
        found = [f"process left: {command_line(process)}" for process in still_there(family)]
        found += [f"file left: {path.relative_to(self.folder)}" for path in self._loose_files()]
        return found + [f"port {port} is still open" for port in (self.admin_port, self.media_port) if listens(port)]

    def _loose_files(self) -> list[Path]:
        """FIFOs, sockets and temporary files: none of them may outlive the daemon. Lock files do: to remove one breaks the lock."""
        within = [*(self.folder / "run").rglob("*"), *(self.folder / "tmp").rglob("*")]
        parts = [path for place in ("state", "hls") for path in (self.folder / place).rglob("*") if path.suffix in (".part", ".tmp")]
        fifos = [path for path in self.folder.rglob("*") if path.is_fifo() or path.is_socket()]
        return sorted({*(path for path in within if not path.is_dir() and path.suffix != ".lock"), *parts, *fifos})

    # -- what it says -------------------------------------------------------------------------------------------

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def hls_url(self, channel: str) -> str:
        """The embedded origin's manifest."""
        return f"http://127.0.0.1:{self.media_port}/hls/{channel}/index.m3u8"

    def ts_url(self, channel: str) -> str:
        """The spliced stream itself."""
        return f"http://127.0.0.1:{self.media_port}/ts/{channel}"

    def client(self) -> httpx.Client:
        """An HTTP client of the admin interface, with the token."""
        token = (self.folder / "state" / "admin.token").read_text().strip()
        return httpx.Client(base_url=self.admin_url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def get(self, path: str) -> Any:
        """JSON of one question. Raises HTTPStatusError when refused."""
        with self.client() as client:
            return client.get(path).raise_for_status().json()

    def post(self, route: str, **body: Any) -> httpx.Response:
        """One order."""
        with self.client() as client:
            return client.post(route, json=body) if body else client.post(route)

    def channel(self, channel: str) -> dict[str, Any]:
        """The channel as the admin interface describes it."""
        found: dict[str, Any] = self.get(f"/api/v1/channels/{channel}")
        return found

    def airings(self, channel: str) -> list[dict[str, Any]]:
        """What aired, oldest first; the one on air has no `ended` yet."""
        answer = self.get(f"/api/v1/as-run?channel={channel}&limit=5000")
        listed: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["airings"]
        return listed[::-1]

    def aired(self, channel: str) -> list[str | None]:
        """Paths of the clips that began, oldest first; None is the filler."""
        return [airing["path"] for airing in self.airings(channel)]

    def wait_for(self, channel: str, holds: Callable[[dict[str, Any]], object], *, what: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """The channel's description once the condition holds."""
        found: dict[str, Any] = {}

        def look() -> bool:
            found.update(self.channel(channel))
            return bool(holds(found))

        wait_until(look, what=what, timeout_s=timeout_s)
        return found

    def wait_for_airing(self, channel: str, path: str | None, *, after: int = 0, timeout_s: float = 30.0) -> int:
        """Wait until a clip begins at or after airing number `after` (from 0); gives its number."""
        wait_until(lambda: path in self.aired(channel)[after:], what=f"{path} to air on {channel}", timeout_s=timeout_s)
        return self.aired(channel).index(path, after)

    def log(self, *events: str) -> list[dict[str, Any]]:
        """The log's lines so far, or those of some events."""
        found = []
        for line in self.log_path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line, "level": "critical"}  # not JSON: a traceback, say
            if not events or entry["event"] in events:
                found.append(entry)
        return found

    def refusals(self) -> dict[str, str]:
        """Reason of every clip refused so far, by path. A clip is named profile|path|in|out|duration, perhaps with more before."""
        return {entry["clip"].split("|")[-4]: entry["reason"] for entry in self.log("clip_refused")}

    def complaints(self) -> list[str]:
        """Events of level warning and above, for a test that expects none or just some."""
        return [entry["event"] for entry in self.log() if entry.get("level") in _EVENTS]


def free_ports(count: int) -> list[int]:
    """So many TCP ports of 127.0.0.1 that nobody listened on a moment ago."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


def origin_ports() -> tuple[int, int, int]:
    """Three of them, as an NginxOrigin takes."""
    rtmp, http, control = free_ports(3)
    return rtmp, http, control


def command_line(process: psutil.Process) -> str:
    """The command line, empty for a process that is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def still_there(processes: Iterable[psutil.Process], *, within_s: float = 2.0) -> list[psutil.Process]:
    """Which of these live on; the kernel gets a moment to reap them."""
    deadline = time.monotonic() + within_s
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [process for process in left if _lives(process)]
        time.sleep(0.02)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def prepare(folder: Path, channels: Channels) -> Path:
    """Run `channeld prepare` in a folder of its own; gives the cache. What is refused is no failure here."""
    daemon = RunningDaemon(folder, channels)
    daemon.write_config()
    command = [sys.executable, "-m", "channeld", "prepare", "--json", "--config", str(daemon.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"prepare exits with {done.returncode}: {done.stderr[-2000:]}")
    return folder / "state" / "cache"
