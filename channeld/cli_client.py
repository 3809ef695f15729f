"""The command line's way to a running daemon: its address, its token, one request.

Rule: whatever goes wrong is told as who is at fault (nobody answers, not allowed, refused) and what to do; the token is
never shown. Used by one command at a time.
"""

import os
import ssl
from pathlib import Path
from typing import Any

import httpx

from channeld.base.errors import ChannelError
from channeld.base.trust import own_certificate, trusting
from channeld.channel.as_run_text import PROBLEM_HEADER
from channeld.config import default_path, load
from channeld.config_values import Config

TIMEOUT_S = 10.0


class DaemonUnreachable(ChannelError):
    """Nobody answers at the admin address: start the daemon or name another address."""


class NotAllowed(ChannelError):
    """The daemon or the system refused: another token or user is needed."""


class Rejected(ChannelError):
    """The daemon found what it was given invalid; `faults` names every fault."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.faults: list[dict[str, Any]] = problem.get("errors") or []
        super().__init__("\n".join(map(_fault_text, self.faults)) or str(problem.get("detail", "refused")))


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

    def __init__(self, url: str, token: str, certificate: Path | None = None) -> None:
        """`certificate`: the listener's own, which is trusted for whatever name; else the system judges."""
        self._url = url.rstrip("/")
        self._token, self._certificate = token, certificate

    def get(self, route: str) -> Any:
        """The decoded answer of a GET. Raises DaemonUnreachable, NotAllowed, ChannelError."""
        return self._ask("GET", route)

    def get_rows(self, route: str) -> tuple[list[dict[str, Any]], str | None]:
        """A list of objects, and why it is not all there is, if so. Raises the same, and Rejected."""
        answer = self._answer("GET", route)
        rows = self._decoded(answer, route)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ChannelError(f"{self._url}{route} did not answer as channeld does. Is it another version?")
        return rows, answer.headers.get(PROBLEM_HEADER)

    def post(self, route: str, content: dict[str, Any] | None = None) -> Any:
        """The decoded answer of a POST of that JSON. Raises the same, and Rejected where the daemon says what is wrong."""
        return self._ask("POST", route, content)

    def delete(self, route: str) -> Any:
        """The decoded answer of a DELETE. Raises the same."""
        return self._ask("DELETE", route)

    def _ask(self, method: str, route: str, content: dict[str, Any] | None = None) -> Any:
        return self._decoded(self._answer(method, route, content), route)

    def _answer(self, method: str, route: str, content: dict[str, Any] | None = None) -> httpx.Response:
        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            # trust_env off: a proxy of the environment must not see the token, nor stand between us and this machine.
            verify = _trust(self._certificate)
            answer = httpx.request(
                method, self._url + route, headers=headers, json=content, timeout=TIMEOUT_S, trust_env=False, verify=verify
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise ChannelError(f"{self._url} is not an address. Write --url http://host:port") from None
        except httpx.TransportError as error:
            raise DaemonUnreachable(
                f"no daemon answers at {self._url} ({error}). Start it with `channeld run`, or name it with --url"
            ) from None
        if answer.status_code == 401:
            raise NotAllowed(f"{self._url} refused the token. Pass the one of <state_dir>/admin.token with --token")
        if answer.status_code in (403, 429):
            raise NotAllowed(f"{self._url} refused: {_problem(answer).get('detail', answer.status_code)}")
        if answer.status_code == 422 or (answer.status_code in (404, 409) and "detail" in _problem(answer)):
            raise Rejected(_problem(answer))
        if answer.status_code not in (200, 201, 202):
            raise ChannelError(f"{self._url}{route} answered {answer.status_code}. See the daemon's log")
        return answer

    def _decoded(self, answer: httpx.Response, route: str) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise ChannelError(f"{self._url}{route} did not answer as channeld does. Is --url the admin listener?") from None


def connect(config_path: Path | None, url: str | None, token: str | None) -> AdminClient:
    """A client from the options; what they leave out comes from the configuration. Raises ConfigError, DaemonUnreachable, NotAllowed."""
    if url is not None and token is not None:
        return AdminClient(url, token)
    config = load(config_path or default_path())
    tls = config.admin.tls if url is None else None
    return AdminClient(url or admin_url(config), token or _read_token(config.folders.state / "admin.token"), tls.cert if tls else None)


def _trust(certificate: Path | None) -> ssl.SSLContext:
    if certificate is None:
        return ssl.create_default_context()
    try:
        return trusting([own_certificate(certificate)])
    except (OSError, ValueError) as error:
        raise NotAllowed(f"{certificate} cannot be used to know the daemon ({error}). Pass --url and --token") from None


def admin_url(config: Config) -> str:
    """Where this machine reaches the admin listener."""
    listen = config.admin.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(listen.host) or (f"[{listen.host}]" if ":" in listen.host else listen.host)
    return f"{'http' if config.admin.tls is None else 'https'}://{host}:{listen.port}"


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise DaemonUnreachable(f"{path} is not there: the daemon has not run yet. Start it with `channeld run`, or pass --token") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not a token"
        raise NotAllowed(f"{path} cannot be read ({reason}). Become the daemon's user, or pass --token") from None
