"""A far reader's end of the connection to a proxy: over a Unix or TCP socket, with TLS or without.

Rule: nothing here waits, but for the look-up of a name: who wants to, polls `fileno` for `events`. No more is received than is asked for,
so that one who does not read has it wait in the daemon's ring. Owns the socket. Not thread-safe.
"""

import errno
import os
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass

from channeld.base.unix_socket import address_of
from channeld.client.errors import Untrusted
from channeld.client.line import LineLost
from channeld.far.address import Address, UnixAddress
from channeld.far.sides import ReaderSide
from channeld.far.wire import Request, Told

SILENT_S = 10.0
"""A proxy says something each second; one that says nothing for so long is gone, or whatever was between."""
ADDRESS_S = 3.0
"""One of several addresses that does not answer for so long is given up for the next."""
_RECEIVED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a proxy is, and how it is spoken to. `tls_name`: the name in its certificate."""

    address: Address
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None
    key: bytes | None = None
    is_compressed: bool = False


class FarLine:
    """One connection. Raises LineLost where it cannot be begun, Unusable where a package is missing."""

    def __init__(self, peer: Peer, request: Request) -> None:
        self._peer = peer
        self._side = ReaderSide(request, key=peer.key, is_compressed=peer.is_compressed)
        self._targets = _targets_of(peer.address)
        self._to_send = b""
        self._is_connected = self._is_open = self._is_spoken_to = False
        self._heard_at = self._begun_at = time.monotonic()
        self._socket = self._dial()
        self.events = select.POLLOUT

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Told | None:
        """What is told next, or None where nothing is there. Raises LineLost, Untrusted, WireError, SealBroken."""
        try:
            told = self._side.next()
            while told is None and self._advance():
                told = self._side.next()
        except (ssl.SSLWantReadError, BlockingIOError):
            self.events = select.POLLIN | (select.POLLOUT if self._to_send else 0)
        except ssl.SSLWantWriteError:
            self.events = select.POLLOUT
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise LineLost(self._how_lost()) from error
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason or str(error)
            raise Untrusted(f"{self._peer.address}: TLS: {reason}") from error
        except OSError as error:
            raise LineLost(f"{self._peer.address}: {error.strerror or error}") from error
        else:
            return told
        if time.monotonic() - self._heard_at > SILENT_S:
            raise LineLost(f"{self._peer.address} says nothing")
        return None

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def _advance(self) -> bool:
        """A step further: connected, greeted, or something received. Raises as sockets do where it would have to wait."""
        if not self._is_connected:
            self._connect()
        if not self._is_open:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.do_handshake()
            self._is_open = True
        self._send()
        came = self._socket.recv(_RECEIVED_BYTES)
        if not came:
            raise LineLost(self._how_lost())
        self._heard_at = time.monotonic()
        self._is_spoken_to = True
        self._side.feed(came)
        return True

    def _send(self) -> None:
        self._to_send += self._side.to_send()
        try:
            while self._to_send:
                self._to_send = self._to_send[self._socket.send(self._to_send) :]
        except (BrokenPipeError, ConnectionResetError):
            self._to_send = b""  # refused already: the reason is there to be read

    def _connect(self) -> None:
        """See what became of it; the next address where it failed."""
        while True:
            poller = select.poll()
            poller.register(self._socket, select.POLLOUT)
            if poller.poll(0):
                failed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not failed:
                    break
            elif self._targets and time.monotonic() - self._begun_at > ADDRESS_S:
                failed = errno.ETIMEDOUT
            else:
                raise ssl.SSLWantWriteError
            if not self._targets:
                raise OSError(failed, os.strerror(failed))
            self._socket.close()
            self._socket = self._dial()
        self._is_connected = True
        if self._peer.tls is not None:
            name = self._peer.tls_name
            self._socket = self._peer.tls.wrap_socket(self._socket, server_hostname=name, do_handshake_on_connect=False)

    def _dial(self) -> socket.socket:
        """Begin to connect to the next address; those that fail at once are passed over."""
        while True:
            family, address = self._targets.popleft()
            try:
                return self._begin(family, address)
            except LineLost:
                if not self._targets:
                    raise

    def _begin(self, family: int, address: tuple[str, int]) -> socket.socket:
        self._begun_at = time.monotonic()
        try:
            end = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise LineLost(f"{self._peer.address}: {error.strerror}") from error
        try:
            if isinstance(self._peer.address, UnixAddress):
                with address_of(self._peer.address.path) as name:
                    end.connect(name)
            else:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                end.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                end.close()
                raise LineLost(f"nobody listens at {self._peer.address}: {error.strerror}") from error
        return end

    def _how_lost(self) -> str:
        if self._is_spoken_to:
            return f"{self._peer.address} hung up"
        return f"{self._peer.address} hung up before it said anything: does it want TLS, or none?"


def _targets_of(address: Address) -> "deque[tuple[int, tuple[str, int]]]":
    """Families and addresses to try. Raises LineLost where there are none."""
    if isinstance(address, UnixAddress):
        return deque([(socket.AF_UNIX, ("", 0))])
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LineLost(f"{address}: {error.strerror}") from error
    return deque((family, where) for family, _, _, _, where in found)  # type: ignore[misc]
