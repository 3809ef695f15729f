"""The other processes as a channel sees them; the hubs are what is behind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from channeld.channel.pipe_state import PipeState
from channeld.channel.settings import ServedTarget
from channeld.outputs.hls_store import PackagingType
from channeld.store.records import Position


class HostPort(Protocol):
    """The playout host."""

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send a message about `channel`; False when its host is not there. Any thread; never waits."""
        ...

    def is_ready(self, channel: str) -> bool:
        """Whether the host of `channel` is there, and has told what it airs already."""
        ...


class SourcePort(Protocol):
    """The processes that take live sources in. Control loop's thread."""

    def want(self, channel: str, orders: Sequence[dict[str, Any]], *, yields: bool = False) -> None:
        """Have just these sources of a channel taken in; each order is the message of a SourceSpec.

        `yields`: where there is room for no more, they give way to those that do not.
        """
        ...

    def folder_of(self, channel: str, source: str) -> Path:
        """Where the newest of a source is kept."""
        ...


class NoSources:
    """Where nobody takes sources in."""

    def want(self, channel: str, orders: Sequence[dict[str, Any]], *, yields: bool = False) -> None:
        """Nothing can be had."""

    def folder_of(self, channel: str, source: str) -> Path:
        """Nothing is kept there."""
        return Path("/nonexistent")


class PipePort(Protocol):
    """The named pipes. Any thread; never waits."""

    def open(self, channel: str, *, adopts: bool) -> None:
        """A channel is on air; with `adopts` it goes on in the ring that its readers know."""
        ...

    def close_channel(self, channel: str) -> None:
        """A channel is off the air."""
        ...

    def feed(self, channel: str) -> None:
        """Another host airs a channel."""
        ...

    def state(self, channel: str, output: str) -> PipeState | None:
        """What is known of an output."""
        ...


class NoPipes:
    """Where nobody makes any."""

    def open(self, channel: str, *, adopts: bool) -> None:
        """Nobody reads."""

    def close_channel(self, channel: str) -> None:
        """Nobody did."""

    def feed(self, channel: str) -> None:
        """Nobody does."""

    def state(self, channel: str, output: str) -> PipeState | None:
        """Nothing is known."""
        return None


class PositionPort(Protocol):
    """Where channels write down where they are. Saving never waits."""

    def save_position(self, channel: str, position: Position) -> None:
        """In place of what was saved before."""
        ...

    def load_position(self, channel: str) -> Position | None:
        """What was saved last, also by an earlier control."""
        ...

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until all that was saved is on disk. Raises StoreError. Any thread but the control loop's."""
        ...

    @property
    def is_full(self) -> bool:
        """Nothing can be saved, for want of room."""
        ...


class MediaPort(Protocol):
    """The media workers. Control loop's thread."""

    def serve(self, channel: str, targets: Sequence[ServedTarget]) -> None:
        """Serve these outputs of a channel as soon as it has a ring."""
        ...

    def withdraw(self, channel: str) -> None:
        """Serve the channel no more."""
        ...

    def clean(self, channel: str, packaging: PackagingType, *, keep_s: float) -> None:
        """Remove the files of a channel that is packaged so no more, after the seconds for which viewers may still want them."""
        ...

    def state(self, channel: str, output: str) -> dict[str, Any]:
        """What is known of an output."""
        ...
