"""One connection of the admin listener: uvicorn's, with bounds on what it may hold and for how long.

Rule: a head is small and arrives soon, whoever takes no answer is cut off, and connections are counted, those apart that follow the
events, which have a bound of their own: all of them may come at once, as after a restart. Whoever breaks a bound loses its own
connection only. Runs in the admin event loop.
"""

import asyncio
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from channeld.api.admin_gate import EVENTS_PATH
from channeld.api.problems import Problem, problem_response

HEAD_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 30.0
MAX_CONNECTIONS = 128
"""Of those that do not follow the events; beyond it the answer is 503."""
MAX_SOCKETS = 256
"""Besides as many as may follow the events; beyond it there is no answer."""


class BoundedConnection(H11Protocol):
    """Aborted when a head takes too long or when nothing is taken for too long; uvicorn itself bounds neither."""

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        readers = self.app_state.get("event_readers")
        following, most = (readers.count, readers.most) if readers is not None else (0, 0)
        if len(self.connections) > MAX_SOCKETS + most:
            transport.abort()
        elif len(self.connections) - following > MAX_CONNECTIONS:
            self.app = _Busy(self.app)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what is no HTTP; here a problem document too."""
        answer = problem_response(Problem(400, msg))
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=400, headers=[*answer.raw_headers, (b"connection", b"close")], reason=b"Bad Request")
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        _cancel(self._stall_timer)
        self._stall_timer = self.loop.call_later(STALL_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        _cancel(self._stall_timer)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._head_timer)
        _cancel(self._stall_timer)
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """The time for a head runs from the connection or from its first byte; while an answer is under way there is none."""
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up_head)

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class _Busy:
    """In place of the application where there are too many connections: only events may be followed, of whom there is another count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == EVENTS_PATH:
            await self._app(scope, receive, send)
            return
        problem = Problem(503, f"{MAX_CONNECTIONS} connections are open already.", headers={"Retry-After": "1", "Connection": "close"})
        await problem_response(problem)(scope, receive, send)
