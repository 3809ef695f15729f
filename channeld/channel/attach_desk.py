"""Where local readers come to: a socket for each channel, `<runtime_dir>/bus/<channel>.sock`.

Rule: it reads one short request of each who connects, checks who that is, and hands the connection to the channel's host, which does
everything else; whoever says nothing, or anything else, is told so and hung up on. Sockets of a channel are here while it is configured.
One thread; it owns the sockets, the connections that it has not handed over, and the files.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from channeld.base.errors import ChannelError
from channeld.base.unix_socket import address_of, peer_of
from channeld.base.worker import Worker
from channeld.bus.protocol import FOLDER, REQUEST_BYTES, SOCKET_SUFFIX, Refusal, judge_request, pack_refusal

REQUEST_S = 2.0
"""How long who connects may take to say what it wants."""
MAX_WAITING = 64
"""Connections that said nothing yet; one more has the oldest hung up on."""
LOOK_S = 0.5
BACKLOG = 64
_SO_PEERGROUPS = 59
_MAX_GROUPS_BYTES = 1024
"""256 groups: Python reads no longer option. Of a process with more only the primary one counts."""

log = structlog.get_logger()

Told = Callable[[str, str | None], None]
"""A channel's socket cannot be had, for this reason; None: it can again, or is wanted no more."""
HandOver = Callable[[str, socket.socket], bool]
"""Give a channel's host a reader; it is duplicated. False when the host is not there."""


@dataclass(frozen=True, slots=True)
class AttachRules:
    """Where the sockets are, and who may read besides root and our own user: members of a group."""

    runtime_dir: Path
    gid: int | None = None


@dataclass(slots=True)
class _Caller:
    channel: str
    end: socket.socket
    until: float


class AttachDesk(Worker):
    """`channels`: names of all there are; called from this thread, as `told` is."""

    def __init__(
        self, rules: AttachRules, channels: Callable[[], Iterable[str]], hand_over: HandOver, told: Told = lambda channel, error: None
    ) -> None:
        super().__init__("attach")
        self._told = told
        self._rules = rules
        self._folder = rules.runtime_dir / FOLDER
        self._channels, self._hand_over = channels, hand_over
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = select.epoll()
        self._poller.register(self._wake_fd, select.EPOLLIN)
        self._listeners: dict[int, tuple[str, socket.socket]] = {}
        self._failed: set[str] = set()
        self._looks_at = 0.0
        self._callers: dict[int, _Caller] = {}

    def start(self) -> None:
        """Make the folder ours, remove what a killed daemon left there, and listen. Raises ChannelError when it cannot be."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            _give_to(self._folder, self._rules.gid, 0o750 if self._rules.gid is not None else 0o700)
            if self._rules.gid is not None:
                # Who may read must be able to walk through; what is in it has modes of its own.
                runtime = self._rules.runtime_dir
                runtime.chmod(runtime.stat().st_mode & 0o7777 | 0o011)
            for stale in self._folder.glob(f"*{SOCKET_SUFFIX}"):
                stale.unlink()
        except OSError as error:
            # EINVAL: a group that our user namespace does not know (PrivateUsers= of the unit).
            hint = "The daemon's user must own it, and be a member of attach.group; under the systemd unit that must be its own group"
            raise ChannelError(f"local readers: {error.filename or self._folder}: {error.strerror}. {hint}") from error
        super().start()

    def wake(self) -> None:
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def run(self) -> None:
        while not self.stopping.is_set():
            self._follow_channels()
            for fd, _ in self._poller.poll(LOOK_S):
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
                elif fd in self._listeners:
                    self._accept(*self._listeners[fd])
                elif fd in self._callers:
                    self._hear(self._callers[fd])
            now = time.monotonic()
            for caller in [caller for caller in self._callers.values() if caller.until <= now]:
                self._refuse(caller, Refusal.TOO_SLOW, f"nothing was asked in {REQUEST_S:g} s")
        for channel, _ in list(self._listeners.values()):
            self._leave(channel)
        for channel in self._failed:
            self._told(channel, None)
        for caller in list(self._callers.values()):
            self._forget(caller).close()

    def close(self, timeout_s: float = 10.0) -> None:
        """Hang up on who was not handed over yet, and remove the sockets. Idempotent."""
        super().close(timeout_s)
        self._poller.close()
        wake_fd, self._wake_fd = self._wake_fd, -1
        if wake_fd >= 0:
            os.close(wake_fd)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _follow_channels(self) -> None:
        wanted, there = set(self._channels()), {channel for channel, _ in self._listeners.values()}
        for channel in there - wanted | self._missing(there & wanted):
            self._leave(channel)
            there.discard(channel)
        for channel in self._failed - wanted:
            self._mend(channel)
        for channel in sorted(wanted - there):
            self._open(channel)

    def _missing(self, channels: set[str]) -> set[str]:
        """Those whose socket somebody removed, such as who cleans /tmp; looked for every LOOK_S."""
        now = time.monotonic()
        if now < self._looks_at:
            return set()
        self._looks_at = now + LOOK_S
        return {channel for channel in channels if not os.path.lexists(self._path(channel))}

    def _path(self, channel: str) -> Path:
        return self._folder / f"{channel}{SOCKET_SUFFIX}"

    def _open(self, channel: str) -> None:
        path, listener = self._path(channel), None
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            with address_of(path) as address:
                listener.bind(address)
            # Nobody else can come in before: the folder lets in whom the socket is for, and nobody is listened to yet.
            _give_to(path, self._rules.gid, 0o660 if self._rules.gid is not None else 0o600)
            listener.listen(BACKLOG)
        except OSError as error:
            if listener is not None:
                listener.close()
            if channel not in self._failed:
                self._told(channel, f"no local reader can attach to {channel}: {path}: {error.strerror}. It is tried again")
            self._failed.add(channel)
            return
        self._mend(channel)
        self._listeners[listener.fileno()] = (channel, listener)
        self._poller.register(listener, select.EPOLLIN)

    def _mend(self, channel: str) -> None:
        if channel in self._failed:
            self._failed.discard(channel)
            self._told(channel, None)

    def _leave(self, channel: str) -> None:
        for fd, (name, listener) in list(self._listeners.items()):
            if name == channel:
                self._poller.unregister(fd)
                del self._listeners[fd]
                listener.close()
                try:
                    self._path(channel).unlink(missing_ok=True)
                except OSError as error:  # its folder may have become read-only
                    log.warning("attach_socket_stays", channel=channel, error=error.strerror)

    def _accept(self, channel: str, listener: socket.socket) -> None:
        try:
            end, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("attach_not_accepted", channel=channel, error=error.strerror)
            self.stopping.wait(0.1)  # out of descriptors: whoever waits is still there when some are free
            return
        end.setblocking(False)
        if not is_permitted(end, self._rules.gid):
            _say(end, Refusal.NOT_PERMITTED, "be root, the daemon's user, or of the group that attach.group names")
            end.close()
            return
        if len(self._callers) >= MAX_WAITING:
            oldest = min(self._callers.values(), key=lambda caller: caller.until)
            self._refuse(oldest, Refusal.TOO_SLOW, "others asked meanwhile")
        self._callers[end.fileno()] = _Caller(channel, end, time.monotonic() + REQUEST_S)
        self._poller.register(end, select.EPOLLIN)

    def _hear(self, caller: _Caller) -> None:
        try:
            # One byte more than a request has, so that a longer one is seen; descriptors that come with it the kernel drops.
            request = caller.end.recv(REQUEST_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            request = b""
        if not request:
            self._forget(caller).close()
            return
        refusal = judge_request(request)
        if refusal is not None:
            self._refuse(caller, *refusal)
        elif self._hand_over(caller.channel, caller.end):
            self._forget(caller).close()
        else:
            self._refuse(caller, Refusal.NOT_ON_AIR, f"{caller.channel} is not on air")

    def _refuse(self, caller: _Caller, refusal: Refusal, text: str) -> None:
        end = self._forget(caller)
        _say(end, refusal, text)
        end.close()

    def _forget(self, caller: _Caller) -> socket.socket:
        self._poller.unregister(caller.end)
        del self._callers[caller.end.fileno()]
        return caller.end


def is_permitted(end: socket.socket, gid: int | None) -> bool:
    """Whether the process at the other end may read: it is root's or ours, or of the group."""
    peer = peer_of(end)
    if peer.uid in (0, os.geteuid()):
        return True
    if gid is None:
        return False
    try:
        groups = end.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        groups = b""  # more than that, or before Linux 4.13
    return gid == peer.gid or gid in struct.unpack(f"{len(groups) // 4}I", groups)


def _say(end: socket.socket, refusal: Refusal, text: str) -> None:
    with contextlib.suppress(OSError):  # gone, or not reading: it is hung up on anyway
        end.send(pack_refusal(refusal, text), socket.MSG_DONTWAIT)


def _give_to(path: Path, gid: int | None, mode: int) -> None:
    if gid is not None:
        os.chown(path, -1, gid)
    path.chmod(mode)
