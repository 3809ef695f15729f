"""The command line's way to a running daemon: its address, its token, one request.

Rule: whatever goes wrong is told as who is at fault (nobody answers, not allowed, refused) and what to do; the token is
never shown. Used by one command at a time.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from channeld.base.errors import ChannelError
from channeld.base.trust import own_certificate, trusting
from channeld.channel.as_run_text import PROBLEM_HEADER
from channeld.config import default_path, load_whereabouts
from channeld.config_values import AdminSpec, ListenSpec

TIMEOUT_S = 10.0
STREAM_TIMEOUT_S = 40.0
"""A stream of events says something every 15 s at least; a connection that says nothing for so long is dead."""


class DaemonUnreachable(ChannelError):
    """Nobody answers at the admin address: start the daemon or name another address."""


class NotAllowed(ChannelError):
    """The daemon or the system refused: another token or user is needed."""


class Rejected(ChannelError):
    """The daemon found what it was given invalid; `faults` names every fault."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.faults: list[dict[str, Any]] = problem.get("errors") or []
        self.line: int | None = problem.get("line")
        super().__init__("\n".join(map(_fault_text, self.faults)) or str(problem.get("detail", "refused")))


class Conflict(ChannelError):
    """The playlist is no longer what was read: nothing was changed. `revision` is its present one, if the daemon said so."""

    def __init__(self, detail: str, revision: int | None) -> None:
        super().__init__(detail)
        self.revision = revision


def _fault_text(fault: dict[str, Any]) -> str:
    place = ":".join(str(fault[part]) for part in ("file", "line", "column") if fault.get(part) is not None)
    return ": ".join(part for part in (place, fault.get("key"), str(fault.get("message", ""))) if part)


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class AdminClient:
    """Talks to one daemon's admin API."""

    def __init__(self, url: str, token: str, certificate: Path | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """`certificate`: the listener's own, which is trusted for whatever name; else the system judges."""
        self._url = url.rstrip("/")
        self._token, self._certificate, self._timeout_s = token, certificate, timeout_s

    def get(self, route: str) -> Any:
        """The decoded answer of a GET. Raises DaemonUnreachable, NotAllowed, Rejected, ChannelError."""
        return self._decoded(self._answer("GET", route), route)

    def get_rows(self, route: str) -> tuple[list[dict[str, Any]], str | None]:
        """A list of objects, and why it is not all there is, if so. Raises the same."""
        answer = self._answer("GET", route)
        rows = self._decoded(answer, route)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ChannelError(f"{self._url}{route} did not answer as channeld does. Is it another version?")
        return rows, answer.headers.get(PROBLEM_HEADER)

    def get_tagged(self, route: str) -> tuple[dict[str, Any], str]:
        """A document as JSON, and its ETag. Raises the same."""
        answer = self._answer("GET", route, headers={"Accept": "application/json"})
        document = self._decoded(answer, route)
        if not isinstance(document, dict) or "ETag" not in answer.headers:
            raise ChannelError(f"{self._url}{route} did not answer as channeld does. Is it another version?")
        return document, answer.headers["ETag"]

    def post(self, route: str, content: dict[str, Any] | None = None) -> Any:
        """The decoded answer of a POST of that JSON. Raises the same."""
        return self._decoded(self._answer("POST", route, content), route)

    def delete(self, route: str) -> Any:
        """The decoded answer of a DELETE. Raises the same."""
        return self._decoded(self._answer("DELETE", route), route)

    def edit(self, method: str, route: str, content: dict[str, Any] | str | None, tag: str) -> Any:
        """The decoded answer of an edit of what has that ETag; text goes as text. Raises the same, and Conflict."""
        return self._decoded(self._answer(method, route, content, {"If-Match": tag}), route)

    def lines(self, route: str, headers: dict[str, str]) -> Iterator[str]:
        """The lines of an answer that goes on, as they come, without their ends. Raises the same; DaemonUnreachable when it breaks off."""
        with self._told(), self._client(STREAM_TIMEOUT_S) as client, client.stream("GET", self._url + route, headers=headers) as answer:
            if answer.status_code != 200:
                answer.read()
            yield from self._judged(answer, route).iter_lines()

    def _answer(
        self, method: str, route: str, content: dict[str, Any] | str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        body: dict[str, Any] = {"json": content} if content is not None else {}
        if isinstance(content, str):
            body, headers = {"content": content.encode()}, {**(headers or {}), "Content-Type": "text/plain; charset=utf-8"}
        with self._told(), self._client(self._timeout_s) as client:
            return self._judged(client.request(method, self._url + route, headers=headers, **body), route)

    def _client(self, timeout_s: float) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._token}"}
        # trust_env off: a proxy of the environment must not see the token, nor stand between us and this machine.
        return httpx.Client(headers=headers, timeout=timeout_s, trust_env=False, verify=_trust(self._certificate))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong on the way, in words of ours."""
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise ChannelError(f"{self._url} is not an address. Write --url http://host:port") from None
        except httpx.TransportError as error:
            raise DaemonUnreachable(
                f"no daemon answers at {self._url} ({error}). Start it with `channeld run`, or name it with --url"
            ) from None

    def _judged(self, answer: httpx.Response, route: str) -> httpx.Response:
        status, problem = answer.status_code, _problem(answer) if answer.status_code >= 400 else {}
        if status == 401:
            raise NotAllowed(
                f"{self._url} refused the token. Pass the one of <state_dir>/admin.token, or another, with $CHANNELD_TOKEN or --token"
            )
        if status in (403, 429):
            raise NotAllowed(f"{self._url} refused: {problem.get('detail', status)}")
        if status == 412:
            raise Conflict(str(problem.get("detail", "the playlist is no longer what was read")), problem.get("revision"))
        if status == 422 or (status in (404, 409, 413) and "detail" in problem):
            raise Rejected(problem)
        if status not in (200, 201, 202):
            raise ChannelError(f"{self._url}{route} answered {status}: {problem.get('detail', 'nothing more')}. See the daemon's log")
        return answer

    def _decoded(self, answer: httpx.Response, route: str) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise ChannelError(f"{self._url}{route} did not answer as channeld does. Is --url the admin listener?") from None


def channel_route(channel: str, *more: str) -> str:
    """The route of a channel or of something of it, whatever characters these have."""
    return "/api/v1/channels/" + "/".join(quote(part, safe="") for part in (channel, *more))


def connect(config_path: Path | None, url: str | None, token: str | None, *, timeout_s: float = TIMEOUT_S) -> AdminClient:
    """A client from the options; what they leave out comes from the configuration. Raises ConfigError, DaemonUnreachable, NotAllowed."""
    if url is not None and token is not None:
        return AdminClient(url, token, timeout_s=timeout_s)
    found = load_whereabouts(config_path or default_path())
    tls = found.admin.tls if url is None else None
    secret = token or _read_token(found.state_dir / "admin.token")
    return AdminClient(url or admin_url(found.admin), secret, tls.cert if tls else None, timeout_s=timeout_s)


def _trust(certificate: Path | None) -> ssl.SSLContext:
    if certificate is None:
        return ssl.create_default_context()
    try:
        return trusting([own_certificate(certificate)])
    except (OSError, ValueError) as error:
        raise NotAllowed(f"{certificate} cannot be used to know the daemon ({error}). Pass --url and --token") from None


def admin_url(admin: AdminSpec) -> str:
    """Where this machine reaches the admin listener."""
    return listener_url(admin.listen, is_tls=admin.tls is not None)


def listener_url(listen: ListenSpec, *, is_tls: bool) -> str:
    """Where this machine reaches a listener, also one that listens everywhere."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(listen.host) or (f"[{listen.host}]" if ":" in listen.host else listen.host)
    return f"{'https' if is_tls else 'http'}://{host}:{listen.port}"


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise DaemonUnreachable(f"{path} is not there: the daemon has not run yet. Start it with `channeld run`, or pass --token") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not a token"
        raise NotAllowed(f"{path} cannot be read ({reason}). Become the daemon's user, or pass --token") from None
