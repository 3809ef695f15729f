"""The command line, run as its users run it: a process, its output and its exit code."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
TOKEN = "right-token"

CHANNEL: dict[str, Any] = {
    "id": "live1",
    "name": "Live One",
    "state": "on_air",
    "profile": "720p30",
    "revision": 7,
    "edit_error": None,
    "now": {"entry": "e42", "title": "Sin\x1b[31mtel", "path": "sintel.mp4", "position_s": 72.4, "duration_s": 3752.2},
    "next": [{"entry": "e43", "title": "Second", "path": "b.mp4", "ready": True}],
    "sources": [
        {"name": "camera", "state": "lost", "reason": "timed_out", "detail": "nothing came for 3 s"},
        {"name": "spare", "state": "live", "reason": None, "detail": ""},
    ],
    "outputs": [{"name": "rtmp", "type": "rtmp", "state": "up", "restarts": 2, "last_error": None}],
    "prepared": {"ready_s": 3600, "needed_s": 7200, "eta_s": 1800},
}


def channeld(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "channeld", *arguments]
    clean = {key: value for key, value in os.environ.items() if key not in ("CHANNELD_CONFIG", "NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(command, cwd=cwd, env=clean | environ, capture_output=True, text=True, timeout=60, check=False)


class _Admin(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:
        status, body = self.answers.get(self.path, (404, b"{}"))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, body = 401, b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def admin() -> Iterator[str]:
    """An HTTP server that answers as the contract's example says; gives its URL."""
    _Admin.answers = {"/api/v1/channels": (200, json.dumps([CHANNEL]).encode())}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Admin) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration that is fine and airs one file."""
    (tmp_path / "playlists").mkdir()
    (tmp_path / "playlists/a.m3u").write_text("clip.mp4\n")
    (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
    (tmp_path / "channeld.yaml").write_text("state_dir: state\nruntime_dir: run\nhls_dir: hls\nchannels: {a: {}}\n")
    return tmp_path


def test_help_names_every_verb(tmp_path: Path) -> None:
    done = channeld("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("run", "check", "status", "prepare", "probe"))


def test_a_wrong_verb_or_option_is_bad_input(tmp_path: Path) -> None:
    assert channeld("bogus", cwd=tmp_path).returncode == 2
    assert channeld("check", "--bogus", cwd=tmp_path).returncode == 2


@needs_ffmpeg
def test_check_of_a_good_configuration_ends_with_0(home: Path) -> None:
    done = channeld("check", cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors, 0 warnings" in done.stdout


@needs_ffmpeg
def test_check_reads_the_file_that_the_environment_names(home: Path) -> None:
    assert channeld("check", cwd=Path("/"), CHANNELD_CONFIG=str(home / "channeld.yaml")).returncode == 0


def test_check_of_a_bad_configuration_ends_with_2_and_tells_each_fault(home: Path) -> None:
    (home / "channeld.yaml").write_text("hosts: many\nchannels: {a: {playlst: x}}\n")
    done = channeld("check", cwd=home)
    assert done.returncode == 2
    assert "error: channeld.yaml:1:8: hosts: a whole number belongs here" in done.stdout
    assert "error: channeld.yaml:2:16: channels.a.playlst: unknown key. Did you mean `playlist`?" in done.stdout


def test_check_as_json_holds_the_same(home: Path) -> None:
    (home / "channeld.yaml").write_text("hosts: many\nchannels: {a: {}}\n")
    done = channeld("check", "--json", cwd=home)
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["errors"][0]["line"], answer["errors"][0]["key"]) == (False, 1, "hosts")


@needs_ffmpeg
def test_check_without_a_writable_folder_ends_with_1(home: Path) -> None:
    path = home / "channeld.yaml"
    path.write_text(path.read_text().replace("hls_dir: hls", "hls_dir: /proc/none"))
    assert channeld("check", cwd=home).returncode == 1


def test_no_configuration_at_all_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = channeld("check", "--config", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stdout
    assert "Traceback" not in done.stderr


def test_status_shows_channels_as_plain_text_without_a_terminal(admin: str, tmp_path: Path) -> None:
    done = channeld("status", "--url", admin, "--token", TOKEN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for piece in ("live1", "on_air", "1:12/1:02:32", "Second", "rtmp up (2 restarts)", "1.0 h of 2.0 h, 30:00 to go"):
        assert piece in done.stdout
    assert "live1: camera lost timed out: nothing came for 3 s" in done.stdout
    assert "spare" not in done.stdout
    assert "\x1b" not in done.stdout


def test_status_as_json_is_what_the_daemon_says(admin: str, tmp_path: Path) -> None:
    done = channeld("status", "--json", "--url", admin, "--token", TOKEN, cwd=tmp_path)
    assert json.loads(done.stdout) == [CHANNEL]


def test_status_takes_address_and_token_from_the_configuration(admin: str, home: Path) -> None:
    path = home / "channeld.yaml"
    path.write_text(path.read_text() + f"admin: {{listen: {admin.removeprefix('http://')}}}\n")
    assert channeld("status", cwd=home).returncode == 3
    (home / "state").mkdir()
    (home / "state/admin.token").write_text(TOKEN + "\n")
    assert channeld("status", cwd=home).returncode == 0


def test_what_only_the_daemon_is_given_or_a_fault_elsewhere_does_not_keep_a_client_from_it(admin: str, home: Path) -> None:
    """A secret of the daemon's environment, a credential of its unit, a channel that is just being edited: the daemon judges these."""
    (home / "state").mkdir(exist_ok=True)
    (home / "state/admin.token").write_text(TOKEN + "\n")
    (home / "channeld.yaml").write_text(
        f"state_dir: state\nadmin: {{listen: '{admin.removeprefix('http://')}'}}\n"
        "webhooks: [{url: 'https://h.example.org/', secret: '${NOT_SET_HERE}'}]\n"
        "channels:\n  live1:\n    outputs:\n    - rtmp: {url: 'rtmp://h/app', key_file: 'credential:twitch'}\n  live2: {playlits: x}\n"
    )
    done = channeld("status", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    (home / "channeld.yaml").write_text("state_dir: state\nadmin: {lisen: 'x:1'}\nchannels: {live1: {}}\n")
    done = channeld("status", cwd=home)
    assert done.returncode == 2
    assert "Did you mean `listen`" in done.stderr


def test_status_with_a_wrong_token_is_not_allowed(admin: str, tmp_path: Path) -> None:
    done = channeld("status", "--url", admin, "--token", "wrong-token", cwd=tmp_path)
    assert done.returncode == 4
    assert "--token" in done.stderr
    assert "wrong-token" not in done.stderr


def test_status_without_a_daemon_is_unreachable(tmp_path: Path) -> None:
    done = channeld("status", "--url", "http://127.0.0.1:1", "--token", TOKEN, cwd=tmp_path)
    assert done.returncode == 3
    assert "channeld run" in done.stderr


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, b'{"detail": 1}'), (500, b"{}")])
def test_status_of_something_else_fails_without_a_traceback(admin: str, answer: tuple[int, bytes], tmp_path: Path) -> None:
    _Admin.answers = {"/api/v1/channels": answer}
    done = channeld("status", "--url", admin, "--token", TOKEN, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def made_clip(folder: Path) -> Path:
    """A second of picture with two audio tracks and a subtitle track."""
    (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    sources = "-f lavfi -i testsrc2=s=64x36:r=10:d=1 -f lavfi -i sine=d=1 -f lavfi -i sine=d=1 -i words.srt"
    tracks = "-map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -c:a aac -c:s srt"
    languages = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=ger two.mkv"
    subprocess.run(f"ffmpeg -v error {sources} {tracks} {languages}".split(), cwd=folder, check=True)
    return folder / "two.mkv"


@needs_ffmpeg
def test_probe_names_the_tracks_that_are_dropped(tmp_path: Path) -> None:
    made_clip(tmp_path)
    done = channeld("probe", "two.mkv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "64x36" in done.stdout
    dropped = [line for line in done.stdout.splitlines() if line.startswith("dropped: ")]
    assert len(dropped) == 2
    assert "ger" in dropped[1]


@needs_ffmpeg
def test_probe_prefers_the_audio_language_of_the_default_profile(tmp_path: Path) -> None:
    made_clip(tmp_path)
    (tmp_path / "c.yaml").write_text("profiles: {de: {audio_language: de}}\ndefaults: {profile: de}\nchannels: {a: {}}\n")
    done = channeld("probe", "two.mkv", "--json", "--config", "c.yaml", cwd=tmp_path)
    assert any("eng" in track for track in json.loads(done.stdout)["dropped_tracks"])


@needs_ffmpeg
def test_probe_of_what_is_not_media_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    done = channeld("probe", "text.mp4", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: text.mp4: ")


SMALL = "{width: 64, height: 36, fps: 10, video_bitrate: 100k, gop_seconds: 1, preset: ultrafast}"


def airing(folder: Path, entries: str, profile: str = SMALL) -> Path:
    """A folder with a configuration of one profile, and a list."""
    text = f"state_dir: state\nruntime_dir: run\nhls_dir: hls\nprofiles: {{s: {profile}}}\ndefaults: {{profile: s}}\n"
    (folder / "channeld.yaml").write_text(text + "channels: {a: {playlist: a.m3u}}\n")
    (folder / "a.m3u").write_text(entries)
    return folder


@needs_ffmpeg
def test_prepare_conforms_every_clip_once_and_tells_which_it_cannot(tmp_path: Path) -> None:
    made_clip(tmp_path)
    (tmp_path / "bad.mp4").write_text("no film")
    airing(tmp_path, "two.mkv\nbad.mp4\ntwo.mkv\nnone.mp4\n")
    done = channeld("prepare", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["ready"], outcome["left"]) == (1, 0)
    assert [(Path(each["file"]).name, each["line"]) for each in outcome["failures"]] == [("bad.mp4", 2)]
    assert len(list(tmp_path.glob("state/cache/*/*.idx"))) >= 2  # the clip and the filler
    assert not list(tmp_path.glob("state/cache/*/*.part"))


@needs_ffmpeg
def test_prepare_without_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    made_clip(tmp_path)
    airing(tmp_path, "two.mkv\n")
    done = channeld("prepare", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ready: two.mkv (1.0 s)", "1 of 1 clips are ready"]


def test_prepare_of_an_unknown_channel_is_bad_input(tmp_path: Path) -> None:
    done = channeld("prepare", "b", cwd=airing(tmp_path, ""))
    assert done.returncode == 2
    assert "no channel 'b'; there are a" in done.stderr


def test_prepare_leaves_a_cache_alone_that_another_process_writes(tmp_path: Path) -> None:
    airing(tmp_path, "")
    (tmp_path / "state/cache").mkdir(parents=True)
    with (tmp_path / "state/cache/writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = channeld("prepare", cwd=tmp_path)
    assert done.returncode == 1
    assert "another channeld prepares" in done.stderr


@needs_ffmpeg
def test_prepare_that_is_interrupted_leaves_no_part_behind(tmp_path: Path) -> None:
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=30:d=300", "-preset", "ultrafast", "long.mp4"],
        cwd=tmp_path,
        check=True,
    )
    airing(tmp_path, "long.mp4\n", profile="{width: 640, height: 360, preset: slower}")
    child = subprocess.Popen([sys.executable, "-m", "channeld", "prepare"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    cache = tmp_path / "state/cache"
    deadline = time.monotonic() + 60
    while not (list(cache.glob("*/reference.json")) and list(cache.glob("*/*.idx.part"))) and time.monotonic() < deadline:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert child.returncode not in (0, 2)
    assert b"Traceback" not in told
    assert not list(cache.glob("*/*.part"))
