"""One zstd stream for each connection: each piece is flushed, and leans on those before it.

Rule: how long a piece becomes is announced before it, and unpacking ends where it becomes longer; a window of 1 MiB bounds what both sides
remember.
"""

from typing import Any

from channeld.far.seal import Unusable
from channeld.far.wire import MAX_PIECE_BYTES, WireError

LEVEL = 3
WINDOW_LOG = 20
_LENGTH_BYTES = 4
_BITE_BYTES = 256
"""What zstd is given at a time. It has no bound of its own on what comes out; of a block, 4 bytes at least, come 128 KiB at most
(RFC 8878, 3.1.1.2): no more than 8.5 MB before it is seen."""


class Squeezer:
    """The proxy's. Raises Unusable without the package."""

    def __init__(self) -> None:
        zstandard = _package()
        self._flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW_LOG)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def squeeze(self, piece: bytes) -> bytes:
        """Length and compressed bytes of MAX_PIECE_BYTES at most."""
        squeezed: bytes = self._stream.compress(piece) + self._stream.flush(self._flush)
        return len(piece).to_bytes(_LENGTH_BYTES, "little") + squeezed


class Unsqueezer:
    """The reader's. Raises Unusable without the package."""

    def __init__(self) -> None:
        zstandard = _package()
        self._error = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).decompressobj()

    def unsqueeze(self, payload: bytes) -> bytes:
        """Raises WireError where it is not what it says; nothing may be unpacked after that."""
        length = int.from_bytes(payload[:_LENGTH_BYTES], "little")
        if not 1 <= length <= MAX_PIECE_BYTES:
            raise WireError(f"a piece of {length} bytes is announced")
        parts, left = [], length
        for at in range(_LENGTH_BYTES, len(payload), _BITE_BYTES):
            try:
                parts.append(self._stream.decompress(payload[at : at + _BITE_BYTES]))
            except self._error as error:
                raise WireError(f"what came cannot be unpacked: {error}") from error
            left -= len(parts[-1])
            if left < 0:
                raise WireError("more is unpacked than was announced")
        if left:
            raise WireError(f"{length} bytes were announced, and {left} of them are not there")
        return b"".join(parts)


def _package() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise Unusable("compression needs the package zstandard: pip install 'channeld[proxy]'") from error
    return zstandard
