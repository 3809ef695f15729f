"""AES-256-GCM over frames: what both sides make of a key that they share.

Rule: each connection and each direction has a key of its own, made of the shared one and of both hellos; a frame's number is its nonce, and
its header is authenticated with it. So what was changed, left out, sent twice, in another order or on another connection does not open.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

KEY_BYTES = 32
_MAX_FILE_BYTES = 128
_TO_PROXY = b"channeld attach-proxy 1: to the proxy"
_TO_READER = b"channeld attach-proxy 1: to the reader"


class SealBroken(Exception):
    """What came was not sealed with this key, or not as it is."""


class Unusable(Exception):
    """A key that cannot be used, or a package that is not installed."""


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Seal:
    """One direction of one connection: it seals, or it opens."""

    def __init__(self, cipher: _Cipher) -> None:
        self._cipher = cipher
        self._number = 0

    def close(self, header: bytes, payload: bytes) -> bytes:
        """The payload, encrypted, and its tag."""
        return self._cipher.encrypt(self._nonce(), payload, header)

    def open(self, header: bytes, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(self._nonce(), sealed, header)
        except InvalidTag as error:
            raise SealBroken("it was sealed with another key, or changed on the way") from error

    def _nonce(self) -> bytes:
        self._number += 1
        return self._number.to_bytes(12, "big")


def seals_of(key: bytes, hello_of_reader: bytes, hello_of_proxy: bytes) -> tuple[Seal, Seal]:
    """To the proxy, and to the reader. Raises Unusable without the package."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise Unusable("encryption needs the package cryptography: pip install 'channeld[proxy]'") from error
    salt = hello_of_reader + hello_of_proxy
    to_proxy, to_reader = (
        Seal(AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key))) for info in (_TO_PROXY, _TO_READER)
    )
    return to_proxy, to_reader


def read_key(path: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """32 bytes, or 64 hexadecimal digits, of a file that nobody else may read. Raises Unusable."""
    try:
        # O_NONBLOCK: opening a FIFO under this name would wait for its writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise Unusable(f"{path} is not a file")
            # systemd's credentials are readable for their unit alone, by an access list that shows as the group's bits.
            if facts.st_mode & 0o077 and str(path.absolute().parent) != environ.get("CREDENTIALS_DIRECTORY"):
                raise Unusable(f"{path} may be read by others: chmod 600 {path}")
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    if len(raw) == KEY_BYTES:
        return raw
    try:
        key = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Unusable(f"{path} holds no key: 32 random bytes, or 64 hexadecimal digits, as openssl rand -hex 32 writes them")
    return key
