"""Fork a process that is a child of our parent's: clone(2) with CLONE_PARENT, for which Python has no name.

Rule: only in a process with one thread and nothing half-done, as with any fork. The child is Python's own child in all but its parent:
Python's hooks around a fork run as they do in os.fork.
"""

import ctypes
import os
import platform
import signal

_SYS_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT = 0x8000
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
# Through PyDLL the interpreter's lock stays ours over the call: the child must find it as it was.
_libc = ctypes.PyDLL(None, use_errno=True)


def is_possible() -> bool:
    """Whether this kind of machine is known here."""
    return platform.machine() in _SYS_CLONE


def fork_sibling() -> int:
    """As os.fork; the child's parent is ours. Raises OSError, also where this kind of machine is not known."""
    number = _SYS_CLONE.get(platform.machine())
    if number is None:
        raise OSError(f"the number of clone(2) on {platform.machine()} is not known here")
    # Before the fork, so that the child has nothing to decide: no stack of its own, no thread ids, no thread-local storage.
    arguments = [ctypes.c_long(each) for each in (number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)]
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_libc.syscall(*arguments))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def die_with_parent() -> None:
    """Be killed when the thread that is our parent ends (prctl(2)). Raises OSError."""
    if _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def name_self(name: str) -> None:
    """What `ps -o comm` shows of us: the first 15 bytes."""
    _libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)
