"""The outputs of one channel while it is on air: pushes of its own, and what the media worker serves for it.

Rule: each output fails alone. A push's thread belongs to its PushOutput, which is made here and closed by a closer
thread of this module; pushes are opened again only when those before them, with the same FIFOs and names, are gone.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.channel.means import Means
from channeld.channel.settings import ChannelSettings, RtmpTarget, ServedTarget, Target
from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushState

log = structlog.get_logger()


class OutputSet:
    """Opens and closes a channel's outputs, and describes them. Control loop's thread."""

    def __init__(self, settings: ChannelSettings, means: Means, *, on_change: Callable[[PushState], None]) -> None:
        self._channel, self._targets = settings.id, settings.targets
        self._means = means
        self._on_change = on_change
        self._pushes: dict[str, PushOutput] = {}
        self._closer: threading.Thread | None = None
        self._is_open_wanted = False

    def open(self) -> None:
        """Start every enabled output; pushes as soon as those before them are closed."""
        served = [target for target in self._targets if isinstance(target, ServedTarget) and target.enabled]
        if served:
            self._means.media.serve(self._channel, served)
        self._is_open_wanted = True
        self._open_pushes()

    def _open_pushes(self) -> None:
        if self._closer is not None or not self._is_open_wanted:
            return
        self._is_open_wanted = False
        for target in self._targets:
            if isinstance(target, RtmpTarget) and target.enabled:
                self._open_push(target)

    def _open_push(self, target: RtmpTarget) -> None:
        push = PushOutput(
            target.name,
            self._channel,
            target.url,
            holder=self._means.holder,
            runtime_dir=self._means.runtime_dir,
            on_writer=lambda fd: self._hand_writer(target.name, fd),
            on_state=self._on_change,
            ffmpeg=self._means.ffmpeg,
        )
        self._pushes[target.name] = push
        push.start()

    def _hand_writer(self, output: str, fd: int | None) -> None:
        """Give the FIFO's write end to the host's feeder, or have it dropped. Push's thread."""
        if fd is None:
            self._means.host.send("unfeed", channel=self._channel, output=output)
            return
        try:
            self._means.host.send("feed", (fd,), channel=self._channel, output=output)
        finally:
            os.close(fd)

    def close_soon(self) -> None:
        """End every output; the pushes by a thread, as their children may take seconds to end."""
        self._is_open_wanted = False
        self._means.media.withdraw(self._channel)
        pushes, self._pushes = list(self._pushes.values()), {}
        if pushes:
            self._closer = threading.Thread(target=self._close, args=(pushes,), name=f"closer:{self._channel}")
            self._closer.start()

    def _close(self, pushes: list[PushOutput]) -> None:
        """Closer's thread."""
        for push in pushes:
            push.stopping.set()
            push.wake()
        for push in pushes:
            try:
                push.close()
            except RuntimeError as error:  # its thread hangs in the kernel: the other outputs are closed all the same
                log.error("push_not_closed", channel=self._channel, error=str(error))
        self._means.loop.post(self._closed)

    def _closed(self) -> None:
        self._closer = None
        self._open_pushes()

    @property
    def is_closed(self) -> bool:
        """No push runs, not even one that is ending."""
        return self._closer is None and not self._pushes

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
        return {**base, **(self._means.media.state(self._channel, target.name) if target.enabled else _idle(enabled=False))}


def _idle(enabled: bool) -> dict[str, Any]:
    return {"state": "stopped" if enabled else "disabled", "since": None, "restarts": 0, "last_error": None}
