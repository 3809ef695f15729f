"""`channeld mock-source` as a peer of tests: begun, hurt and ended by a test, always at the same address.

Rule: whoever makes a MockPeer stops it. RTSP is served by GStreamer's rtsp-server, SRT and RTMP by FFmpeg, HTTP-TS and HLS by the own
small server of the mock, which shares no code with the daemon's.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from nginx_origin import wait_until

START_S = 60.0
SMALL = {"size": "160x90", "fps": "10", "gop-seconds": "0.5", "bitrate": "200k"}
"""Enough for most tests, and light."""
_PATHS = {
    "ts": "http://{}{}:{}/live.ts",
    "hls": "http://{}{}:{}/live.m3u8",
    "rtsp": "rtsp://{}{}:{}/live",
    "rtmp": "rtmp://{}{}:{}/live/mock",
    "srt": "srt://{}{}:{}",
    "udp": "udp://{}{}:{}",
}


class MockPeer:
    """One source. Options are those of `mock-source` without their dashes: `vcodec="hevc"`, `gop_seconds="2"`, `digest=True`.

    `host`: where it listens, or sends to; `through`: words before its command, such as those that enter a network namespace.
    """

    def __init__(
        self,
        protocol: str,
        port: int,
        *,
        faults: tuple[str, ...] = (),
        host: str = "127.0.0.1",
        through: tuple[str, ...] = (),
        **options: str | bool,
    ) -> None:
        self.protocol, self.port, self.host = protocol, port, host
        self._through = through
        self.options: dict[str, str | bool] = {**SMALL, **{name.replace("_", "-"): value for name, value in options.items()}}
        self._faults = faults
        self._process: subprocess.Popen[str] | None = None
        self._words: list[str] = []
        self._known: set[int] = set()
        self.struck_ns = 0
        """When what befell it last began, by the monotonic clock."""

    @property
    def url(self) -> str:
        """Where it is found, with user and password when it wants them."""
        if push := self.options.get("push"):
            return str(push)
        user = self.options.get("user")
        return self.url_for(f"{user}:{self.options['password']}@" if user else "")

    def url_for(self, login: str) -> str:
        """The address with another login before the host: `"user:wrong@"`, or none."""
        return _PATHS[self.protocol].format(login, self.host, self.port)

    @property
    def pid(self) -> int:
        """Pid of the mock. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("the peer does not run")
        return self._process.pid

    @property
    def words(self) -> list[str]:
        """All that it told: `serving …`, `12.3 s: black begins`."""
        return list(self._words)

    def start(self) -> "MockPeer":
        """Start, and return when viewers may come. Raises RuntimeError with its words when it ends instead."""
        if self._process is not None:
            raise RuntimeError("the peer runs already")
        command = [sys.executable, "-m", "channeld", "mock-source", "--protocol", self.protocol, "--commands", *self._arguments()]
        guard = ["setpriv", "--pdeathsig", "TERM", "--"]
        pipe = subprocess.PIPE
        repository = Path(__file__).resolve().parent.parent.parent
        self._words = []
        self._process = subprocess.Popen(
            [*guard, *self._through, *command],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=repository,
            process_group=0,
        )
        threading.Thread(target=self._listen, args=(self._process,), name="peer", daemon=True).start()
        wait_until(self._is_up, what=f"the {self.protocol} peer to serve", timeout_s=START_S)
        self._known |= self.pids()
        return self

    def _arguments(self) -> list[str]:
        listen = [] if "push" in self.options else ["--listen", f"{self.host}:{self.port}"]
        for name, value in self.options.items():
            listen += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        return listen + [word for fault in self._faults for word in ("--fault", fault)]

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        words = self._words
        if process.stdout is not None:
            for line in process.stdout:
                words.append(line.rstrip())

    def _is_up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            status, self._process = self._process.returncode, None
            raise RuntimeError(f"the peer ended with {status} at start: {self._words}")
        return any(word.startswith("serving ") for word in self._words)

    def pids(self) -> set[int]:
        """Pids of the mock and of all its children, now."""
        if self._process is None:
            return set()
        try:
            return {self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))}
        except psutil.NoSuchProcess:
            return set()

    def survivors(self) -> set[int]:
        """Of all processes that this peer was seen to have, those that live."""
        return {pid for pid in self._known if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE}

    # What may befall it.

    def freeze(self) -> None:
        """SIGSTOP to all of it: a machine that hangs. Connections stay, the kernel still takes new ones."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def crash(self) -> None:
        """SIGKILL to the mock alone; its children follow by themselves. `start` brings it back on the same port."""
        if self._process is None:
            return
        self._known |= self.pids()
        self.struck_ns = time.monotonic_ns()
        self._process.kill()
        self._finish()

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process is None:
            return
        self._known |= self.pids()
        self.thaw()
        self._process.terminate()
        self._finish()

    def restart(self) -> None:
        """Crash, and come back on the same port."""
        self.crash()
        self.start()

    def _signal(self, number: int) -> None:
        pids = sorted(self.pids())
        self.struck_ns = time.monotonic_ns()
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _finish(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=5)
            if process.stdin is not None:
                process.stdin.close()

    def suffer(self, kind: str, *, for_s: float | None = None, to: str = "", rate: float | None = None) -> None:
        """Begin a fault now, for so long or until `heal`; returns when it is on."""
        order = f"kind={kind}" + (f",for={for_s:g}s" if for_s is not None else "") + (f",to={to}" if to else "")
        self._order(order + (f",rate={rate:g}" if rate is not None else ""), f"{kind} begins")

    def heal(self) -> None:
        """End all faults; returns when they are over."""
        self._order("end", "all faults end")

    def _order(self, order: str, awaited: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the peer does not run")
        before, self.struck_ns = len(self._words), time.monotonic_ns()
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        self.wait_for(awaited, since=before)

    def wait_for(self, words: str, *, since: int = 0, timeout_s: float = START_S) -> None:
        """Until it told this. Raises RuntimeError when it refused an order."""

        def told() -> bool:
            fresh = self._words[since:]
            if refused := [word for word in fresh if word.startswith("refused")]:
                raise RuntimeError(refused[0])
            return any(word.endswith(words) for word in fresh)

        wait_until(told, what=f"the peer to tell {words!r}", timeout_s=timeout_s)

    def quiet(self) -> None:
        """Bytes stop, connections stay."""
        self.suffer("stop")

    def garble(self) -> None:
        """Garbage in place of the stream (in RTSP and RTMP: within the pictures)."""
        self.suffer("garbage")

    def slow_down(self, rate: float = 0.5) -> None:
        """The stream at a share of real time."""
        self.suffer("slow", rate=rate)

    def resize(self, to: str = "") -> None:
        """Another size; half of it unless told."""
        self.suffer("size", to=to)

    def recode(self, to: str = "") -> None:
        """Another video codec; hevc for h264 unless told."""
        self.suffer("codec", to=to)

    def hang_up(self) -> None:
        """Connections are cut and new ones refused, until `heal`."""
        self.suffer("close")


def wait_until_gone(peer: MockPeer) -> None:
    """Until nothing of a peer's processes lives. Raises TimeoutError."""
    wait_until(lambda: not peer.survivors(), what="the peer's children to be gone", timeout_s=20)
