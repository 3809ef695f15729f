"""Every way that we know to write into a ring, change it or take it from its host, tried by a program that was let in.

Run as: writing.py SOCKET HOST_PID IMPORT_PATH. It becomes another user, attaches, tries, and tells what came of each, in JSON:
the name of the error, or "done". Standard library alone.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

UID, GID = 65534, 54_321
PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 16, 434, 438
PUNCH_HOLE, KEEP_SIZE, COLLAPSE, ZERO_RANGE = 2, 1, 8, 16
MADV_REMOVE, PROT_WRITE = 9, 2


def call(name: str, *arguments: object) -> int:
    """A function of libc; raises OSError when it says -1."""
    function = getattr(LIBC, name)
    function.restype = ctypes.c_long if name in ("syscall", "ptrace", "process_vm_writev") else ctypes.c_int
    result = int(function(*arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def become_another_user() -> None:
    os.setgroups([GID])
    os.setgid(UID)
    os.setuid(UID)


def attached(path: str, request: bytes) -> int:
    """The ring's descriptor, as every reader gets it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        end.connect(path)
        end.send(request)
        _, (fd,), _, _ = socket.recv_fds(end, 4096, 1)
        return int(fd)


def open_and_write(path: str, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.pwrite(fd, b"x" * 64, 0)
    finally:
        os.close(fd)


def map_writable(fd: int, flags: int) -> None:
    with mmap.mmap(fd, PAGE, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[0:1] = b"x"


def address_of(fd: int, size: int) -> int:
    """A mapping of the ring that can be read, at an address for libc."""
    function = LIBC.mmap
    function.restype = ctypes.c_void_p
    found = function(None, ctypes.c_size_t(size), 1, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    return int(found)


def spliced_into(fd: int) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"x" * 64)
        os.splice(reading, fd, 64, offset_dst=0)
    finally:
        os.close(reading)
        os.close(writing)


def sent_into(fd: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 64)
        file.flush()
        os.sendfile(fd, file.fileno(), 0, 64)


def copied_into(fd: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 64)
        file.flush()
        os.copy_file_range(file.fileno(), fd, 64, 0, 0)


def host_files(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def taken_from(pid: int) -> None:
    """Any descriptor of the host."""
    pidfd = call("syscall", SYS_PIDFD_OPEN, pid, 0)
    for fd in range(3, 64):
        try:
            call("syscall", SYS_PIDFD_GETFD, pidfd, fd, 0)
            return
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
    raise OSError(errno.EBADF, "no descriptor found")


def overwrite_in(pid: int, address: int) -> None:
    word = ctypes.create_string_buffer(b"x" * 8, 8)
    part = struct.pack("QQ", ctypes.addressof(word), 8)
    there = struct.pack("QQ", address, 8)
    call("process_vm_writev", pid, part, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0))


def tries(fd: int, pid: int) -> dict[str, Callable[[], object]]:
    size = os.fstat(fd).st_size
    mapped = address_of(fd, size)
    own = f"/proc/self/fd/{fd}"
    return {
        "write": lambda: os.write(fd, b"x"),
        "pwrite": lambda: os.pwrite(fd, b"x", 0),
        "pwritev": lambda: os.pwritev(fd, [b"x"], 0),
        "splice": lambda: spliced_into(fd),
        "sendfile": lambda: sent_into(fd),
        "copy_file_range": lambda: copied_into(fd),
        "mmap shared": lambda: map_writable(fd, mmap.MAP_SHARED),
        "mprotect": lambda: call("mprotect", ctypes.c_void_p(mapped), ctypes.c_size_t(PAGE), PROT_WRITE | 1),
        "madvise remove": lambda: call("madvise", ctypes.c_void_p(mapped), ctypes.c_size_t(PAGE), MADV_REMOVE),
        "open read-write": lambda: open_and_write(own, os.O_RDWR),
        "open write-only": lambda: open_and_write(own, os.O_WRONLY),
        "open truncating": lambda: os.close(os.open(own, os.O_RDONLY | os.O_TRUNC)),
        "truncate by path": lambda: os.truncate(own, 0),
        "fcntl append": lambda: (fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR | os.O_APPEND), os.write(fd, b"x")),
        "shrink": lambda: os.ftruncate(fd, 0),
        "grow": lambda: os.ftruncate(fd, size + PAGE),
        "fallocate": lambda: os.posix_fallocate(fd, 0, PAGE),
        "punch hole": lambda: call("fallocate", fd, PUNCH_HOLE | KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(PAGE)),
        "zero range": lambda: call("fallocate", fd, ZERO_RANGE, ctypes.c_long(0), ctypes.c_long(PAGE)),
        "collapse range": lambda: call("fallocate", fd, COLLAPSE, ctypes.c_long(0), ctypes.c_long(PAGE)),
        "seal": lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        "chmod": lambda: os.fchmod(fd, 0o666),
        "chown": lambda: os.fchown(fd, UID, UID),
        "set times": lambda: os.utime(fd, (0, 0)),
        "link": lambda: os.link(own, f"/tmp/channeld-ring-{os.getpid()}", follow_symlinks=True),
        "list the host's files": lambda: host_files(pid),
        "open the host's file": lambda: [open_and_write(f"/proc/{pid}/fd/{number}", os.O_RDWR) for number in range(3, 64)],
        "open the host's memory": lambda: open_and_write(f"/proc/{pid}/mem", os.O_RDWR),
        "list the host's mappings": lambda: list(Path(f"/proc/{pid}/map_files").iterdir()),
        "write the host's memory": lambda: overwrite_in(pid, mapped),
        "take the host's file": lambda: taken_from(pid),
        "trace the host": lambda: call("ptrace", PTRACE_ATTACH, pid, None, None),
        "kill the host": lambda: os.kill(pid, 9),
    }


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "done"


def main() -> None:
    path, pid = sys.argv[1], int(sys.argv[2])
    sys.path[:0] = sys.argv[3].split(os.pathsep)
    from channeld.bus.protocol import pack_request

    become_another_user()
    fd = attached(path, pack_request())
    json.dump({name: outcome(attempt) for name, attempt in tries(fd, pid).items()}, sys.stdout)


if __name__ == "__main__":
    main()
