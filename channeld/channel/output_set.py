"""The outputs of one channel while it is on air: pushes of its own, and what the media worker serves for it.

Rule: each output fails alone. A push's thread belongs to its PushOutput, which is made and closed here.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from channeld.base.clock import iso_utc
from channeld.channel.settings import RtmpTarget, ServedTarget, Target
from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushState
from channeld.process.holder import Holding

log = structlog.get_logger()


class HostPort(Protocol):
    """The playout host as a channel sees it."""

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool: ...


class MediaPort(Protocol):
    """The media workers as a channel sees them."""

    def serve(self, channel: str, targets: Sequence[ServedTarget]) -> None: ...
    def withdraw(self, channel: str) -> None: ...
    def state(self, channel: str, output: str) -> dict[str, Any]: ...


class OutputSet:
    """Opens and closes a channel's outputs, and describes them."""

    def __init__(
        self,
        channel: str,
        targets: Sequence[Target],
        *,
        host: HostPort,
        media: MediaPort,
        holder: Holding,
        runtime_dir: Path,
        ffmpeg: str,
        on_change: Callable[[PushState], None],
    ) -> None:
        self._channel = channel
        self._targets = targets
        self._host = host
        self._media = media
        self._holder = holder
        self._runtime_dir = runtime_dir
        self._ffmpeg = ffmpeg
        self._on_change = on_change
        self._pushes: dict[str, PushOutput] = {}

    def open(self) -> None:
        """Start every enabled output."""
        for target in self._targets:
            if isinstance(target, RtmpTarget) and target.enabled:
                self._open_push(target)
        served = [target for target in self._targets if isinstance(target, ServedTarget) and target.enabled]
        if served:
            self._media.serve(self._channel, served)

    def _open_push(self, target: RtmpTarget) -> None:
        push = PushOutput(
            target.name,
            self._channel,
            target.url,
            holder=self._holder,
            runtime_dir=self._runtime_dir,
            on_writer=lambda fd: self._hand_writer(target.name, fd),
            on_state=self._on_change,
            ffmpeg=self._ffmpeg,
        )
        self._pushes[target.name] = push
        push.start()

    def _hand_writer(self, output: str, fd: int | None) -> None:
        """Give the FIFO's write end to the host's feeder, or have it dropped. Push's thread."""
        if fd is None:
            self._host.send("unfeed", channel=self._channel, output=output)
            return
        try:
            self._host.send("feed", (fd,), channel=self._channel, output=output)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End every output; blocks until the pushes' children are gone. Not on the control loop's thread."""
        self._media.withdraw(self._channel)
        pushes, self._pushes = list(self._pushes.values()), {}
        for push in pushes:
            push.stopping.set()
            push.wake()
        for push in pushes:
            push.close()

    def describe(self) -> list[dict[str, Any]]:
        """CONTRACT's `outputs`."""
        return [self._describe(target) for target in self._targets]

    def _describe(self, target: Target) -> dict[str, Any]:
        if isinstance(target, RtmpTarget):
            push = self._pushes.get(target.name)
            base = {"name": target.name, "type": "rtmp", "url": target.shown_url}
            if push is None:
                return {**base, **_idle(target.enabled)}
            state = push.state
            return {
                **base,
                "state": state.condition.value,
                "since": iso_utc(state.since_s),
                "restarts": state.restarts,
                "last_error": state.last_error,
                "pid": state.pid,
                "reason": state.reason,
            }
        base = {"name": target.name, "type": target.type, "url": target.url}
        return {**base, **(self._media.state(self._channel, target.name) if target.enabled else _idle(enabled=False))}


def _idle(enabled: bool) -> dict[str, Any]:
    return {"state": "stopped" if enabled else "disabled", "since": None, "restarts": 0, "last_error": None}
