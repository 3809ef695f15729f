"""Hostile lists, files and requests to a daemon under strace: no file outside was opened, and no connection was made.

Rule: one daemon takes everything at once while it is on air; then its trace is judged. What it must have looked at is asserted too, so
that an empty trace proves nothing.
"""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clips import numbered_clip
from hostile import FILES, URL_SECRET, entries
from nginx_origin import wait_until
from running import command_line, free_ports
from tracing import STRACE, Canary, Trace, TracedDaemon

pytestmark = pytest.mark.skipif(STRACE is None, reason="no strace on this machine")
KEY = "stream-key-that-nobody-may-see"
TITLE = "x':textfile=/etc/passwd:movie='"


@dataclass(frozen=True, slots=True)
class Attacked:
    """The daemon, its folders, and whoever was reached."""

    daemon: TracedDaemon
    media: Path
    outside: Path
    canary: Canary
    push_port: int

    @property
    def trace(self) -> Trace:
        return self.daemon.trace


class Swapper(threading.Thread):
    """Puts a link to the outside into a clip's place and takes it away again, as fast as it can."""

    def __init__(self, clip: Path, outside: Path) -> None:
        super().__init__(name="test:swapper", daemon=True)
        self._clip, self._aside, self._outside = clip, clip.with_name(".aside"), outside
        self.ending = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        link = self._clip.with_name(".link")
        while not self.ending.wait(0.002):
            os.link(self._clip, self._aside)
            link.symlink_to(self._outside)
            link.rename(self._clip)
            self.ending.wait(0.002)
            self._aside.rename(self._clip)
            self.swaps += 1


def lay_out(folder: Path, canary: Canary) -> tuple[Path, Path]:
    """Media root and outside."""
    media, outside = folder / "media", folder / "outside"
    media.mkdir()
    outside.mkdir()
    clip = numbered_clip(folder / "made.mp4", frames=50, size=(320, 180))
    for path in (media / "good.mp4", media / "swapped.mp4", outside / "secret.mp4"):
        path.write_bytes(clip.read_bytes())
    for name in ("secret.ts", "secret.txt", "segment-0000000001.ts"):
        (outside / name).write_text("a secret of the outside")
    (media / "link.mp4").symlink_to(outside / "secret.mp4")
    (media / "folder-link").symlink_to(outside)
    for name, make in FILES.items():
        make(media / name, outside / "secret.mp4", f"http://127.0.0.1:{canary.port}")
    return media, outside


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("attacked")
    canary = Canary()
    media, outside = lay_out(folder, canary)
    (push_port,) = free_ports(1)
    (folder / "key").write_text(KEY)
    outputs = [{"hls": {"segment_seconds": 1}}, {"rtmp": {"url": f"rtmp://127.0.0.2:{push_port}/live", "key_file": str(folder / "key")}}]
    daemon = TracedDaemon(folder / "daemon", {"air": {"playlist": str(media / "list.m3u"), "outputs": outputs}})
    daemon.config["media_roots"] = []
    (media / "list.m3u").write_text(f"#EXTM3U\n#EXTINF:2,{TITLE}\ngood.mp4\n")
    swapper = Swapper(media / "swapped.mp4", outside / "secret.mp4")
    try:
        daemon.start()
        daemon.wait_for("air", lambda channel: channel["now"] and channel["now"]["path"], what="a clip on air", timeout_s=90)
        swapper.start()
        lines = ["good.mp4", *FILES, "swapped.mp4", *entries(outside, canary.port)]
        (media / "list.m3u").write_text("#EXTM3U\n" + "".join(f"#EXTINF:2,{TITLE}\n{line}\n" for line in lines))
        wanted = {str(media / name) for name in FILES}
        wait_until(lambda: wanted <= daemon.refusals().keys(), what="every hostile file to be refused", timeout_s=120)
        yield Attacked(daemon, media, outside, canary, push_port)
    finally:
        swapper.ending.set()
        swapper.join(5)
        daemon.stop()
        canary.close()


def test_every_hostile_file_was_looked_at_and_refused(attacked: Attacked) -> None:
    """Else the trace of what was not opened would prove nothing."""
    looked_at = attacked.trace.opened()
    assert [name for name in FILES if str(attacked.media / name) not in looked_at] == []
    assert set(attacked.daemon.refusals()) <= {str(attacked.media / name) for name in (*FILES, "swapped.mp4")}


def test_every_line_that_leads_elsewhere_is_marked_with_its_fault(attacked: Attacked) -> None:
    with attacked.daemon.client() as client:
        answer = client.get("/api/v1/channels/air/playlist", headers={"Accept": "application/json"}).json()
    usable = {entry["path"] for entry in answer["entries"] if entry["fault"] is None}
    # The link that comes and goes may have been either at the moment when the list was read.
    assert usable <= {"good.mp4", "swapped.mp4", *FILES}
    assert len(answer["entries"]) == 2 + len(FILES) + len(entries(attacked.outside, attacked.canary.port))


def test_no_file_outside_of_the_media_root_was_opened(attacked: Attacked) -> None:
    assert attacked.trace.asked_below(attacked.outside) == set()


def test_no_file_of_the_system_that_a_list_or_title_named_was_opened(attacked: Attacked) -> None:
    ffmpegs = [line for line in attacked.trace.lines() if "/etc/passwd" in line and "media" in line]
    assert ffmpegs == []
    assert "/dev/zero" not in attacked.trace.opened()
    assert not [path for path in attacked.trace.opened() if re.fullmatch(r"/proc/\d+/environ", path)]


def test_every_ffmpeg_was_started_with_its_lists_and_without_a_terminal(attacked: Attacked) -> None:
    commands = [words for words in attacked.trace.started("ffmpeg", "ffprobe") if "-i" in words or "..." in words or len(words) >= 32]
    # x264's version is asked of a picture that FFmpeg makes itself.
    commands = [words for words in commands if not any(word.startswith("color=s=16x16") for word in words)]
    kinds = {words[0].rpartition("/")[2] for words in commands}
    assert kinds == {"ffmpeg", "ffprobe"} and any("-fifo_format" in words or "mpegts" in words for words in commands)
    for words in commands:
        assert [option for option in ("-protocol_whitelist", "-format_whitelist", "-codec_whitelist") if option not in words] == [], words
        assert words[0].endswith("ffprobe") or "-nostdin" in words
        lists = " ".join(words)
        assert "magicyuv" not in lists and "concat" not in lists and "svg" not in lists
    wrapped = attacked.trace.started("setpriv")
    assert wrapped and all("--pdeathsig" in words for words in wrapped)
    limited = [words for words in attacked.trace.started("prlimit") if any(word.endswith(("ffmpeg", "ffprobe")) for word in words)]
    assert len(limited) >= len(FILES)  # a start that another process interrupted is told in two lines
    for words in limited:
        assert {option.partition("=")[0] for option in words} >= {"--as", "--fsize", "--nproc", "--nofile", "--cpu", "--core"}, words
    assert not [words for words in attacked.trace.started("sh", "bash", "dash") if words]


def test_nobody_was_connected_to_but_the_push_and_our_own_listeners(attacked: Attacked) -> None:
    """The daemon looks at its own manifest as a viewer would."""
    daemon = attacked.daemon
    own = {("127.0.0.1", daemon.media_port), ("127.0.0.1", daemon.admin_port), ("127.0.0.2", attacked.push_port)}
    spoken = {address for address in attacked.trace.addresses() if address[1] != 0}
    assert ("127.0.0.2", attacked.push_port) in spoken  # so connections are seen at all
    assert spoken - own == set()
    assert attacked.canary.visits == []


ESCAPES = (
    *("/hls/../outside/secret.ts", "/hls/air/../../outside/secret.ts", "/hls/air/..%2f..%2foutside%2fsecret.ts", "/hls//etc/passwd"),
    *(
        "/hls/%2e%2e/%2e%2e/etc/passwd",
        "/hls/air/segment-0000000001.ts%00.png",
        "/hls/air/segment-9999999999.ts",
        "/hls/air/.",
        "/hls/./air/",
    ),
    *("/hls/air/index.m3u8/../../../../etc/passwd", "/ts/../../etc/passwd", "/hls/air/%c0%ae%c0%ae/secret.ts", "/hls/air\\..\\secret.ts"),
)


@pytest.mark.parametrize("listener", ["media", "admin"])
def test_no_request_gets_a_file_from_elsewhere(attacked: Attacked, listener: str) -> None:
    """A link with the name of a segment is not followed either."""
    daemon = attacked.daemon
    link = daemon.folder / "hls" / "air" / "segment-9999999999.ts"
    if not link.is_symlink():
        link.symlink_to(attacked.outside / "segment-0000000001.ts")
    port = daemon.media_port if listener == "media" else daemon.admin_port
    for path in ESCAPES:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
            answer = b"".join(iter(lambda peer=peer: peer.recv(65_536), b""))  # type: ignore[misc]
        assert answer.split(b" ", 2)[1] in (b"307", b"400", b"401", b"404"), (path, answer[:200])
        assert b"secret of the outside" not in answer and b"root:" not in answer
    assert attacked.trace.asked_below(attacked.outside) == set()


def family_pids(daemon: TracedDaemon) -> list[int]:
    """The daemon and everything below it."""
    return [daemon.pid, *(process.pid for process in daemon.family())]


def shown_of(pid: int) -> bytes:
    """Arguments and environment of a process; nothing of one that has just ended."""
    shown = b""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            shown += Path(f"/proc/{pid}/{name}").read_bytes()
    return shown


@pytest.mark.parametrize("secret", [KEY, URL_SECRET])
def test_neither_stream_keys_nor_passwords_of_urls_show_anywhere(attacked: Attacked, secret: str) -> None:
    """Not in logs, answers, the store, names of files, or what every user of the machine can read of our processes."""
    daemon = attacked.daemon
    with daemon.client() as client:
        routes = ("/api/v1/channels", "/api/v1/channels/air", "/api/v1/status", "/api/v1/as-run", "/metrics", "/readyz", "/healthz")
        assert [route for route in routes if secret in client.get(route).text] == []
    pushes = [process for process in daemon.family() if "-fifo_format" in command_line(process)]
    assert pushes
    assert [pid for pid in family_pids(daemon) if secret.encode() in shown_of(pid)] == []
    # The copy of the last valid list is the list, with all that its author wrote; nobody else may read it.
    lists = daemon.folder / "state" / "playlists"
    assert lists.stat().st_mode & 0o007 == 0
    files = [path for path in (daemon.folder / "state").rglob("*") if path.is_file() and not path.is_relative_to(lists)]
    written = [path for path in files if path.suffix not in (".ts", ".idx")]
    assert [path for path in (*written, daemon.log_path) if secret.encode() in path.read_bytes()] == []
    assert not [path for path in daemon.folder.rglob("*") if secret in path.name]


def test_the_admin_token_stands_in_its_file_and_nowhere_else(attacked: Attacked) -> None:
    token = (attacked.daemon.folder / "state" / "admin.token").read_bytes().strip()
    written = [path for path in (attacked.daemon.folder / "state").rglob("*") if path.is_file() and path.name != "admin.token"]
    assert [path for path in (*written, attacked.daemon.log_path) if token in path.read_bytes()] == []
    assert [pid for pid in family_pids(attacked.daemon) if token in shown_of(pid)] == []


def test_the_channel_stayed_on_air_with_its_good_clip(attacked: Attacked) -> None:
    assert attacked.daemon.channel("air")["state"] == "on_air"
    assert {path for path in attacked.daemon.aired("air") if path} <= {"good.mp4", "swapped.mp4"}
