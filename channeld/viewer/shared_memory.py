"""The way through shared memory: the attach socket, by the client library.

Rule: no byte is missed while the reader is quick enough, over every host and restart of the daemon that takes less than 15 s.
"""

from pathlib import Path

from channeld.client import AttachError, Closed, NotPermitted, OffAir, Overrun, Start, Stream, TimedOut, UnknownChannel
from channeld.telemetry import log
from channeld.viewer.way import WayLost, Why

_log = log.get("play.transport")


class SharedMemory:
    """Owns one attached stream."""

    def __init__(self, channel: str, runtime_dir: Path) -> None:
        self._stream = Stream(channel, runtime_dir, Start.RANDOM_ACCESS, reconnect=False, timeout=None)
        self._generation = 0

    def receive(self, wait_s: float) -> bytes | None:
        """As `Way`."""
        self._stream.timeout = wait_s
        try:
            chunk = next(self._stream)
        except TimedOut:
            return None
        except Overrun:
            raise
        except AttachError as error:
            raise WayLost(str(error), _why(error)) from error
        status = self._stream.status()
        if status.generation != self._generation:
            _log.debug("ring_followed", generation=status.generation, before=self._generation or None, ring_bytes=status.buffer_bytes)
            self._generation = status.generation
        return chunk

    def facts(self) -> dict[str, object]:
        """As `Way`."""
        try:
            status = self._stream.status()
        except Closed:
            return {}
        return {"lag_bytes": status.lag_bytes, "lag_s": round(status.lag_s, 3), "lost_bytes": status.lost_bytes}

    def close(self) -> None:
        """As `Way`."""
        self._stream.close()


def _why(error: AttachError) -> Why:
    kinds = ((UnknownChannel, Why.UNKNOWN), (OffAir, Why.OFF_AIR), (Closed, Why.ABSENT), (NotPermitted, Why.FORBIDDEN))
    return next((why for kind, why in kinds if isinstance(error, kind)), Why.FAILED)
