"""Alerts: looks at what is wrong, has the book decide, and has letters sent.

Rule: looking and sending are threads of their own, so that neither the daemon nor the next look waits for a service that is slow; a look
that fails changes nothing. What fires is kept in a file, so that another process resolves it and does not tell it twice.

| what                   | made by | ended by |
|------------------------|---------|----------|
| thread `alerts`        | start   | close    |
| thread `alerts:sender` | `alerts` | `alerts` |
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog

from channeld.base.clock import Clock, SystemClock, iso_utc
from channeld.base.worker import Worker
from channeld.notices.alert_book import AlertBook, Fact, Notice, Phase, Standing
from channeld.notices.alert_file import AlertFile
from channeld.notices.apprise_target import send
from channeld.notices.letters import Letter, Letterbox
from channeld.notices.settings import AlertSettings, AlertTarget, Trouble

LOOK_S = 2.0
SETTLE_S = 10.0
"""After a start: what another process left on air is being taken up, and nothing is judged before."""
FAREWELL_S = 5.0
_IDLE_S = 60.0

Send = Callable[[str, Letter], str | None]
Look = Callable[[frozenset[Trouble]], Iterable[Fact]]
"""All that is so of these troubles. May block for seconds; raises TimeoutError when it is not known just now."""

log = structlog.get_logger()


class Happenings(Protocol):
    """Where things wait that have happened."""

    def get(self, timeout: float) -> dict[str, Any] | None:
        """The next event, or None after `timeout` seconds."""
        ...

    def close(self) -> None:
        """Hear no more."""
        ...


class Sender(Worker):
    """Thread `alerts:sender`: every target's letters, one after the other."""

    def __init__(self, *, send: Send = send, clock: Clock | None = None, first_s: float = 5.0) -> None:
        super().__init__("alerts:sender")
        self._send, self._clock, self._first_s = send, clock or SystemClock(), first_s
        self._news = threading.Event()
        self._lock = threading.Lock()  # guards all below; not held while a letter is sent
        self._group_s = 0.0
        self._boxes: dict[str, tuple[AlertTarget, Letterbox]] = {}

    def change(self, targets: Iterable[AlertTarget], group_s: float) -> None:
        """Have other targets; one of the same name keeps its letters. Any thread."""
        with self._lock:
            before, self._group_s = self._boxes, group_s
            self._boxes = {each.name: (each, before[each.name][1] if each.name in before else self._new_box()) for each in targets}
        self._news.set()

    def post(self, notice: Notice) -> None:
        """Have it told. Any thread."""
        with self._lock:
            for name in notice.rule.targets:
                if name in self._boxes:
                    self._boxes[name][1].add(notice, self._now_s())
        self._news.set()

    def describe(self) -> list[dict[str, Any]]:
        """The state of each target. Any thread."""
        with self._lock:
            return [
                {
                    "name": name,
                    "waiting": len(box),
                    "sent": box.sent,
                    "failures": box.failures,
                    "dropped": box.dropped,
                    "last_error": box.last_error,
                }
                for name, (_, box) in self._boxes.items()
            ]

    def wake(self) -> None:
        self._news.set()

    def run(self) -> None:
        while not self.stopping.is_set():
            self._news.wait(self._wait_s())
            self._news.clear()
            with self._lock:
                due = [(target, box, letter) for target, box in self._boxes.values() if (letter := box.due(self._now_s(), self._group_s))]
            for target, box, letter in due:
                if not self.stopping.is_set():
                    self._try(target, box, letter)

    def _try(self, target: AlertTarget, box: Letterbox, letter: Letter) -> None:
        reason = self._send(target.url, letter)
        with self._lock:
            if reason is None:
                box.taken()
            else:
                box.failed(reason, self._now_s())
        if reason is None:
            log.info("alert_sent", target=target.name, title=letter.title)
        else:
            log.warning("alert_not_sent", target=target.name, title=letter.title, reason=reason)

    def _wait_s(self) -> float:
        with self._lock:
            waits = [box.wait_s(self._now_s(), self._group_s) for _, box in self._boxes.values()]
        return min((wait_s for wait_s in waits if wait_s is not None), default=_IDLE_S)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _new_box(self) -> Letterbox:
        return Letterbox(first_s=self._first_s)


class Alerts(Worker):
    """Thread `alerts`. `events` are the happenings it is to hear of; `publish` tells of each alert."""

    def __init__(
        self,
        settings: AlertSettings,
        look: Look,
        events: Happenings,
        *,
        sender: Sender,
        file: AlertFile,
        publish: Callable[..., None],
        settle_s: float = SETTLE_S,
    ) -> None:
        super().__init__("alerts")
        self._look, self._events = look, events
        self._sender, self._file, self._publish = sender, file, publish
        self._settle_s = settle_s
        self._changed: AlertSettings | None = settings
        self._book = AlertBook(settings.rules)
        self._firing: list[dict[str, Any]] = []
        self._has_told = False  # since the file was written

    def change(self, settings: AlertSettings) -> None:
        """Have other rules and targets, from the next look on. Any thread."""
        self._changed = settings

    def describe(self) -> dict[str, Any]:
        """What fires, and the state of each target. Any thread."""
        return {"firing": self._firing, "targets": self._sender.describe()}

    def run(self) -> None:
        self._take_change()
        self._book.restore(self._file.read(time.monotonic(), time.time()))
        self._sender.start()
        next_s = time.monotonic() + self._settle_s
        while not self.stopping.is_set():
            event = self._events.get(min(LOOK_S, max(0.05, next_s - time.monotonic())))
            if event is not None:
                self._hear(event)
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + LOOK_S
                self._take_change()
                self._turn()
                self._keep()
        self._events.close()
        self._keep()
        try:
            self._sender.close(FAREWELL_S)
        except RuntimeError:
            # Some services take several requests of seconds each: the process does not wait for them.
            log.warning("alert_sender_left", consequence="the message it was sending may be lost")

    def _take_change(self) -> None:
        settings, self._changed = self._changed, None
        if settings is not None:
            self._book.change(settings.rules)
            self._sender.change(settings.targets, settings.group_s)

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("kind") == "clip_refused":
            channel, path = event["channel"], event["path"]
            fact = Fact(Trouble.CLIP_FAILED, f"{channel}: {path}", str(event["reason"]), channel)
            for notice in self._book.happened(fact, time.monotonic()):
                self._tell(notice)

    def _turn(self) -> None:
        troubles = self._book.troubles
        try:
            facts = list(self._look(troubles)) if troubles else []
        except (TimeoutError, OSError):
            return  # control is busy, or no descriptor free: what stood goes on to stand
        for notice in self._book.look(facts, time.monotonic()):
            self._tell(notice)
        self._firing = [_described(each, time.monotonic(), time.time()) for each in self._book.firing()]

    def _keep(self) -> None:
        if self._has_told:
            self._file.write(self._book.told(), time.monotonic(), time.time())
            self._has_told = False

    def _tell(self, notice: Notice) -> None:
        self._has_told = True
        facts: dict[str, Any] = {"rule": notice.rule.name, "subject": notice.fact.subject, "message": notice.fact.text}
        if notice.phase is not Phase.STILL:
            log.info("alert", phase=notice.phase.value, **facts)
            channel = {} if notice.fact.channel is None else {"channel": notice.fact.channel}
            self._publish("alert", state=notice.phase.value, when=notice.rule.when.value, **channel, **facts)
        self._sender.post(notice)


def _described(each: Standing, now_s: float, wall_s: float) -> dict[str, Any]:
    return {
        "rule": each.rule.name,
        "when": each.rule.when.value,
        "subject": each.fact.subject,
        "message": each.fact.text,
        "since": iso_utc(wall_s - (now_s - each.since_s)),
    }
