"""The outputs of one channel while it is on air: pushes of its own, and what the media worker serves for it.

Rule: each output fails alone. A push's thread belongs to its PushOutput, which is made here and closed by a closer
thread of this module; pushes are opened again only when those before them, with the same FIFOs and names, are gone.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.channel.means import Means
from channeld.channel.pipe_state import PipeState
from channeld.channel.settings import ChannelSettings, PipeTarget, PushedTarget, ServedTarget, Target
from channeld.outputs.hls_store import PackagingType
from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushCondition, PushState
from channeld.outputs.push_plan import RTMP_WRAP_S
from channeld.readback.judge import Verdict
from channeld.readback.subject import Reading
from channeld.store.records import HlsPosition

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PushFigures:
    """A push for metrics: its FFmpeg's pid, how often it connected again by itself, seconds until its RTMP clock wraps (SRT has none)."""

    output: str
    pid: int | None
    reconnects: int
    headroom_s: float | None


class OutputSet:
    """Opens and closes a channel's outputs, and describes them. Control loop's thread."""

    def __init__(self, settings: ChannelSettings, means: Means, *, on_change: Callable[[PushState], None]) -> None:
        self._channel, self._targets = settings.id, settings.targets
        self._means = means
        self._on_change = on_change
        self._pushes: dict[str, PushOutput] = {}
        self._closing: dict[str, str] = {}  # URL of each push that is ending, by name
        self._is_open = False
        self._adopts = False
        self.readings: dict[str, Reading] = {}
        """What viewers find, by output; kept by `watching`."""

    def feed(self) -> None:
        """Another host airs the channel: have it go on with every push, and with every reader of a named pipe."""
        self._means.pipes.feed(self._channel)
        for push in self._pushes.values():
            push.refeed()

    def recycle(self) -> None:
        """A clip's boundary: pushes whose FFmpeg has grown old go over to its successor."""
        for push in self._pushes.values():
            if push.wants_recycle:
                push.recycle()

    def leave(self) -> None:
        """End our threads; what the pushes started goes on, for another control to adopt."""
        for push in self._pushes.values():
            push.leave()

    def adopt(self) -> None:
        """Go on with every enabled output, as an earlier control left it; start what is missing."""
        self._adopts = True
        self.open()
        self._adopts = False
        self.feed()

    def open(self) -> None:
        """Start every enabled output; a push as soon as the one before it is closed."""
        if served := _served(self._targets):
            self._means.media.serve(self._channel, served)
        self._is_open = True
        self._means.pipes.open(self._channel, adopts=self._adopts)
        self._open_pushes()

    def change(self, targets: tuple[Target, ...]) -> None:
        """Have other targets: outputs that stay as they are notice nothing."""
        before, self._targets = self._targets, targets
        if self._is_open and (served := _served(targets)) != _served(before):
            if served:
                self._means.media.serve(self._channel, served)
            else:
                self._means.media.withdraw(self._channel)
        for gone in packaged_of(before).keys() - packaged_of(targets).keys():  # when nobody makes them any more
            self._means.media.clean(self._channel, gone, keep_s=window_s(before, gone))
        if not self._is_open:
            return
        wanted = _pushed(targets)
        self._close([name for name in self._pushes if wanted.get(name) != _pushed(before).get(name)], _pushed(before))
        self._open_pushes()

    def _open_pushes(self) -> None:
        if not self._is_open:
            return
        for target in _pushed(self._targets).values():
            # Neither FIFO nor stream name may have two owners.
            if target.name not in self._pushes and target.name not in self._closing and target.url not in self._closing.values():
                self._open_push(target)

    def _open_push(self, target: PushedTarget) -> None:
        push = PushOutput(
            target.name,
            self._channel,
            target.url,
            holder=self._means.holder,
            runtime_dir=self._means.runtime_dir,
            on_writer=lambda fd, continues: self._hand_writer(target.name, fd, continues),
            on_state=self._on_change,
            adopt=self._adopts,
            timing=self._means.push_timing,
            ffmpeg=self._means.ffmpeg,
            control=target.control,
            tls_verify=target.tls_verify,
            ca_file=target.ca_file,
            srt=target.srt,
        )
        self._pushes[target.name] = push
        push.start()

    def _hand_writer(self, output: str, fd: int | None, continues: bool) -> None:
        """Give the FIFO's write end to the host's feeder, or have it dropped. Push's thread."""
        if fd is None:
            self._means.host.send("unfeed", channel=self._channel, output=output)
            return
        try:
            self._means.host.send("feed", (fd,), channel=self._channel, output=output, continues=continues)
        finally:
            os.close(fd)

    def close_soon(self) -> None:
        """End every output; the pushes by a thread, as their children may take seconds to end."""
        self._is_open = False
        self._means.pipes.close_channel(self._channel)
        self._means.media.withdraw(self._channel)
        self._close(list(self._pushes), _pushed(self._targets))

    def _close(self, names: list[str], targets: dict[str, PushedTarget]) -> None:
        pushes = [self._pushes.pop(name) for name in names]
        if pushes:
            self._closing |= {name: targets[name].url for name in names}
            threading.Thread(target=self._end, args=(names, pushes), name=f"closer:{self._channel}").start()

    def _end(self, names: list[str], pushes: list[PushOutput]) -> None:
        """Closer's thread."""
        for push in pushes:
            push.stopping.set()
            push.wake()
        for push in pushes:
            try:
                push.close()
            except RuntimeError as error:  # its thread hangs in the kernel: the other outputs are closed all the same
                log.error("push_not_closed", channel=self._channel, error=str(error))
        self._means.loop.post(lambda: self._closed(names))

    def _closed(self, names: list[str]) -> None:
        for name in names:
            del self._closing[name]
        self._open_pushes()

    @property
    def is_closed(self) -> bool:
        """No push runs, not even one that is ending."""
        return not self._closing and not self._pushes

    def figures(self) -> list[PushFigures]:
        """Of each push that runs."""
        wrapping = {target.name for target in self._targets if target.type == "rtmp"}
        return [
            PushFigures(name, push.state.pid, push.reconnects, RTMP_WRAP_S - push.sent_s if name in wrapping else None)
            for name, push in self._pushes.items()
        ]

    def restart(self, output: str) -> None:
        """End a push's FFmpeg and start another; nothing where there is no such push."""
        if output in self._pushes:
            self._pushes[output].restart()

    def rest(self, output: str, rest_s: float) -> None:
        """Have a push make no attempt for so long; nothing where there is no such push."""
        if output in self._pushes:
            self._pushes[output].rest(rest_s)

    def is_up(self, output: str) -> bool:
        """A push says that it delivers."""
        return output in self._pushes and self._pushes[output].state.condition is PushCondition.UP

    def pushes(self) -> list[PushState]:
        """Every push that runs, as it is now, and every named pipe, as if it were one."""
        pipes = (self._means.pipes.state(self._channel, target.name) for target in self._targets if isinstance(target, PipeTarget))
        return [push.state for push in self._pushes.values()] + [state.as_push() for state in pipes if state is not None]

    def verdict(self, output: str) -> Verdict | None:
        """What viewers find at an output; None when nobody has looked, or it may yet begin."""
        return self.readings[output].verdict if output in self.readings else None

    def conditions(self) -> dict[str, str]:
        """The condition of each output that was judged."""
        return {name: reading.verdict.condition.value for name, reading in self.readings.items() if reading.verdict is not None}

    @property
    def can_be_watched(self) -> bool:
        """Viewers of one output at least see the channel go on: one judged so, a push that is up and unseen, or none judged."""
        verdicts = [reading.verdict for reading in self.readings.values() if reading.verdict is not None]
        unseen = any(self.is_up(target.name) and target.name not in self.readings for target in self._targets)
        return unseen or not verdicts or any(verdict.condition.can_be_watched for verdict in verdicts)

    def describe(self) -> list[dict[str, Any]]:
        """CONTRACT's `outputs`, each with its `verdict` (null where nobody looks)."""
        return [{**self._describe(target), "verdict": _described(self.readings.get(target.name))} for target in self._targets]

    def streams(self) -> list[str]:
        """Names of the outputs that serve an endless stream."""
        return [target.name for target in self._targets if isinstance(target, ServedTarget) and target.type == "ts" and target.enabled]

    def _describe(self, target: Target) -> dict[str, Any]:
        if isinstance(target, PushedTarget):
            push = self._pushes.get(target.name)
            base = {"name": target.name, "type": target.type, "url": target.shown_url}
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
                "next_try_at": None if state.next_try_s is None else iso_utc(state.next_try_s),
            }
        if isinstance(target, PipeTarget):
            return _describe_pipes(target, self._means.pipes.state(self._channel, target.name))
        base = {"name": target.name, "type": target.type, "url": target.url}
        return {**base, **(self._means.media.state(self._channel, target.name) if target.enabled else _idle(enabled=False))}


def _described(reading: Reading | None) -> dict[str, Any] | None:
    if reading is None or reading.verdict is None:
        return None
    verdict = reading.verdict
    return {
        "condition": verdict.condition.value,
        "reason": verdict.reason,
        "since": iso_utc(verdict.since_s),
        "seen_at": iso_utc(reading.seen_s),
        "manifest_age_s": None if reading.age_s is None else round(reading.age_s, 1),
        "media_sequence": reading.media_sequence,
        "end_pts": reading.end_pts,
        "end_at": None if reading.end_wall_s is None else iso_utc(reading.end_wall_s),
    }


def _describe_pipes(target: PipeTarget, state: PipeState | None) -> dict[str, Any]:
    known = _idle(target.enabled) if state is None or not target.enabled else state.described()
    paths = [str(path) for path in target.paths]
    return {"name": target.name, "type": target.type, "url": None, "paths": paths, "readers": 0, "jumps": 0, "stalls": 0, **known}


def _idle(enabled: bool) -> dict[str, Any]:
    return {"state": "stopped" if enabled else "disabled", "since": None, "restarts": 0, "last_error": None}


def _served(targets: Sequence[Target]) -> list[ServedTarget]:
    return [target for target in targets if isinstance(target, ServedTarget) and target.enabled]


def _pushed(targets: Sequence[Target]) -> dict[str, PushedTarget]:
    return {target.name: target for target in targets if isinstance(target, PushedTarget) and target.enabled}


def packaged_of(targets: Sequence[Target]) -> dict[PackagingType, ServedTarget]:
    """The outputs that are files, by their type: one of each at most."""
    return {target.type: target for target in _served(targets) if target.type != "ts"}


def window_s(targets: Sequence[Target], packaging: PackagingType) -> float:
    """How long viewers may ask for what was just listed: a segment stays for its duration and one window."""
    target = packaged_of(targets).get(packaging)
    return 0.0 if target is None else target.segment_s * (target.window + 1)


def order_of(target: ServedTarget, known: HlsPosition | None) -> dict[str, Any]:
    """What a media worker is told of an output; see api.media_messages. `known`: where its numbers stood when they were heard of last."""
    order = {"name": target.name, "type": target.type}
    if target.type == "ts":
        return order
    after = None if known is None else asdict(known)
    return {**order, "segment_seconds": target.segment_s, "window": target.window, "after": after}
