"""Tells how long each request of the admin interface took to its answer's head, by the route's template.

Rule: what is told is bounded: known methods, templates of routes that exist, status codes. A stream of events counts when it begins.
"""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Answered = Callable[[str, str, str, float], None]
"""Gets the method, the route's template, the status, and seconds."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
NO_ROUTE, OTHER_METHOD = "none", "other"
_INNER = "channeld.inner"


class Timing:
    """The outermost but one: times what the gate refuses as well."""

    def __init__(self, app: ASGIApp, *, answered: Answered) -> None:
        self._app, self._answered = app, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_ns, inner = time.monotonic_ns(), list[Scope]()

        async def time_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
                self._answered(method, _template(inner), str(message["status"]), (time.monotonic_ns() - began_ns) / 1e9)
            await send(message)

        await self._app({**scope, _INNER: inner}, receive, time_head)


class Lookout:
    """The innermost: the scope that reaches it is the one in which the route that is found will be noted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _INNER in scope:
            scope[_INNER].append(scope)
        await self._app(scope, receive, send)


def _template(inner: list[Scope]) -> str:
    """The template of the route that was found, `none` where there is none or the gate refused before one was looked for."""
    path = getattr(inner[0].get("route"), "path", None) if inner else None
    return path if isinstance(path, str) else NO_ROUTE
