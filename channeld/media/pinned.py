"""HTTP from hosts that are judged first: one hop at a time, to the very address that was judged.

Rule: for every hop the scheme must be allowed, the name is resolved once, every address it has must be allowed, and the connection is made
to one of these; the name stays in the Host header and TLS is verified for it. So neither a redirect nor a second answer of DNS leads
elsewhere. No proxy, no netrc, no cookies. Runs in the event loop of one fetch.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from channeld.base.address import Address, is_public
from channeld.base.errors import ChannelError

MAX_REDIRECTS = 5
CONNECT_S = 10.0
_REDIRECTS = (301, 302, 303, 307, 308)

Resolver = Callable[[str], Sequence[str]]
Judge = Callable[[Address], bool]


class FetchError(ChannelError):
    """A URL cannot be had now: its entry is skipped for minutes, nothing is held against the clip."""


@dataclass(frozen=True, slots=True)
class FetchRules:
    """Which schemes may be fetched, and whether from private addresses. `permit`: what in the configuration allows these."""

    schemes: tuple[str, ...] = ("https", "http")
    private: bool = False
    permit: str = "add to the configuration: url_allow: {private: true}"


def system_addresses(host: str) -> list[str]:
    """Addresses of a host as the system resolves it, literal ones included. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Net:
    """How names are resolved, and which addresses anybody may connect to."""

    resolve: Resolver = system_addresses
    is_public: Judge = is_public


class PinnedClient:
    """Asks for URLs, following redirects. `answer_s`: longest wait for a hop's answer to begin; `read_s`: longest silence in its body."""

    def __init__(self, rules: FetchRules, net: Net, tls: ssl.SSLContext, *, answer_s: float, read_s: float) -> None:
        self.rules = rules
        self._net = net
        self._tls = tls
        self._answer_s = answer_s
        self._timeout = httpx.Timeout(read_s, connect=CONNECT_S)

    @contextlib.asynccontextmanager
    async def answer(self, method: str, url: str) -> AsyncIterator[httpx.Response]:
        """The answer behind all redirects, its body not read yet. Raises FetchError."""
        here = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with contextlib.AsyncExitStack() as hop:
                with _told(here.host):
                    async with asyncio.timeout(self._answer_s):
                        response = await self._hop(hop, method, here)
                location = response.headers.get("location", "")
                if response.status_code not in _REDIRECTS or not location:
                    with _told(here.host):
                        yield response
                    return
            here = _parse(location, here)
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer's head to a body; no redirect is followed. Raises FetchError."""
        here = _parse(url)
        async with contextlib.AsyncExitStack() as hop:
            with _told(here.host):
                async with asyncio.timeout(self._answer_s):
                    return await self._hop(hop, "POST", here, content, headers)

    async def _hop(
        self,
        hop: contextlib.AsyncExitStack,
        method: str,
        url: httpx.URL,
        content: bytes | None = None,
        more: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        if url.scheme not in ("http", "https") or url.scheme not in self.rules.schemes:
            raise FetchError(f"scheme {url.scheme or '(none)'} is refused")
        addresses = await self._judged(url.raw_host.decode("ascii"))
        for address in addresses[:-1]:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._ask(hop, method, url, address, content, more or {})
        return await self._ask(hop, method, url, addresses[-1], content, more or {})

    async def _judged(self, host: str) -> list[str]:
        """Addresses of a host, all of them allowed. Raises FetchError: none, or one that is not."""
        if not host:
            raise FetchError("the URL names no host")
        written = await _in_thread(self._net.resolve, host)
        # A link-local address may come with its zone: fe80::1%eth0.
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in written]
        if not addresses:
            raise FetchError(f"{host} has no address")
        refused = next((address for address in addresses if not self._net.is_public(address)), None)
        if refused is not None and not self.rules.private:
            raise FetchError(f"{host} leads to the private address {refused}. To allow it, {self.rules.permit}")
        return list(written)

    async def _ask(
        self, hop: contextlib.AsyncExitStack, method: str, url: httpx.URL, address: str, content: bytes | None, more: Mapping[str, str]
    ) -> httpx.Response:
        # A client for each hop: a pooled TLS connection to an address would serve any name that shares it, unverified.
        client = httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._timeout)
        headers = {"host": url.netloc.decode("ascii"), "accept": "*/*", "accept-encoding": "identity", "user-agent": "channeld", **more}
        await hop.enter_async_context(client)
        request = client.build_request(
            method,
            url.copy_with(host=address),
            content=content,
            headers=headers,
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        response = await client.send(request, stream=True)
        hop.push_async_callback(response.aclose)
        return response


def _parse(written: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        return httpx.URL(written) if base is None else base.join(written)
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError("not a valid URL" if base is None else "redirected to something that is not a valid URL") from error


async def _in_thread(resolve: Resolver, host: str) -> Sequence[str]:
    """Resolve without holding up the loop. Raises FetchError."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(found: Sequence[str]) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        try:
            found = resolve(host)
        except (OSError, UnicodeError):
            found = ()
        # getaddrinfo(3) cannot be interrupted: an answer may come when nobody waits for it any more and the loop is closed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found)

    # Not the loop's own pool: its end is waited for, this thread's is bounded by the resolver's own time limits.
    threading.Thread(target=ask, name="resolve:url", daemon=True).start()
    return await answer


@contextlib.contextmanager
def _told(host: str) -> Iterator[None]:
    """Say in one sentence what went wrong with a host."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise FetchError(f"{host} did not answer in time") from error
    except httpx.ConnectError as error:
        raise FetchError(_reason(host, error)) from error
    except (httpx.TransportError, ssl.SSLError) as error:
        raise FetchError(f"{host} broke off: {error or 'the connection was closed'}") from error


def _reason(host: str, error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: the certificate of {host} is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS with {host} failed: {cause.reason or cause}"
        cause = cause.__cause__ or cause.__context__
    return f"no connection to {host}"
