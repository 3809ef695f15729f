"""Sends events to the addresses that want them: each its own order, its own pace, its own troubles.

Rule: a target that is dead, slow or hostile costs a task that sleeps: its hosts are judged and its redirects are not followed, every
wait is bounded, and what waits for it is bounded (hook_queue). An event is taken when the answer is 2xx; else it is tried again, first
after a second, at last every five minutes. At least once: an attempt whose answer was lost is made again, with the same delivery id.

| what                        | made by  | ended by |
|-----------------------------|----------|----------|
| thread `webhooks`, its loop | `start`  | `close`  |
| a task for each hook        | the loop | the loop |
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from channeld.base.clock import iso_utc
from channeld.base.loop_inbox import LoopInbox
from channeld.base.worker import Worker
from channeld.media.pinned import FetchError, FetchRules, Net, PinnedClient
from channeld.notices.hook_queue import HookQueue
from channeld.notices.places import PlaceFile
from channeld.notices.settings import WebhookSettings
from channeld.notices.signature import body_of, headers_of
from channeld.process.backoff import Backoff

FIRST_S = 1.0
LONGEST_S = 300.0
SAVE_S = 1.0
PERMIT = "set `private: true` at this webhook"

Follow = Callable[[Callable[[dict[str, Any]], None], int | None], Callable[[], None]]

log = structlog.get_logger()


class _Hook:
    """A queue, what wakes its task, and how it sends."""

    def __init__(self, queue: HookQueue, client: PinnedClient, *, first_s: float) -> None:
        self.queue, self.client, self._first_s = queue, client, first_s
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.calm()

    def calm(self) -> None:
        """The next failure is the first one."""
        self.backoff = Backoff(first_s=self._first_s, longest_s=LONGEST_S)


class Webhooks(Worker):
    """All webhooks of a daemon. `follow` tells the events; `newest_id`: the last one that happened before."""

    def __init__(
        self,
        settings: Iterable[WebhookSettings],
        places: PlaceFile,
        *,
        follow: Follow,
        newest_id: int,
        net: Net | None = None,
        first_s: float = FIRST_S,
    ) -> None:
        super().__init__("webhooks")
        self._settings, self._places = tuple(settings), places
        self._follow, self._newest_id = follow, newest_id
        self._net, self._first_s = net or Net(), first_s
        self._inbox: LoopInbox[Callable[[], None]] = LoopInbox(lambda task: task())
        self._hooks: dict[str, _Hook] = {}
        self._saved: dict[str, int] = {}
        self._ending = asyncio.Event()

    def change(self, settings: Iterable[WebhookSettings]) -> None:
        """Have other hooks; one of the same name goes on where it was. Any thread."""
        wanted = tuple(settings)
        self._inbox.put(lambda: self._renew(wanted))

    def describe(self) -> list[dict[str, Any]]:
        """The state of each hook's deliveries. Any thread."""
        return [_described(hook.queue) for hook in self._hooks.values()]

    def wake(self) -> None:
        self._inbox.put(self._ending.set)

    def run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        self._saved = self._places.read()
        self._renew(self._settings)
        stop = self._follow(lambda event: self._inbox.put(lambda: self._offer(event)), 0)
        try:
            self._inbox.attach()
            while not self._ending.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), SAVE_S)
                self._save()
        finally:
            stop()
            for hook in self._hooks.values():
                await _end(hook)
            self._save()

    def _offer(self, event: dict[str, Any]) -> None:
        self._newest_id = max(self._newest_id, int(event["id"]))
        for hook in self._hooks.values():
            hook.queue.offer(event)
            hook.news.set()

    def _renew(self, settings: tuple[WebhookSettings, ...]) -> None:
        before, hooks = self._hooks, dict[str, _Hook]()
        for wanted in settings:
            known = before.get(wanted.name)
            hooks[wanted.name] = known if known is not None and known.queue.settings == wanted else self._begin(wanted, known)
        for name, hook in before.items():
            if hooks.get(name) is not hook and hook.task is not None:
                hook.task.cancel()
        self._hooks = hooks

    def _begin(self, settings: WebhookSettings, before: _Hook | None) -> _Hook:
        place = self._saved.get(settings.name, self._newest_id)
        if place > self._newest_id:
            place = 0  # of a history that was lost: all that is kept may be news
        queue = HookQueue(settings, place if before is None else before.queue.place)
        if before is not None:
            queue.inherit(before.queue)
        tls = ssl.create_default_context()
        rules = FetchRules(("https", "http"), settings.is_private, PERMIT)
        client = PinnedClient(rules, self._net, tls, answer_s=settings.timeout_s, read_s=settings.timeout_s)
        hook = _Hook(queue, client, first_s=self._first_s)
        hook.task = asyncio.get_running_loop().create_task(self._deliver(hook))
        return hook

    def _save(self) -> None:
        places = {name: hook.queue.place for name, hook in self._hooks.items()}
        if places != self._saved:
            self._places.write(places)
            self._saved = places

    async def _deliver(self, hook: _Hook) -> None:
        while True:
            event = hook.queue.next()
            if event is None:
                hook.news.clear()
                await hook.news.wait()
            elif (wait_s := await self._attempt(hook, event)) > 0:
                await asyncio.sleep(wait_s)

    async def _attempt(self, hook: _Hook, event: dict[str, Any]) -> float:
        """Send it once; gives how long to wait before the next attempt, 0 when it was taken."""
        settings, queue = hook.queue.settings, hook.queue
        body = body_of(event)
        headers = headers_of(settings.name, settings.secret, event, body, now_s=time.time())
        status, wait_s = None, 0.0
        try:
            response = await hook.client.post(settings.url, body, headers)
        except FetchError as error:
            reason = str(error)
        else:
            status = response.status_code
            if response.is_success:
                self._taken(hook, event)
                return 0.0
            reason = f"it answered {status}" + (", and redirects are not followed" if response.is_redirect else "")
            wait_s = _asked_s(response.headers.get("retry-after", ""))
        if queue.failing_since_s is None:
            log.warning("webhook_failing", webhook=settings.name, reason=reason)
        queue.fail(event, reason, time.time(), status)
        return max(wait_s, hook.backoff.next_s(healthy_for_s=0))

    def _taken(self, hook: _Hook, event: dict[str, Any]) -> None:
        if hook.queue.failing_since_s is not None:
            log.info("webhook_recovered", webhook=hook.queue.settings.name)
        hook.queue.take(event, time.time())
        hook.calm()


def _asked_s(retry_after: str) -> float:
    """How long the target asks to wait (RFC 9110, 10.2.3: seconds; a date counts as nothing)."""
    return min(LONGEST_S, float(retry_after)) if retry_after.isascii() and retry_after.isdigit() else 0.0


async def _end(hook: _Hook) -> None:
    if hook.task is not None:
        hook.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hook.task


def _described(queue: HookQueue) -> dict[str, Any]:
    told = queue.describe()
    for name in ("delivered_at", "failing_since"):
        moment_s = told.pop(f"{name}_s")
        told[name] = None if moment_s is None else iso_utc(moment_s)
    return told
