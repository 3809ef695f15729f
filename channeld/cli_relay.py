"""`channeld relay URL`: one live source as HLS and as an endless stream, without a configuration of one's own.

Rule: everything stands below one folder (a temporary one, unless it is named) on free ports; it ends with Ctrl-C, as `run` does.
"""

import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer
import yaml

from channeld.base.errors import ConfigError
from channeld.base.redact import redact_url
from channeld.cli_demo import free_port
from channeld.cli_render import show_note
from channeld.cli_verb import verb_of

READY_TIMEOUT_S = 120.0
NAME = "relay"

relays = typer.Typer()
_verb = verb_of(relays)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    urls: list[str]
    listen: str
    segment_s: float
    window: int
    size: str | None
    fps: str | None
    transport: str
    makes_hls: bool
    pushes: list[str]


def configuration(wanted: Wanted, folder: Path, *, admin_port: int) -> dict[str, object]:
    """As `run` reads it."""
    size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", wanted.size or "1280x720")
    if size is None:
        raise ConfigError(f"{wanted.size!r} is no size. Write it as 1280x720", key="--size")
    profile = {"width": int(size[1]), "height": int(size[2]), "fps": wanted.fps or 30, "gop_seconds": min(2.0, wanted.segment_s)}
    sources = [_source(url, wanted.transport) for url in wanted.urls]
    hls = {"hls": {"segment_seconds": wanted.segment_s, "window": wanted.window}}
    pushes = ({"srt" if url.startswith("srt:") else "rtmp": url} for url in wanted.pushes)
    outputs = [*([hls] if wanted.makes_hls else []), {"ts": {}}, *pushes]
    return {
        **{f"{name}_dir": str(folder / name) for name in ("state", "runtime", "hls")},
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "media": {"listen": wanted.listen},
        "log": {"level": "warning"},
        "profiles": {NAME: profile},
        "defaults": {"profile": NAME},
        "channels": {NAME: {"sources": sources, "outputs": outputs}},
    }


def _source(url: str, transport: str) -> dict[str, object]:
    if url == "pattern":
        return {"pattern": True}
    return {"url": url, "transport": transport} if url.startswith("rtsp") else {"url": url}


@contextlib.contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    """The named one, kept; else one that goes."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="channeld-relay-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write_privately(path: Path, text: str) -> None:
    """An address may hold a password; and whoever could read a file of that name before does not read this one."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


class _Announcer(threading.Thread):
    """Says where to watch, once there is something to see."""

    def __init__(self, wanted: Wanted, say: Callable[[str], None]) -> None:
        super().__init__(name="relay:announcer", daemon=True)
        self._wanted, self._say = wanted, say

    def run(self) -> None:
        base = f"http://{self._wanted.listen}"
        hls = f"{base}/hls/{NAME}/index.m3u8"
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self._wanted.makes_hls and time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if "#EXTINF" in httpx.get(hls, timeout=2.0).text:
                    break
            time.sleep(0.3)
        shown = ", ".join(redact_url(url) for url in self._wanted.urls)
        lines = [f"Relaying {shown}. Watch:", *([f"  {hls}"] if self._wanted.makes_hls else []), f"  {base}/ts/{NAME}", "Ctrl-C ends it."]
        self._say("\n".join(lines))


@_verb
def relay(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="The source, and its backups in order; `pattern`: a test pattern.")],
    listen: Annotated[str, typer.Option(help="Address for viewers.")] = "127.0.0.1:8090",
    hls: Annotated[bool, typer.Option(help="Make HLS, too.")] = True,
    segment_seconds: Annotated[float, typer.Option(help="Longest HLS segment.")] = 4.0,
    window: Annotated[int, typer.Option(help="Segments in the manifest.")] = 6,
    size: Annotated[str | None, typer.Option(help="Size of the picture, such as 1920x1080.")] = None,
    fps: Annotated[str | None, typer.Option(help="Frames per second.")] = None,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    push: Annotated[list[str] | None, typer.Option(help="Push to this RTMP or SRT address as well.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Keep prepared slates and state here.")] = None,
) -> int:
    """Relay a live source: rtsp://… as HLS and as an endless stream, for any number of viewers. Ctrl-C ends it."""
    from channeld.daemon import run as run_daemon

    wanted = Wanted(urls, listen, segment_seconds, window, size, fps, transport, hls, push or [])
    with _folder(folder) as place:
        path = place / "relay.yaml"  # not channeld.yaml: a named folder may be one that has a configuration
        _write_privately(path, yaml.safe_dump(configuration(wanted, place, admin_port=free_port(8080))))
        _Announcer(wanted, show_note).start()
        return run_daemon(path)
