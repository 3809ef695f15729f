"""Requests that nobody means well with, as Hypothesis draws them, sent as bytes: no HTTP client tidies them up.

Rule: all of a request is right but for one part, so that this part is what is judged.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

UNSAFE = ("post", "put", "patch", "delete")
_TRICKS = (
    *(
        "",
        " ",
        ".",
        "..",
        "../../../etc/passwd",
        "/etc/passwd",
        "outside/secret.mp4",
        "link/secret.mp4",
        "a.mp4\nb.mp4",
        "a.mp4\r\n#EXTM3U",
    ),
    *("a.mp4\x00.txt", "-i", "concat:a.mp4|b.mp4", "file:///etc/passwd", "http://127.0.0.1:1/", "http://169.254.169.254/latest", "pipe:0"),
    *("%2e%2e%2f", "%00", "{{7*7}}", "${HOME}", "$(reboot)", "'; DROP TABLE airings;--", "\x1b[2J\x07", "\u202egpj.4pm", "e\u0301" * 500),
    *(
        "null",
        "NaN",
        "-1",
        "1e999",
        "0x10",
        "9" * 400,
        "é" * 4097,
        "a/" * 3000,
        "!!python/object/apply:os.system [id]",
        "&a [*a]",
        "- x: {",
    ),
)
_ODD_NUMBERS = (-1, 0, 2**31, 2**63, 2**64, 10**400, -(10**30), 1e308, -0.0, 5e-324)
_ADDRESSES = count()

TEXT = st.sampled_from(_TRICKS) | st.text(max_size=60)
JSON = st.recursive(
    TEXT | st.none() | st.booleans() | st.integers() | st.sampled_from(_ODD_NUMBERS) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
BYTES = st.binary(max_size=200) | st.sampled_from(
    [
        b"[" * 20_000,
        b'{"a":' * 5_000,
        b'{"path": NaN}',
        b'{"path": "a.mp4", "path": "/etc/passwd"}',
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 70_000,
    ]
)
_HEADER_NAMES = (
    *("If-Match", "Content-Type", "Content-Encoding", "Authorization", "Cookie", "X-CSRF-Token", "Origin", "Host", "Accept", "Expect"),
    *("Content-Length", "Transfer-Encoding", "X-HTTP-Method-Override", "X-Forwarded-Host", "X-Forwarded-For", "Last-Event-ID", "Range"),
    *("Upload-Length", "Upload-Offset", "Upload-Metadata", "Tus-Resumable", "Upgrade", "Connection", "Bad Name", ""),
)
_HEADER_VALUES = st.binary(max_size=80) | st.sampled_from(
    [
        b"\r\nX-Injected: 1",
        b"\x00",
        b"*, *",
        b'"' * 3000,
        b"\xe2\x82\xac",
        b"-1",
        b"abc",
        b"1, 2",
        b"gzip",
        b"chunked, identity",
        b"evil.example",
        b"a" * 20_000,
    ]
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request. `template` is the operation's path in the document."""

    method: str
    template: str
    names: Mapping[str, str]
    query: str = ""
    headers: tuple[tuple[str, bytes], ...] = ()
    body: bytes = b""

    @property
    def target(self) -> str:
        path = self.template
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
        return path + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def right(method: str, template: str, operation: Mapping[str, Any]) -> Wanted:
    """The request as its example in the document has it; of playlists whatever is there may be overwritten."""
    names = {"channel": "live1", "entry": "{entry}", "name": "wall", "upload": "0" * 32}
    names |= {"profile_id": "1", "proxy_id": "tv", "channel_id": "news", "config_id": "1"}
    content = operation.get("requestBody", {}).get("content", {})
    kind = next((known for known in ("application/json", *content) if known in content), None)
    example = content.get(kind, {}).get("example", "")
    if isinstance(example, dict) and "path" in example:
        example = {"path": "b.mp4"}  # one that is there
    body = json.dumps(example).encode() if kind is not None else b""
    headers = [("Content-Type", kind.encode())] if kind is not None else []
    headers += [("If-Match", b"*"), ("Tus-Resumable", b"1.0.0"), ("Upload-Offset", b"0"), ("Upload-Length", b"9")]
    headers += [("Upload-Metadata", b"filename bmV3Lm1wNA==")]
    # A restart that is taken would have all others wait.
    query = "part=nothing" if template.endswith("/v1/restart") else ""
    used = {name: value for name, value in names.items() if f"{{{name}}}" in template}
    return Wanted(method.upper(), template, used, query, tuple(headers), body)


@st.composite
def with_hostile_path(draw: st.DrawFn, request: Wanted) -> Wanted:
    """One name in its path is another one."""
    name = draw(st.sampled_from(sorted(request.names)))
    return replace(request, names={**request.names, name: draw(TEXT)})


@st.composite
def with_hostile_query(draw: st.DrawFn, request: Wanted) -> Wanted:
    """One parameter that it takes, or does not."""
    name = draw(st.sampled_from(["dry_run", "part", "limit", "after", "token", "channel"]) | TEXT)
    value = draw(TEXT)
    if request.query:
        name, value = "part", f"no {value}"
    return replace(request, query=f"{quote(name, safe='', errors='surrogatepass')}={quote(value, safe='', errors='surrogatepass')}")


@st.composite
def with_hostile_header(draw: st.DrawFn, request: Wanted) -> Wanted:
    """One header is another, there twice, or not a header at all."""
    name, value = draw(st.sampled_from(_HEADER_NAMES)), draw(_HEADER_VALUES)
    kept = [pair for pair in request.headers if pair[0] != name or draw(st.booleans())]
    return replace(request, headers=(*kept, (name, value)))


@st.composite
def with_hostile_body(draw: st.DrawFn, request: Wanted) -> Wanted:
    """Bytes, another value, or the example with one field that is different, too many or missing."""
    example = json.loads(request.body) if request.body else {}
    if draw(st.integers(0, 4)) == 0:
        body = draw(BYTES)
    elif not isinstance(example, dict) or draw(st.integers(0, 4)) == 0:
        body = json.dumps(draw(JSON)).encode()
    else:
        field = draw(
            st.sampled_from([*example, "title", "in", "out", "duration", "repeat", "before", "after", "to_index", "entries"]) | TEXT
        )
        value = draw(JSON)
        changed = {key: kept for key, kept in example.items() if key != field} | ({} if draw(st.integers(0, 5)) == 0 else {field: value})
        body = json.dumps(changed).encode()
    query = "dry_run=true" if "/playlist" in request.template and draw(st.booleans()) else request.query
    return replace(request, body=body, query=query)


def send(request: Wanted, port: int, token: str) -> Answer:
    """Send it from an address of its own, as wrong tokens are counted; what comes back first is the answer."""
    number = next(_ADDRESSES)
    head = [f"{request.method} {request.target} HTTP/1.1".encode("latin-1")]
    said = {name.lower() for name, _ in request.headers}
    own = {"host": f"127.0.0.1:{port}", "authorization": f"Bearer {token}", "connection": "close", "content-length": str(len(request.body))}
    head += [f"{name}: {value}".encode() for name, value in own.items() if name not in said]
    head += [f"{name}: ".encode() + value for name, value in request.headers]
    with socket.create_connection(("127.0.0.1", port), 30, (f"127.1.{number // 250 % 250}.{number % 250 + 1}", 0)) as connection:
        connection.settimeout(30)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer and hang up before all was sent
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + request.body)
        answer = http.client.HTTPResponse(connection, method=request.method)
        answer.begin()
        body = answer.read()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
