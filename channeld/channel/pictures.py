"""What is on air, as small pictures for people: taken out of the channels' rings when somebody asks, and kept for a while.

Rule: one child decodes at a time, for the whole daemon and at low priority; the pictures of a wall are decoded together, and the more is
asked for, the older a picture may be, so that all of them together stay within SHARE of a core. Safe from any thread.

| what | made by | waited for by | closed by |
|---|---|---|---|
| thread `pictures` | Pictures.start | close | close |
| a ring's mapping | the thread, one at a time | | the thread |
| FFmpeg | the thread, one at a time | the thread | the thread |
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from channeld.base.errors import ProcessError, StreamError
from channeld.base.worker import Worker
from channeld.bus.layout import Lapped
from channeld.bus.reader import RingReader
from channeld.media.profile import Profile
from channeld.media.still import stills
from channeld.ts.elementary import first_random_access_unit
from channeld.ts.nal import VideoCodec

FRESH_S = 10.0
SHARE = 0.05
"""Of one core, for all pictures."""
TOGETHER = 16
ASKED_LATELY_S = 60.0
FIRST_GUESS_S = 0.07
MAX_FRESH_S = 300.0
KEPT_PICTURES = 1_000
_FORGET_WEIGHT = 0.2

log = structlog.get_logger()


class NoPicture(Exception):
    """There is none just now, and why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG of what was on air at `taken_s` (monotonic); `fresh_s`: how long it may be shown."""

    jpeg: bytes
    taken_s: float
    fresh_s: float

    def age_s(self, now_s: float) -> float:
        """How old it is."""
        return max(0.0, now_s - self.taken_s)


@dataclass(frozen=True, slots=True)
class Ring:
    """Where a channel's stream can be read: a descriptor, owned by whoever asked; `format`: rings of one format decode together."""

    fd: int
    format: Profile


Lend = Callable[[str], Ring]
"""Gives a channel's ring. Raises NoPicture. Called on the thread of the pictures."""
Key = tuple[str, int]


class Pictures(Worker):
    """Asked for by channel and width."""

    def __init__(self, lend: Lend, ffmpeg: str) -> None:
        super().__init__("pictures")
        self._lend, self._ffmpeg = lend, ffmpeg
        self._lock = threading.Condition()  # guards the four below
        self._wanted: OrderedDict[Key, list[Future[Picture]]] = OrderedDict()
        self._kept: OrderedDict[Key, Picture] = OrderedDict()
        self._asked: dict[Key, float] = {}
        self._cost_s = FIRST_GUESS_S

    def ask(self, channel: str, width: int) -> Future[Picture]:
        """A picture at most `fresh_s` old; the future raises NoPicture. Returns at once."""
        future: Future[Picture] = Future()
        now_s, key = time.monotonic(), (channel, width)
        with self._lock:
            self._asked[key] = now_s
            kept = self._kept.get(key)
            if kept is not None and kept.age_s(now_s) < self._fresh_s(now_s):
                future.set_result(kept)
            else:
                self._wanted.setdefault(key, []).append(future)
                self._lock.notify()
        return future

    def fresh_s(self) -> float:
        """How old a picture may be just now: FRESH_S, and more when many are asked for."""
        with self._lock:
            return self._fresh_s(time.monotonic())

    def _fresh_s(self, now_s: float) -> float:
        for key in [key for key, at_s in self._asked.items() if now_s - at_s > max(ASKED_LATELY_S, 2 * FRESH_S)]:
            del self._asked[key]
        return min(MAX_FRESH_S, max(FRESH_S, len(self._asked) * self._cost_s / SHARE))

    def wake(self) -> None:
        with self._lock:
            self._lock.notify()

    def run(self) -> None:
        while not self.stopping.is_set():
            with self._lock:
                self._lock.wait_for(lambda: self.stopping.is_set() or bool(self._wanted))
                keys = self._next()
            try:
                self._take(keys)
            except Exception:  # a mistake with some pictures must not end all of them; it is logged with its traceback
                log.exception("pictures_not_taken")
                self._fail(keys, "it could not be taken; the log says why")
        self._fail(list(self._wanted), "the daemon ends")

    def _next(self) -> list[Key]:
        """The oldest wishes, all of one width."""
        widths = [width for _, width in self._wanted]
        return [key for key in self._wanted if key[1] == widths[0]][:TOGETHER] if widths else []

    def _take(self, keys: list[Key]) -> None:
        groups: dict[Profile, list[tuple[Key, bytes]]] = {}
        for key in keys:
            try:
                ring = self._lend(key[0])
                try:
                    groups.setdefault(ring.format, []).append((key, newest_picture(ring.fd)))
                finally:
                    os.close(ring.fd)
            except NoPicture as reason:
                self._fail([key], str(reason))
        for form, group in groups.items():
            self._decode(group, form.codec)

    def _decode(self, group: list[tuple[Key, bytes]], codec: VideoCodec) -> None:
        begun_s = time.monotonic()
        try:
            units, width = [unit for _, unit in group], group[0][0][1]
            taken = stills(units, width, self._ffmpeg, codec, should_stop=self.stopping.is_set)
        except ProcessError as error:
            log.warning("pictures_not_decoded", error=str(error).splitlines()[0], channels=[key[0] for key, _ in group])
            self._fail((key for key, _ in group), "decoding it failed; the log says why")
            return
        with self._lock:
            self._cost_s += (taken.cpu_s / len(group) - self._cost_s) * _FORGET_WEIGHT
        for (key, _), jpeg in zip(group, taken.jpegs, strict=True):
            if jpeg is None:
                self._fail([key], "the newest picture does not decode")
            else:
                self._keep(key, jpeg, begun_s)

    def _keep(self, key: Key, jpeg: bytes, taken_s: float) -> None:
        with self._lock:
            picture = Picture(jpeg, taken_s, self._fresh_s(taken_s))
            self._kept.pop(key, None)
            self._kept[key] = picture
            while len(self._kept) > KEPT_PICTURES:
                self._kept.popitem(last=False)
            waiting = self._wanted.pop(key, [])
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(picture)

    def _fail(self, keys: Iterable[Key], reason: str) -> None:
        for key in keys:
            with self._lock:
                waiting = self._wanted.pop(key, [])
                self._kept.pop(key, None)
            for future in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_exception(NoPicture(reason))


def newest_picture(ring_fd: int) -> bytes:
    """The newest random access picture of a ring, as an elementary stream; closes nothing. Raises NoPicture."""
    try:
        reader = RingReader(ring_fd)
    except (ValueError, OSError) as error:
        raise NoPicture(f"its ring cannot be read: {error}") from error
    try:
        head = reader.head_seq
        newest = reader.newest_random_access(head)
        unit = first_random_access_unit(reader.read(newest, head=head).data) if newest is not None else None
    except (Lapped, IndexError, StreamError) as error:
        raise NoPicture(f"its ring went on meanwhile: {error}") from error
    finally:
        reader.close()
    if unit is None:
        raise NoPicture("nothing of it is published yet")
    return unit
