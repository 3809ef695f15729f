"""Clocks that are set while processes run: the wall clock by a preloaded library, the monotonic one by a time namespace.

Rule: only the processes of the test see them. libfaketime is not used for the wall clock: it breaks clock_nanosleep(2), and with it sleep.
"""

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from injection import needs
from nginx_origin import wait_until

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *offset;
static int (*ask)(clockid_t, struct timespec *);
static void begin(void) {
    int fd = open(getenv("WALL_OFFSET"), O_RDONLY | O_CLOEXEC);
    offset = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    ask = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
}
int clock_gettime(clockid_t id, struct timespec *now) {
    if (!ask) begin();
    int result = ask(id, now);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec; now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (out) *out = found.tv_sec;
    return found.tv_sec;
}
"""


class WallClock:
    """The wall clock of every process that `command` starts, and of their Python children."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("missing on this machine: cc")
        folder.mkdir()
        source, library, self._python = folder / "wall.c", folder / "wall.so", folder / "python"
        self._shared = folder / "offset"
        source.write_text(_SOURCE)
        self._shared.write_bytes(bytes(8))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
        # Children are started by sys.executable, with a clean environment: so it is this script that brings the library along.
        self._python.write_text(
            f'#!/bin/bash\nexport WALL_OFFSET={self._shared} LD_PRELOAD={library}\nexec -a {self._python} {sys.executable} "$@"\n'
        )
        self._python.chmod(0o755)

    @property
    def command(self) -> list[str]:
        """Starts channeld under this clock."""
        return [str(self._python), "-m", "channeld"]

    @property
    def environment(self) -> dict[str, str]:
        """Where that Python finds its packages: under another name it does not know its virtual environment."""
        return {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}

    def set_to(self, offset_s: int) -> None:
        """So many seconds from the true time."""
        with self._shared.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
            memory[:] = struct.pack("<q", offset_s)


@contextlib.contextmanager
def monotonic_at(seconds: float) -> Iterator[list[str]]:
    """The words before a command that has it run where the monotonic clock shows so much now."""
    needs("unshare", "nsenter")
    with open("/proc/uptime", encoding="ascii") as file:  # noqa: PTH123
        offset = int(seconds - float(file.read().split()[0]))
    command = ["unshare", "--time", "--monotonic", str(offset), "--boottime", str(offset), "--fork", "--kill-child", "sleep", "600"]
    keeper = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: keeper.poll() is not None or _sleeper(keeper.pid), what="the time namespace")
        if keeper.poll() is not None:
            assert keeper.stderr is not None
            pytest.skip(f"no time namespace here: {keeper.stderr.read().decode(errors='replace').strip()}")
        yield ["nsenter", f"--time=/proc/{_sleeper(keeper.pid)}/ns/time"]
    finally:
        keeper.kill()
        keeper.wait(10)
        if keeper.stderr is not None:
            keeper.stderr.close()


def _sleeper(pid: int) -> int | None:
    """The child, once it is what it was forked for."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            if child.name() == "sleep":
                return child.pid
    return None
