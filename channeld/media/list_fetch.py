"""A list of channels over HTTP or from a file, into memory: bounded in bytes and time, from judged addresses and folders only.

Rule: no answer and no file is read past the cap, and no error tells more of a URL than its host. Blocking; run by whoever refreshes lists.
"""

import asyncio
import os
import re
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from channeld.media.fetch import Stop, check_status, run_until_stopped
from channeld.media.opened import open_for_reading
from channeld.media.pinned import FetchError, FetchRules, Net, PinnedClient

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ListLimits:
    """Bounds of one fetch."""

    max_bytes: int = 16 << 20
    answer_s: float = 20.0
    silence_s: float = 20.0
    total_s: float = 120.0


class ListReader:
    """Reads lists by URL, or by path below one of `roots`; relative paths start at `base`. Safe from any thread."""

    def __init__(
        self,
        rules: FetchRules,
        roots: Sequence[Path],
        *,
        base: Path = Path("/"),
        net: Net | None = None,
        limits: ListLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._roots, self._base = tuple(roots), base
        self._limits = limits or ListLimits()
        tls = tls or ssl.create_default_context()
        self._client = PinnedClient(rules, net or Net(), tls, answer_s=self._limits.answer_s, read_s=self._limits.silence_s)

    def read(self, source: str, should_stop: Stop) -> bytes:
        """What the list is now. Raises FetchError, FetchStopped."""
        if _URL.match(source):
            return run_until_stopped(self._fetch(source), should_stop)
        return self._read(source)

    async def _fetch(self, url: str) -> bytes:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.total_s), self._client.answer("GET", url) as answer:
                check_status(answer)
                coding = answer.headers.get("content-encoding", "identity")
                if coding != "identity":
                    raise FetchError(f"the server sends the list in {coding[:40]} coding, which was not asked for")
                content = bytearray()
                async for chunk in answer.aiter_raw():
                    content += chunk
                    self._check_size(len(content))
                return bytes(content)
        except TimeoutError as error:
            raise FetchError(f"not fetched within {limits.total_s:g} s") from error

    def _read(self, written: str) -> bytes:
        try:
            path = Path(os.path.realpath(self._base / written))
            if not any(path.is_relative_to(os.path.realpath(root)) for root in self._roots):
                raise FetchError("the file lies outside of the folders that lists may be read from. Move it, or allow its folder")
            with open_for_reading(path) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FetchError("this is a folder, a pipe or a device, not a file")
                content = file.read(self._limits.max_bytes + 1)
        except OSError as error:
            raise FetchError(f"the file cannot be read: {error.strerror or error}") from error
        except ValueError as error:  # a NUL in the path
            raise FetchError("this is no path of a file") from error
        self._check_size(len(content))
        return content

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise FetchError(f"the list is larger than {self._limits.max_bytes >> 20} MiB. Import a part of it")
