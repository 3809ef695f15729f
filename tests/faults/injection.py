"""How faults are made: disks that freeze or fill, control groups, a throttled wire, one thread held still.

Rule: each is a context manager that takes the fault back whatever happens inside, and skips the test, naming what is missing, where it
cannot be made.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from nginx_origin import wait_until

CGROUPS = Path("/sys/fs/cgroup")
_CHUNK_BYTES = 16 * 1024


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=60)


def needs(*programs: str, as_root: bool = True) -> None:
    """Skip the test where it cannot be done."""
    missing = [program for program in programs if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(f"missing on this machine: {', '.join(missing)}")
    if as_root and os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN)")


# -- disks ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(image: Path, folder: Path, *, megabytes: int = 96) -> Iterator[Path]:
    """An ext4 of its own at a folder, in a loop device."""
    needs("mkfs.ext4", "losetup", "mount")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-F", image)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run("mount", "-o", "loop", image, folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device may be mounted here: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        _unmount(folder)


@contextlib.contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Every write to this disk waits, as on a storage that stalls (FIFREEZE)."""
    needs("fsfreeze")
    _run("fsfreeze", "-f", folder)
    try:
        yield
    finally:
        _run("fsfreeze", "-u", folder)


def _unmount(folder: Path) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        _run("umount", folder)
        return
    _run("umount", "-l", folder)


class IllDisk:
    """A folder seen through a disk that can fall ill; see sick_disk.py."""

    def __init__(self, folder: Path, illness: Path) -> None:
        self.folder, self._illness = folder, illness

    @contextlib.contextmanager
    def ill(self, how: str, *, from_byte: int = 0) -> Iterator[None]:
        """`stall` or `eio` for all reads that reach beyond a byte."""
        self._illness.write_text(f"{how} {from_byte}")
        try:
            yield
        finally:
            self._illness.write_text("")


@contextlib.contextmanager
def ill_disk(source: Path, folder: Path) -> Iterator[IllDisk]:
    """Show `source` at `folder` through FUSE."""
    needs("fusermount3")
    pytest.importorskip("mfusepy", reason="mfusepy is not installed")
    if not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse on this machine")
    folder.mkdir(parents=True)
    disk = IllDisk(folder, folder.with_name(f"{folder.name}.illness"))
    program = [sys.executable, str(Path(__file__).with_name("sick_disk.py")), str(source), str(folder), str(disk._illness)]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.ismount(folder), what="the disk to be there")
        yield disk
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False, capture_output=True, timeout=20)
        server.terminate()
        server.wait(10)


# -- control groups ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def cgroup(controller: str, name: str, **limits: int) -> Iterator[Path]:
    """A group of version 1; `limits` by file name with `_` for the first dot. Who is in it goes back to the parent's."""
    needs()
    parent = CGROUPS / controller
    if not (parent / "cgroup.procs").exists():
        pytest.skip(f"no {controller} controller of version 1 on this machine")
    group = parent / f"channeld-test-{os.getpid()}-{name}"
    group.mkdir()
    try:
        for key, value in limits.items():
            (group / key.replace("__", ".")).write_text(str(value))
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            join(parent, int(pid))
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group to be empty")
        group.rmdir()


def join(group: Path, pid: int) -> bool:
    """Put a process into a group; False when it is gone already."""
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except (ProcessLookupError, OSError):
        return False
    return True


# -- processes --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """SIGSTOP; whoever still lives afterwards goes on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def traced(*options: str, pid: int) -> Iterator[None]:
    """strace on a process or thread with these options, until it is attached and as long as the block lasts."""
    needs("strace")
    tracer = subprocess.Popen(["strace", "-qq", *options, "-o", "/dev/null", "-p", str(pid)], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _is_traced(pid), what="strace to attach", timeout_s=10)
        yield
    finally:
        tracer.kill()  # it keeps what it delays from dying
        tracer.wait(10)


def _is_traced(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True  # ended of what was injected
    return "TracerPid:\t0\n" not in status


def processes_with(*words: str) -> list[psutil.Process]:
    """Processes of this machine whose command line has all of these words."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if all(word in line for word in words):
                found.append(process)
    return found


def has_open(pid: int, path: Path) -> bool:
    """A process has this file open, under whatever name it was given it."""
    try:
        return any(link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it is gone


def ffmpeg_of(path: Path, *, timeout_s: float = 20.0) -> psutil.Process:
    """The FFmpeg that conforms a file, once it runs; not one that only looks at it."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [each for each in processes_with("libx264") if has_open(each.pid, path)]
        return bool(found)

    deadline = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no FFmpeg conforms {path}")
        time.sleep(0.01)
    return found[0]


# -- a wire -----------------------------------------------------------------------------------------------------


class Wire:
    """A TCP relay to a port of 127.0.0.1 whose speed is set by the test; one thread per direction of each connection.

    `listener`: where it accepts, and owns from then on; a port of 127.0.0.1 without.
    """

    def __init__(self, target_port: int, listener: socket.socket | None = None) -> None:
        self._target_port = target_port
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        address, port = self._listener.getsockname()
        self.place = f"{address}:{port}"
        self.bytes_per_s: float | None = None
        """None: as fast as it goes; 0: nothing passes, and nobody is told."""
        self.is_refusing = False
        """Connections are closed as soon as they are made."""
        self.attempts = 0
        self._sockets: list[socket.socket] = []
        self._dead: set[int] = set()
        self._closing = threading.Event()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.attempts += 1
            if self.is_refusing:
                client.close()
                continue
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            try:
                target = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:  # nobody is there: whoever called is told, as nobody would have answered without us
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            self._sockets += [client, target]
            for source, sink in ((client, target), (target, client)):
                threading.Thread(target=self._relay, args=(source, sink), name="wire", daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK_BYTES):
                while source.fileno() in self._dead and not self._closing.is_set():
                    time.sleep(0.05)
                if self.bytes_per_s is not None:
                    time.sleep(len(piece) / self.bytes_per_s)
                sink.sendall(piece)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Every connection there is is closed at once."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Every connection there is dies without a word to either end, as when a link goes down; new ones work."""
        self._dead |= {each.fileno() for each in self._sockets}

    def close(self) -> None:
        """End all connections."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def rss_mb(pids: Sequence[int]) -> float:
    """Resident memory of processes, in MB; what is gone counts nothing."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return round(total / 1e6, 1)
