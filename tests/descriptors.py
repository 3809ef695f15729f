"""A process that has no descriptor left, for a moment."""

import contextlib
import os
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def none_free() -> Iterator[None]:
    """Whatever wants one more gets EMFILE from the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))  # noqa: PTH208
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
