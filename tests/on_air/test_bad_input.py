"""Hostile and broken input to a running daemon: each is refused in words that name the place, and the air never shows it.

Rule: the stream of the whole module is judged at the end; only the clips of the valid list may be in it.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from clips import text_file, truncated_clip
from judge.ts import read_ts
from recordings import TsRecorder
from running import FPS, RunningDaemon
from timeline import DECK, WATCHED, content_faults, timeline_of

VALID = [f"{name}" for name in DECK]
SECRET = "never-to-be-aired"
CONCAT = "ffconcat version 1.0\nfile 'd0.mp4'\nfile '/etc/hostname'\n"
REMOTE = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"


@dataclass(frozen=True, slots=True)
class Target:
    """A channel on air, its list, and a viewer who keeps what it sees."""

    daemon: RunningDaemon
    folder: Path
    viewer: TsRecorder

    @property
    def playlist(self) -> Path:
        return self.folder / "air.yaml"

    def write_valid(self, *more: str) -> None:
        """The good list, and further entries; taken by rename, whatever stands at the path."""
        temporary = self.folder / ".air.yaml"
        temporary.write_text(yaml.safe_dump([*VALID, *more], allow_unicode=True))
        if self.playlist.is_dir() and not self.playlist.is_symlink():
            self.playlist.rmdir()
        temporary.replace(self.playlist)

    def revision(self) -> int:
        return int(self.daemon.channel("air")["revision"])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("target")
    for name in DECK:
        (folder / name).write_bytes((deck / name).read_bytes())
    daemon = RunningDaemon(folder / "daemon", {"air": {"playlist": str(folder / "air.yaml"), "outputs": [{"ts": {}}]}}, cache=prepared)
    # The daemon's own folder stands below this one; roots are what a playlist may reach.
    daemon.config["media_roots"] = [str(folder)]
    made = Target(daemon, folder, TsRecorder(daemon.ts_url("air"), folder / "air.ts"))
    made.write_valid()
    try:
        daemon.start()
        made.viewer.start()
        yield made
    finally:
        made.viewer.close()
        daemon.stop()


# -- configuration ----------------------------------------------------------------------------------------------

CONFIGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown key": ("channels:\n  a: {playlist: a.txt, fillr: x.png}\n", (":2:", "filler")),
    "not YAML": ("channels: [\n", ("bad.yaml:2", "YAML")),
    "aliases": ("a: &a [x]\nb: [*a, *a]\nchannels: {}\n", ("bad.yaml:1", "alias")),
    "wrong type": ("channels:\n  a:\n    playlist: a.txt\n    outputs: [{hls: {window: many}}]\n", (":4:", "window")),
    "two errors at once": (
        "hosts: 0\nchannels:\n  a: {playlist: a.txt, outputs: [{rtmp: 'gopher://x/y'}]}\n",
        (":1:", "hosts", ":3:", "rtmp"),
    ),
    "larger than the cap": ("# " + "x" * 300_000 + "\nchannels: {}\n", ("bad.yaml", "262144")),
    "no text": ("\x00\x01\x02", ("bad.yaml",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration_is_refused_at_start_with_every_place_named(tmp_path: Path, name: str) -> None:
    text, words = CONFIGS[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    command = [sys.executable, "-m", "channeld", "run", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == [path]


# -- playlists --------------------------------------------------------------------------------------------------


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(64 << 20)


def _as(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else than a file at the path."""

    def place(path: Path) -> None:
        path.unlink()
        make(path)

    return place


PLAYLISTS: dict[str, tuple[Callable[[Path], object], int | None, str]] = {
    "YAML error": (lambda path: path.write_text("- d0.mp4\n- path: a: b\n"), 2, "not valid YAML"),
    "misspelt key": (lambda path: path.write_text("- d0.mp4\n- {path: d1.mp4, titel: x}\n"), 2, "did you mean 'title'"),
    "alias bomb": (lambda path: path.write_text("- &a d0.mp4\n- *a\n"), 1, "aliases"),
    "a tag": (lambda path: path.write_text("- !!python/object/apply:os.system [reboot]\n"), 1, "tags"),
    "endless line": (lambda path: path.write_text("- " + "x" * 100_000 + "\n"), 1, "longer"),
    "binary": (lambda path: path.write_bytes(b"- d0.mp4\n\x00\x00"), 2, "NUL"),
    "64 MiB": (_huge, None, "larger than"),
    "a device": (_as(lambda path: path.symlink_to("/dev/zero")), None, "regular file"),
    "a pipe": (_as(os.mkfifo), None, "regular file"),
    "a loop of links": (_as(lambda path: path.symlink_to(path.name)), None, "cannot be read"),
    "gone": (Path.unlink, None, "No such file"),
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_bad_list_is_told_with_its_line_and_the_last_good_one_stays(target: Target, name: str) -> None:
    make, line, words = PLAYLISTS[name]
    before = target.revision()
    make(target.playlist)
    told = target.daemon.wait_for("air", lambda channel: channel["edit_error"], what=f"the error of {name}")
    assert told["edit_error"]["file"] == str(target.playlist)
    assert told["edit_error"]["line"] == line
    assert words in told["edit_error"]["message"]
    assert told["state"] == "on_air"
    assert told["revision"] == before
    assert len(told["next"]) >= 5
    target.write_valid()
    target.daemon.wait_for("air", lambda channel: channel["edit_error"] is None, what="the good list to be taken again")


# -- media ------------------------------------------------------------------------------------------------------


def _outside(target: Target) -> Path:
    path = target.folder.parent / "outside.mp4"
    path.write_bytes((target.folder / "d0.mp4").read_bytes())
    return path


def test_paths_that_lead_out_or_nowhere_are_marked_in_the_list_and_never_opened(target: Target) -> None:
    (target.folder / "leads-out.mp4").symlink_to(_outside(target))
    (target.folder / "folder.mp4").mkdir()
    os.mkfifo(target.folder / "pipe.mp4")
    bad = [
        *("../outside.mp4", str(_outside(target)), "/etc/passwd", "leads-out.mp4", "folder.mp4", "pipe.mp4", "none.mp4", "/dev/zero"),
        *("file:///etc/passwd", "concat:d0.mp4|d1.mp4", "http://127.0.0.1:1/x.mp4", "http://[::1]/x.mp4", "gopher://x/", "air.yaml"),
    ]
    target.write_valid(*bad)
    target.daemon.wait_for("air", lambda _: len(_entries(target)) == len(VALID) + len(bad), what="the list to be taken")
    entries = _entries(target)
    assert [entry["path"] for entry in entries if entry["fault"] is None] == VALID
    assert target.daemon.channel("air")["edit_error"] is None
    target.write_valid()


def _entries(target: Target) -> list[dict[str, Any]]:
    """The list as the daemon took it."""
    with target.daemon.client() as client:
        found: list[dict[str, Any]] = client.get("/api/v1/channels/air/playlist", headers={"Accept": "application/json"}).json()["entries"]
    return found


def test_files_that_are_no_clips_are_refused_with_their_reason(target: Target) -> None:
    text_file(target.folder / "text.mp4")
    (target.folder / "empty.mkv").touch()
    (target.folder / "concat.mp4").write_text(CONCAT)
    (target.folder / "remote.mp4").write_text(REMOTE)
    (target.folder / "noise.ts").write_bytes(os.urandom(200_000))
    (target.folder / "-i -y;$(reboot).mp4").write_text(SECRET)
    (target.folder / "\x1b[31m.mp4").write_text(SECRET)
    truncated_clip(target.folder / "cut.mkv")
    bad = ["text.mp4", "empty.mkv", "concat.mp4", "remote.mp4", "noise.ts", "-i -y;$(reboot).mp4", "cut.mkv"]
    target.write_valid(*bad)
    wanted = {str(target.folder / name) for name in bad}
    target.daemon.wait_for("air", lambda _: wanted <= target.daemon.refusals().keys(), what="the refusals", timeout_s=60)
    assert all(target.daemon.refusals()[path] for path in wanted)
    listed = {entry["path"] for entry in target.daemon.channel("air")["next"]}
    assert listed <= set(VALID)
    target.write_valid()


# -- HTTP -------------------------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}
ADMIN: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "unknown channel": ("GET", "/api/v1/channels/none", {}, 404),
    "no channel id": ("POST", "/api/v1/channels/..%2f..%2fetc/stop", {}, 404),
    "unknown order": ("POST", "/api/v1/channels/air/explode", {}, 404),
    "wrong method": ("DELETE", "/api/v1/channels/air", {}, 405),
    "no JSON": ("POST", "/api/v1/channels/air/play-next", {"content": b"{", "headers": JSON}, 400),
    "a path of two lines": ("POST", "/api/v1/channels/air/play-next", {"json": {"path": "d0.mp4\nd1.mp4"}}, 422),
    "a path that leads out": ("POST", "/api/v1/channels/air/play-next", {"json": {"path": "/etc/passwd"}}, 422),
    "a list without If-Match": (
        "PUT",
        "/api/v1/channels/air/playlist",
        {"content": b"- d0.mp4\n", "headers": {"Content-Type": "text/plain"}},
        428,
    ),
    "too large": ("POST", "/api/v1/channels/air/play-next", {"content": b"x" * (2 << 20), "headers": JSON}, 413),
    "foreign host": ("GET", "/api/v1/channels", {"headers": {"Host": "evil.example"}}, 421),
    "wrong token": ("GET", "/api/v1/channels", {"headers": {"Authorization": "Bearer wrong"}}, 401),
}


@pytest.mark.parametrize("name", ADMIN)
def test_a_bad_request_gets_a_problem_document_that_says_what_to_do(target: Target, name: str) -> None:
    method, path, arguments, status = ADMIN[name]
    with target.daemon.client() as client:
        answer = client.request(method, path, **arguments)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"]


@pytest.mark.parametrize(
    "path", ["/hls/air/../../state/admin.token", "/hls/%2e%2e/%2e%2e/state/admin.token", "/hls/..%2fstate/x.ts", "/ts/none"]
)
def test_viewers_cannot_leave_their_routes(target: Target, path: str) -> None:
    with socket.create_connection(("127.0.0.1", target.daemon.media_port), timeout=10) as peer:
        # By hand: a client library would tidy the path up.
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: peer.recv(65_536), b""))
    assert answer.split(b" ", 2)[1] in (b"400", b"404")
    token = (target.daemon.folder / "state" / "admin.token").read_bytes().strip()
    assert token not in answer


def test_garbage_and_idle_connections_do_not_keep_others_from_being_served(target: Target) -> None:
    idle = [
        socket.create_connection(("127.0.0.1", port)) for port in (target.daemon.admin_port, target.daemon.media_port) for _ in range(50)
    ]
    try:
        for number, peer in enumerate(idle):
            peer.sendall(os.urandom(512) if number % 2 else b"GET /")
        assert target.daemon.channel("air")["state"] == "on_air"
        assert httpx.get(f"{target.daemon.admin_url}/healthz").status_code == 200
    finally:
        for peer in idle:
            peer.close()


def test_a_storm_of_requests_is_answered(target: Target) -> None:
    """Eight clients at once, good and bad requests mixed."""
    wrong: list[int] = []

    def ask() -> None:
        with target.daemon.client() as client:
            for number in range(40):
                status = client.get("/api/v1/channels" if number % 2 else "/api/v1/channels/none").status_code
                wrong.extend([status] if status != (200 if number % 2 else 404) else [])

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert wrong == []


# -- the air ----------------------------------------------------------------------------------------------------


def test_nothing_of_all_this_was_to_be_seen(target: Target) -> None:
    target.viewer.close()
    airings = target.daemon.airings("air")
    assert {airing["path"] for airing in airings if airing["path"]} <= set(VALID)
    assert [airing for airing in airings[1:] if airing["path"] is None] == []
    assert read_ts(target.viewer.path, fps=Fraction(FPS), allowances=WATCHED).faults() == []
    assert content_faults(target.viewer.path, timeline_of(airings, DECK)) == []


def test_the_log_tells_no_traceback_and_no_secret(target: Target) -> None:
    token = (target.daemon.folder / "state" / "admin.token").read_text().strip()
    text = target.daemon.log_path.read_text(errors="replace")
    assert token not in text
    assert "Traceback" not in text
    assert "\x1b" not in text
    assert target.daemon.stop() == []
