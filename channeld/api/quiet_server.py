"""uvicorn that sleeps: once a second it renews what it renews, and it hears at once that it should end.

Rule: uvicorn looks ten times a second whether it should end, which costs an idle daemon more than a channel does. Made by the
admin server and by the media worker, each in its own event loop.
"""

import asyncio
import contextlib
import logging

import uvicorn

_TICKS = 10
"""uvicorn's own ticks of 0.1 s in one of ours: `on_tick` counts in these."""


class _Farewell(logging.Filter):
    """Drops uvicorn's error about connections that outlast the moment they are given at the end: viewers never hang up by themselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_cancelled = bool(record.exc_info) and isinstance(record.exc_info[1], asyncio.CancelledError)  # type: ignore[index]
        return not is_cancelled and not str(record.msg).startswith("Cancel ")


_FAREWELL = _Farewell()


class QuietServer(uvicorn.Server):
    """End it by `stop`, from any thread."""

    tick_s = 1.0

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_FAREWELL)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter += _TICKS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), self.tick_s)

    def stop(self) -> None:
        """Let it end: listeners close, running requests have a moment. Idempotent; also before it serves."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended already
                self._loop.call_soon_threadsafe(self._told.set)
