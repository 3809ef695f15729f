"""The API's way from its event loop to the daemon's blocking calls.

Rule: the loop never waits in a call, and health is asked on threads of its own, so that a storm of other requests cannot
delay it. Made by `build_app`, which closes it when the server ends.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from channeld.api.problems import Problem
from channeld.channel.loop import LoopBusy

CALL_TIMEOUT_S = 15.0
_THREADS = 8
_HEALTH_THREADS = 2
_UPLOAD_THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class Calls:
    """Threads for calls into the daemon."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "admin-call")
        self._health_threads = ThreadPoolExecutor(_HEALTH_THREADS, "admin-health")
        self._upload_threads = ThreadPoolExecutor(_UPLOAD_THREADS, "admin-upload")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Its result, or what it raises. Raises Problem 503 when it does not return in time, or control is busy."""
        return await self._run_in(self._threads, lambda: function(*args, **kwargs))

    async def run_health(self, function: Callable[[], T]) -> T:
        """The same on the threads of health."""
        return await self._run_in(self._health_threads, function)

    async def run_upload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same on the threads of uploads, which wait for disks."""
        return await self._run_in(self._upload_threads, lambda: function(*args, **kwargs))

    async def _run_in(self, threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(threads, function)
        # Not wait_for: a TimeoutError that the call itself raises is another thing.
        done, _ = await asyncio.wait((future,), timeout=CALL_TIMEOUT_S)
        if not done:
            future.cancel()
            raise Problem(503, f"The daemon did not answer within {CALL_TIMEOUT_S:.0f} s.", headers={"Retry-After": "5"})
        try:
            return future.result()
        except LoopBusy as error:
            raise Problem(503, f"The daemon is busy: {error}. What was asked for may yet be done.", headers={"Retry-After": "5"}) from error

    def close(self) -> None:
        """Start no more calls; those that run end by themselves (≤ 5 s)."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._health_threads.shutdown(wait=False, cancel_futures=True)
        self._upload_threads.shutdown(wait=False)  # what was received is still written, and turns are given back
