"""What the benchmarks play on: prepared clips, an nginx with its RTMP module, and the real daemon, all in one folder.

Rule: whoever makes a Stage closes it; nothing is left but the folder, which keeps the prepared clips for the next run.
Figures come from outside of the daemon: CPU and memory from /proc, the rest from its HTTP interface and its log.
"""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from nginx_origin import NginxOrigin, missing_parts, wait_until  # noqa: E402  (needs the path above)

DEFAULT_FOLDER = REPOSITORY / ".run" / "bench"
SOURCES = (("sintel_trailer-8s.mp4", 5), ("big_buck_bunny_0_30.webm", 1), ("cityCC0.mpg", 5), ("big_buck_bunny-5.1-6s.mp4", 6))
"""Clips of playlists/media and how often each is repeated, so that a join comes every half minute, not every few seconds."""

_METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def make_sources(folder: Path) -> list[Path]:
    """The clips before they are prepared, copied as often as SOURCES says, without encoding."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, rounds in SOURCES:
        path = folder / Path(name).with_suffix(".mkv").name
        if not path.exists():
            source = ["-stream_loop", str(rounds - 1), "-i", str(REPOSITORY / "playlists" / "media" / name)]
            partial = path.with_suffix(".part.mkv")
            subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *source, "-c", "copy", str(partial)], check=True)
            partial.rename(path)
        made.append(path)
    return made


@dataclass(frozen=True, slots=True)
class Cast:
    """What is on stage: channel ids, and what each sends out."""

    channels: tuple[str, ...]
    outputs: str = "rtmp"
    """`rtmp`, `ts`, or a list of outputs as YAML, without its brackets."""
    extra: dict[str, str] = field(default_factory=dict)
    """More channels without outputs: id and the playlist's file name."""
    profile: str | None = None
    """Of all, as YAML; None: the default."""
    media: str = ""
    """More keys of `media`, as YAML."""


class Stage:
    """nginx and daemon over one folder. `close` ends both."""

    def __init__(self, folder: Path, cast: Cast) -> None:
        self.folder = folder
        self.cast = cast
        self.sources = make_sources(folder / "playlists" / "clips")
        rtmp, http, control, self._admin, media = free_ports(5)
        self.origin = NginxOrigin(folder / "origin", ports=(rtmp, http, control), fragment_s=4)
        self.config = folder / "channeld.yaml"
        self.log = folder / "daemon.log"
        self.media_url = f"http://127.0.0.1:{media}"
        """Address of what viewers ask."""
        self._write(media)
        self._daemon: subprocess.Popen[bytes] | None = None

    def _write(self, media: int) -> None:
        playlists = self.folder / "playlists"
        clips = [f"clips/{path.name}" for path in self.sources]
        lines = [f"state_dir: {self.folder}/state", f"runtime_dir: {self.folder}/run", f"hls_dir: {self.folder}/hls"]
        lines += [
            f"admin: {{listen: '127.0.0.1:{self._admin}'}}",
            f"media: {{listen: '127.0.0.1:{media}'{self.cast.media and ', ' + self.cast.media}}}",
        ]
        if self.cast.profile is not None:
            lines += [f"profiles: {{bench: {self.cast.profile}}}", "defaults: {profile: bench}"]
        lines.append("channels:")
        for number, channel in enumerate(self.cast.channels):
            turned = clips[number % len(clips) :] + clips[: number % len(clips)]
            (playlists / f"{channel}.txt").write_text("\n".join(turned) + "\n")
            others = "ts: {}" if self.cast.outputs == "ts" else self.cast.outputs
            target = f"rtmp: '{self.origin.rtmp_url(channel)}'" if self.cast.outputs == "rtmp" else others
            lines.append(f"  {channel}: {{playlist: playlists/{channel}.txt, outputs: [{target}]}}")
        for channel, playlist in self.cast.extra.items():
            (playlists / playlist).write_text("\n".join(clips) + "\n")
            lines.append(f"  {channel}: {{playlist: playlists/{playlist}, outputs: [ts: {{}}]}}")
        self.config.write_text("\n".join(lines) + "\n")

    def prepare(self) -> None:
        """Have every clip prepared, so that nothing is while we measure."""
        self._channeld("prepare", check=True)

    def _channeld(self, verb: str, *, check: bool) -> None:
        command = [sys.executable, "-m", "channeld", verb, "--config", str(self.config)]
        subprocess.run(command, check=check, cwd=REPOSITORY, stdout=subprocess.DEVNULL)

    def start(self, timeout_s: float = 180.0) -> None:
        """Prepare, start both, and return when every channel is on air and every push is up."""
        if missing := missing_parts():
            raise SystemExit(f"this benchmark needs {missing}")
        self.prepare()
        shutil.rmtree(self.folder / "origin", ignore_errors=True)
        self.origin.start()
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "channeld", "run", "--config", str(self.config)]
            self._daemon = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, process_group=0)
        wait_until(self._is_on_air, what="every channel to be on air", timeout_s=timeout_s)

    def _is_on_air(self) -> bool:
        if self._daemon is None or self._daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended: {self.log.read_text()[-2000:]}")
        try:
            described = self.get("/api/v1/channels").json()
        except (httpx.HTTPError, FileNotFoundError):  # it does not listen yet, or writes its first token
            return False
        channels = described if isinstance(described, list) else described["channels"]
        outputs = [output["state"] for channel in channels for output in channel["outputs"]]
        return all(channel["state"] == "on_air" for channel in channels) and set(outputs) <= {"up"}

    @property
    def url(self) -> str:
        """Address of the admin interface."""
        return f"http://127.0.0.1:{self._admin}"

    @property
    def headers(self) -> dict[str, str]:
        """What the admin interface wants to see."""
        return {"Authorization": f"Bearer {(self.folder / 'state' / 'admin.token').read_text().strip()}"}

    def get(self, path: str) -> httpx.Response:
        """Ask the daemon."""
        answer = httpx.get(self.url + path, headers=self.headers, timeout=10)
        answer.raise_for_status()
        return answer

    def metrics(self) -> dict[tuple[str, str], float]:
        """Every figure of /metrics by name and labels."""
        found = (_METRIC.match(line) for line in self.get("/metrics").text.splitlines())
        return {(match[1], match[2] or ""): float(match[3]) for match in found if match}

    @property
    def daemon_pid(self) -> int:
        """Pid of the control process."""
        if self._daemon is None:
            raise RuntimeError("the daemon does not run")
        return self._daemon.pid

    def close(self) -> None:
        """End daemon and nginx; idempotent."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
            self._daemon = None
        self.origin.stop()
        shutil.rmtree(self.folder / "origin" / "www", ignore_errors=True)


@contextlib.contextmanager
def staged(folder: Path, cast: Cast, timeout_s: float = 180.0) -> Iterator[Stage]:
    """A running Stage."""
    stage = Stage(folder, cast)
    try:
        stage.start(timeout_s)
        yield stage
    finally:
        stage.close()


def role_of(process: psutil.Process) -> str:
    """control, host, media, egress, or the program's name, by the command line."""
    line = " ".join(process.cmdline())
    for mark, role in (("playout.host", "host"), ("media_worker", "media"), ("channeld run", "control"), ("fifo_format", "egress")):
        if mark in line:
            return role
    return process.name()


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(processes: Sequence[psutil.Process]) -> dict[int, float]:
    """User and system time of each process that lives, by pid."""
    used = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU of a group of processes over a time, in cores."""

    wall_s: float
    by_role: dict[str, float]
    others: float
    """Everything else on this machine: what disturbed the measurement."""

    @property
    def total(self) -> float:
        """All roles together."""
        return sum(self.by_role.values())


def machine_seconds() -> float:
    """CPU seconds that all processes and the kernel have used since the machine began."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)


class Meter:
    """CPU of named processes between its making and `read`. Processes that begin in between are not seen."""

    def __init__(self, processes: dict[str, list[psutil.Process]]) -> None:
        self._processes = processes
        self._before = {role: cpu_seconds(members) for role, members in processes.items()}
        self._machine_before = machine_seconds()
        self._began = time.monotonic()

    def read(self) -> Spent:
        """What each role used since, in cores."""
        wall_s = time.monotonic() - self._began
        spent = {}
        for role, members in self._processes.items():
            after = cpu_seconds(members)
            spent[role] = sum(after[pid] - used for pid, used in self._before[role].items() if pid in after) / wall_s
        return Spent(wall_s, spent, max(0.0, (machine_seconds() - self._machine_before) / wall_s - sum(spent.values())))


def by_role(pid: int) -> dict[str, list[psutil.Process]]:
    """The daemon's processes by their roles."""
    roles: dict[str, list[psutil.Process]] = {}
    for process in tree(pid):
        roles.setdefault(role_of(process), []).append(process)
    return roles


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
