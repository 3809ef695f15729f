"""The threads behind the library: some look clips up, the others prepare them.

Rule: nothing that a clip or the machine does ends a thread; it becomes the clip's state. Of each disk one clip at a time is looked up, so
that one that does not answer holds up one thread. Run as `lookup:n` and `prepare:n`.
"""

import contextlib
import errno
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from channeld.base.errors import ChildStalled, MediaError, ProcessError
from channeld.base.worker import Worker
from channeld.media.board import Board
from channeld.media.cache import ClipCache
from channeld.media.child import ChildStopped, Stop
from channeld.media.clip import PreparedClip
from channeld.media.clip_state import growing, pending, ready, refused
from channeld.media.facts import choose_audio
from channeld.media.fingerprint import fingerprint
from channeld.media.plan import make_plan
from channeld.media.prepare import PrepareRequest, check, prepare, request_key
from channeld.media.tally import PrepareTally
from channeld.media.tools import Tools
from channeld.media.verdict import Tolerance

URGENT_S = 60.0
RETRY_S = 10.0
STALLED_RETRY_S = 300.0
"""Each attempt at a clip that stalls FFmpeg holds up the clips of other channels for a minute."""
IDLE_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kit:
    """What the threads work with."""

    cache: ClipCache
    tools: Tools
    tolerance: Tolerance
    tally: PrepareTally = field(default_factory=PrepareTally)


class LookupWorker(Worker):
    """Finds out which clip each entry is, whether it is there already, and how long it will be."""

    def __init__(self, board: Board, kit: Kit, number: int) -> None:
        super().__init__(f"lookup:{number}")
        self._board, self._kit = board, kit

    def wake(self) -> None:
        self._board.wake()

    def run(self) -> None:
        board = self._board
        while not self.stopping.is_set():
            with board.changed:
                lookup = board.take_lookup()
                if lookup is None:
                    board.changed.wait(IDLE_S)
                    continue
            try:
                (self._probe if lookup.is_clip else self._resolve)(lookup.name, lookup.request)
            finally:
                board.looked_up(lookup)

    def _resolve(self, entry: str, request: PrepareRequest) -> None:
        board, cache = self._board, self._kit.cache
        if isinstance(request.source, str) and cache.urls.known(request.source) is None:
            return  # the UrlLooker asks for it, and then has it looked up again
        try:
            key = request_key(request, cache, self._kit.tools)
        except (OSError, ProcessError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            board.fail(entry, request, refused(reason or str(error), may_pass=not isinstance(error, FileNotFoundError)))
            return
        found, reason = cache.find(key), cache.refusal(key)
        board.resolve(entry, request, key, ready(found) if found is not None else refused(reason) if reason is not None else pending())

    def _probe(self, key: str, request: PrepareRequest) -> None:
        # What cannot be probed comes to the same end in prepare, which tells and remembers it.
        with contextlib.suppress(MediaError, ProcessError, OSError):
            learn(self._board, self._kit, key, request, self.stopping.is_set)


def learn(board: Board, kit: Kit, key: str, request: PrepareRequest, should_stop: Stop) -> PrepareRequest:
    """Find out a clip's facts and length, once. Raises as `check`."""
    if request.facts is not None:
        return request
    facts = check(request, kit.tolerance, kit.tools, should_stop=should_stop)
    plan = make_plan(facts, choose_audio(facts, request.profile.audio_language), request.trim, request.profile.fps)
    known = replace(request, facts=facts)
    with board.changed:
        board.queue.learn(key, known, request.profile.fps.seconds(plan.frames))
    return known


class PrepareWorker(Worker):
    """Takes the clip that is needed soonest and prepares it."""

    def __init__(self, board: Board, kit: Kit, number: int) -> None:
        super().__init__(f"prepare:{number}")
        self._board, self.kit = board, kit

    def wake(self) -> None:
        self._board.wake()

    def run(self) -> None:
        board = self._board
        while not self.stopping.is_set():
            with board.changed:
                now = time.monotonic()
                taken = board.take(now)
                if taken is None:
                    board.changed.wait(IDLE_S)
                    continue
            try:
                self._prepare(taken.key, taken.request, taken.needed_at - now, taken.preempted)
            finally:
                board.done(taken.key)

    def _prepare(self, key: str, request: PrepareRequest, airs_in_s: float, preempted: threading.Event) -> None:
        board, kit, began_s = self._board, self.kit, time.monotonic()

        def should_stop() -> bool:
            return self.stopping.is_set() or preempted.is_set()

        try:
            request = learn(board, kit, key, request, should_stop)
            if not self._evict(board.bytes_of(key, request), airs_in_s):
                self._later(key, "the cache is full of clips that air sooner", is_for_room=True)
                return
            clip = prepare(
                replace(request, urgent=airs_in_s < URGENT_S),
                kit.cache,
                on_block=lambda progress: board.tell(key, growing(progress)),
                should_stop=should_stop,
                tolerance=kit.tolerance,
                tools=kit.tools,
                key=key,
            )
        except MediaError as error:
            if (trouble := _reading_trouble(request)) is not None:
                self._later(key, trouble)
                return
            board.tell(key, refused(str(error)))
            kit.tally.add_other("refused")
            kit.cache.refuse(key, str(error))
        except ChildStopped:
            board.tell(key, pending())
        except ChildStalled as error:
            self._later(key, f"{error}, twice", wait_s=STALLED_RETRY_S)
        except (OSError, ProcessError) as error:
            # The machine's fault, not the clip's: tried again later; seldom where a clip may want more memory than there ever is.
            wait_s = STALLED_RETRY_S if isinstance(error, OSError) and error.errno == errno.ENOMEM else RETRY_S
            self._later(key, (error.strerror if isinstance(error, OSError) else None) or str(error), wait_s=wait_s)
        else:
            kit.tally.add_ready(spent_s=time.monotonic() - began_s, media_s=clip.duration_s)
            self._finish(key, clip)

    def _later(self, key: str, reason: str, *, wait_s: float = RETRY_S, is_for_room: bool = False) -> None:
        self.kit.tally.add_other("put_off")
        if not is_for_room:
            log.warning("clip_waits", clip=key, reason=reason, wait_s=wait_s)
        self._board.tell(key, pending(reason), not_before=time.monotonic() + wait_s, is_for_room=is_for_room)

    def _evict(self, needed_bytes: int, airs_in_s: float | None) -> bool:
        given_up = self.kit.cache.evict(needed_bytes, self._board.next_airing, airs_in_s=airs_in_s)
        for key in given_up or ():
            self._later(key, "gave way to clips that air sooner", is_for_room=True)
        return given_up is not None

    def _finish(self, key: str, clip: PreparedClip) -> None:
        self._board.tell(key, ready(clip))
        self._evict(0, None)
        _remember(self.kit.cache.fingerprints.save)
        _remember(self.kit.cache.urls.save)


def _reading_trouble(request: PrepareRequest) -> str | None:
    """Why the file cannot be read now, if it cannot: what FFmpeg said of a file on an ill disk is no verdict on the clip."""
    try:
        fingerprint(request.file)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return None


def _remember(save: Callable[[], None]) -> None:
    """What was learned is stored when the disk takes it again; the clip is ready all the same."""
    try:
        save()
    except OSError as error:
        log.warning("book_not_written", error=error.strerror)
