"""A real nginx with its RTMP module for tests: an instance of its own, ended by its own pid.

Rule: whoever makes an NginxOrigin stops it; it touches nothing outside of its prefix.
The configuration is the one that is delivered in nginx/, rendered by nginx/render.py.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

FOLDER = Path(__file__).resolve().parent.parent / "nginx"
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def nginx_program() -> str | None:
    """Path of nginx; Debian keeps it in a folder that an ordinary user's PATH may lack."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def missing_parts() -> str:
    """What this machine lacks to run an origin; empty when nothing."""
    return ", ".join(name for name, found in (("nginx", nginx_program()), ("libnginx-mod-rtmp", MODULE.exists())) if not found)


def wait_until(holds: Callable[[], object], *, what: str, timeout_s: float = 30.0) -> None:
    """Poll until the condition holds. Raises TimeoutError naming what was awaited."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s for {what}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class NginxOrigin:
    """One instance. `ports` are those of RTMP, HTTP and control."""

    def __init__(self, prefix: Path, *, ports: tuple[int, int, int], fragment_s: int = 2, arguments: tuple[str, ...] = ()) -> None:
        self.prefix = prefix
        self.rtmp_port, self.http_port, self.control_port = ports
        self._arguments = (f"--fragment={fragment_s}", *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The rendered configuration."""
        return self.prefix / "nginx.conf"

    @property
    def error_log(self) -> Path:
        """What nginx complained about."""
        return self.prefix / "logs" / "error.log"

    @property
    def pid(self) -> int:
        """Pid of the master. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("the origin does not run")
        return self._process.pid

    def rtmp_url(self, name: str) -> str:
        """Where to push the stream."""
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/{name}"

    def hls_url(self, name: str) -> str:
        """The manifest's address."""
        return f"http://127.0.0.1:{self.http_port}/hls/{name}/index.m3u8"

    def control_url(self, path: str) -> str:
        """An address of the loopback-only server, such as `stat` or `control/drop/publisher?app=live&name=x`."""
        return f"http://127.0.0.1:{self.control_port}/{path}"

    def hls_dir(self, name: str) -> Path:
        """Folder of the stream's manifest and segments."""
        return self.prefix / "www" / "hls" / name

    def render(self) -> None:
        """Write the configuration and make the folders."""
        ports = [f"--rtmp-port={self.rtmp_port}", f"--http-port={self.http_port}", f"--control-port={self.control_port}"]
        command = [sys.executable, str(FOLDER / "render.py"), str(self.prefix), "--http-listen=127.0.0.1", *ports, *self._arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def start(self) -> None:
        """Start, and return when all three ports answer. Raises RuntimeError with nginx's words when it ends at once."""
        if self._process is not None:
            raise RuntimeError("the origin runs already")
        self.render()
        program = [nginx_program() or "nginx", "-p", str(self.prefix), "-c", str(self.config), "-e", str(self.error_log)]
        # A group of its own, so that crash() takes the workers too; with the test session dead, nobody else ends it.
        guard = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen([*guard, *program], process_group=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._is_up, what="nginx to listen")

    def _is_up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            raise RuntimeError(f"nginx ended at start: {self.error_log.read_text()}")
        return all(listens(port) for port in (self.rtmp_port, self.http_port, self.control_port))

    def reload(self) -> None:
        """Render anew and let the master read it."""
        self.render()
        os.kill(self.pid, signal.SIGHUP)

    def worker_pids(self) -> list[int]:
        """Pids of the workers and of the cache manager."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    def freeze(self) -> None:
        """Stop the workers without ending them, as a machine that hangs does."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let frozen workers go on."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGCONT)

    def crash(self) -> None:
        """Kill master and workers at once; start() brings it back on the same ports."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)
        self._process = None
        wait_until(lambda: not listens(self.http_port), what="the killed nginx to leave its port")

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.crash()
        self._process = None

    def manifest(self, name: str) -> str | None:
        """The manifest's text over HTTP, or None while there is none."""
        answer = httpx.get(self.hls_url(name), timeout=5)
        return answer.text if answer.status_code == 200 else None

    def segments(self, name: str) -> list[str]:
        """Names of the segments in the manifest, oldest first."""
        return [line for line in (self.manifest(name) or "").splitlines() if line and not line.startswith("#")]

    def wait_for_segments(self, name: str, count: int = 1) -> list[str]:
        """The manifest's segments, once there are at least so many."""
        wait_until(lambda: len(self.segments(name)) >= count, what=f"{count} segments of {name}")
        return self.segments(name)
