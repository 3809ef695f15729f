"""The other processes as a channel sees them; the hubs are what is behind."""

from collections.abc import Sequence
from typing import Any, Protocol

from channeld.channel.settings import ServedTarget


class HostPort(Protocol):
    """The playout host."""

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        """Send a message about `channel`; False when its host is not there. Any thread; never waits."""
        ...


class MediaPort(Protocol):
    """The media workers. Control loop's thread."""

    def serve(self, channel: str, targets: Sequence[ServedTarget]) -> None:
        """Serve these outputs of a channel as soon as it has a ring."""
        ...

    def withdraw(self, channel: str) -> None:
        """Serve the channel no more."""
        ...

    def clean(self, channel: str, *, keep_s: float) -> None:
        """Remove the files of a channel that has HLS no more, after the seconds for which viewers may still want them."""
        ...

    def state(self, channel: str, output: str) -> dict[str, Any]:
        """What is known of an output."""
        ...
