"""Media files over HTTP, brought to the disk so that FFmpeg never opens a URL.

Rule: bounded in bytes, room on the disk, time and silence; what is not a plain file is refused. A download is the caller's until it removes
it, and none outlives a restart. Blocking; run by the library's URL threads, one event loop for each call.

Looking is cheap (HEAD, or a GET that is dropped after its head) and gives an identity: what the server says of the content. Where it says
nothing, a change cannot be seen.
"""

import asyncio
import http
import re
import shutil
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import unquote

import httpx

from channeld.base.errors import ChannelError, PrepareError
from channeld.media.pinned import FetchError, FetchRules, Net, PinnedClient

POLL_S = 0.2
ROOM_CHECK_BYTES = 16 << 20
HEAD_BYTES = 64
MAX_FIELD = 200
MAX_NAME = 80

T = TypeVar("T")
Stop = Callable[[], bool]


class FetchStopped(ChannelError):
    """The fetch was stopped because we asked for it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one download. In every `stall_s` at least `stall_bytes` must come; `reserve_bytes` of the disk stay free."""

    max_bytes: int = 16 << 30
    reserve_bytes: int = 1 << 30
    answer_s: float = 20.0
    stall_s: float = 60.0
    stall_bytes: int = 256 << 10
    total_s: float = 6 * 3600.0


class Fetcher:
    """Looks at URLs and downloads them below `folder`. Safe from any thread."""

    def __init__(
        self,
        rules: FetchRules,
        folder: Path,
        *,
        net: Net | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        tls = tls or ssl.create_default_context()
        self._client = PinnedClient(rules, net or Net(), tls, answer_s=self._limits.answer_s, read_s=self._limits.stall_s)

    @property
    def rules(self) -> FetchRules:
        """What may be fetched; may be set at any time and counts from the next hop on."""
        return self._client.rules

    @rules.setter
    def rules(self, rules: FetchRules) -> None:
        self._client.rules = rules

    def look(self, url: str, should_stop: Stop) -> str:
        """The content's identity, as the server tells it. Raises FetchError, FetchStopped."""
        return run_until_stopped(self._look(url), should_stop)

    def fetch(self, url: str, should_stop: Stop) -> Path:
        """Download a file; it has a folder of its own and the URL's name.

        Raises FetchError, FetchStopped, OSError; PrepareError for what will never be a clip: too large, or a stream.
        """
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=self._folder)) / file_name(url)
        is_whole = False
        try:
            run_until_stopped(self._fetch(url, path), should_stop)
            is_whole = True
        finally:
            if not is_whole:
                self.remove(path)
        return path

    def remove(self, path: Path) -> None:
        """Remove a download and its folder."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def clear(self) -> None:
        """Remove all downloads, those of dead runs too."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _look(self, url: str) -> str:
        async with self._client.answer("HEAD", url) as answer:
            if answer.status_code == http.HTTPStatus.OK:
                return _identity(answer)
        # Some servers know no HEAD, or refuse it: what GET says stands.
        async with self._client.answer("GET", url) as answer:
            check_status(answer)
            return _identity(answer)

    async def _fetch(self, url: str, path: Path) -> None:
        try:
            async with asyncio.timeout(self._limits.total_s), self._client.answer("GET", url) as answer:
                check_status(answer)
                coding = answer.headers.get("content-encoding", "identity")
                if coding != "identity":
                    raise FetchError(f"the server sends the file in {coding[:40]} coding, which was not asked for")
                await self._save(answer, path)
        except TimeoutError as error:
            raise FetchError(f"not downloaded within {self._limits.total_s:g} s") from error

    async def _save(self, answer: httpx.Response, path: Path) -> None:
        limits, loop = self._limits, asyncio.get_running_loop()
        declared = _number(answer.headers.get("content-length"))
        with path.open("xb") as file:
            sink = _Sink(file, path.parent, limits)
            sink.check_size(declared)
            sink.check_room(declared)
            progress = 0
            try:
                async with asyncio.timeout(limits.stall_s) as patience:
                    async for chunk in answer.aiter_raw():
                        sink.feed(chunk)
                        progress += len(chunk)
                        if progress >= limits.stall_bytes:
                            progress = 0
                            patience.reschedule(loop.time() + limits.stall_s)
            except TimeoutError as error:
                raise FetchError(f"stalled: less than {limits.stall_bytes} bytes came in {limits.stall_s:g} s") from error


class _Sink:
    """The file being written, within its bounds."""

    def __init__(self, file: BinaryIO, folder: Path, limits: Limits) -> None:
        self._file, self._folder, self._limits = file, folder, limits
        self._size = self._unchecked = 0
        self._head = b""

    def feed(self, chunk: bytes) -> None:
        """Take bytes. Raises PrepareError, FetchError, OSError."""
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + chunk)[:HEAD_BYTES]
            if self._head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"#EXTM3U"):
                raise PrepareError("the URL is a stream, not a file: it answers with an HLS manifest")
        self._size += len(chunk)
        self._unchecked += len(chunk)
        self.check_size(self._size)
        if self._unchecked >= ROOM_CHECK_BYTES:
            self._unchecked = 0
            self.check_room(0)
        self._file.write(chunk)

    def check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise PrepareError(f"too large: a URL may have {self._limits.max_bytes >> 20} MiB at most")

    def check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free - self._limits.reserve_bytes
        if size > free:
            raise FetchError(f"no room on the cache's disk: {max(free, 0) >> 20} MiB may be used for downloads")


def file_name(url: str) -> str:
    """The last part of the URL's path as a harmless file name."""
    name = unquote(url.partition("?")[0].partition("#")[0].partition("://")[2].partition("/")[2].rpartition("/")[2])
    return re.sub(r"[^A-Za-z0-9 ._-]", "_", name)[-MAX_NAME:].lstrip(". ") or "download"


def run_until_stopped(work: Coroutine[None, None, T], should_stop: Stop) -> T:
    """What the work gives, in an event loop of its own. Raises FetchStopped; whatever the work raises."""
    return asyncio.run(_until_stopped(work, should_stop))


async def _until_stopped(work: Coroutine[None, None, T], should_stop: Stop) -> T:
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
        if should_stop():
            task.cancel()
            await asyncio.wait({task})
            raise FetchStopped("stopped")
    return task.result()


def check_status(answer: httpx.Response) -> None:
    """Raises FetchError for every answer but 200."""
    status = answer.status_code
    if status != http.HTTPStatus.OK:
        phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else "unknown status"
        raise FetchError(f"the server answered {status} ({phrase})")


def _identity(answer: httpx.Response) -> str:
    return "|".join(answer.headers.get(field, "")[:MAX_FIELD] for field in ("etag", "last-modified", "content-length"))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0
