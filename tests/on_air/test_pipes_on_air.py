"""Named pipes of a real daemon, as players see them: who comes late, who is slow, and what a kill of anybody costs.

Rule: one daemon for the file's tests, on air all the time; its embedded HLS says that nobody's trouble is anybody else's.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from running import FPS, RunningDaemon
from timeline import DECK

HOST = "channeld.playout.host"
WHOLE = replace(SPLICED, open_end=True)


class Pipes:
    """The daemon with one channel, and its pipes."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon

    def configure(self, **values: Any) -> None:
        """Have the pipes so, by a reload; what the other output is, stays."""
        self.daemon.config["channels"]["live1"]["outputs"] = [{"hls": {"segment_seconds": 1}}, {"named_pipe": values}]
        self.daemon.write_config()
        self.daemon.post("/api/v1/reload").raise_for_status()

    @property
    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.channel("live1")["outputs"][1]
        return found

    def until(self, holds: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        wait_until(lambda: holds(self.shown), what=what, timeout_s=40)
        return self.shown

    def path(self, name: str = "live1.ts") -> Path:
        return self.daemon.folder / "run" / "pipes" / name


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[Pipes]:
    folder = tmp_path_factory.mktemp("pipes")
    playlist = folder / "list.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in DECK))
    channel = {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": [{"hls": {"segment_seconds": 1}}, {"named_pipe": {}}]}
    daemon = RunningDaemon(folder / "daemon", {"live1": channel}, cache=prepared)
    daemon.start()
    try:
        yield Pipes(daemon)
    finally:
        faults = daemon.stop()
    assert faults == []


class Recorder:
    """A reader that keeps all it reads, until it is told to go or its file ends. `pace`: seconds it waits before each of its reads."""

    def __init__(self, path: Path, *, pace: float = 0.0) -> None:
        self.got = bytearray()
        self.has_ended = False
        self._path, self._pace = path, pace
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def _run(self) -> None:
        fd = os.open(self._path, os.O_RDONLY)
        try:
            while not self._stopping.wait(self._pace):
                if not (piece := os.read(fd, 4096)):
                    self.has_ended = True
                    return
                self.got += piece
        finally:
            os.close(fd)

    def read_more(self, seconds: float) -> None:
        """Until so much more of the stream has come, by a low bitrate."""
        wanted = len(self.got) + round(seconds * 20_000)
        wait_until(lambda: len(self.got) >= wanted, what="the reader to get more", timeout_s=40)

    def end(self) -> bytes:
        """Go; gives whole packets."""
        self._stopping.set()
        self._thread.join(30)
        return bytes(self.got[: len(self.got) // 188 * 188])


def faults_of(stream: bytes) -> list[str]:
    """Nothing is wrong with it from its first byte on: PAT, PMT and a key frame come first."""
    return read_ts(stream, fps=Fraction(FPS), allowances=WHOLE).faults()


def test_players_play_it_one_after_the_other_and_at_once(pipes: Pipes, ffmpeg: str) -> None:
    """Each from its first byte, without a word of complaint; the one that is late, too."""
    pipes.configure(count=2)
    wait_until(lambda: pipes.path("live1-2.ts").is_fifo(), what="the second pipe")

    def play(name: str) -> "subprocess.Popen[bytes]":
        words = [ffmpeg, "-nostdin", "-v", "warning", "-xerror", "-i", str(pipes.path(name)), "-t", "3", "-f", "null", "-"]
        return subprocess.Popen(words, stderr=subprocess.PIPE)

    for names in (["live1.ts"], ["live1.ts", "live1-2.ts"], ["live1.ts"]):
        players = [play(name) for name in names]
        assert [player.communicate(timeout=60)[1] for player in players] == [b""] * len(players)
        assert [player.returncode for player in players] == [0] * len(players)
    pipes.until(lambda shown: shown["readers"] == 0 and shown["state"] == "up", "the players to be missed")


def test_mpv_shows_its_pictures(pipes: Pipes, tmp_path: Path) -> None:
    if shutil.which("mpv") is None:
        pytest.skip("missing on this machine: mpv")
    words = ["mpv", "--no-config", "--vo=image", f"--vo-image-outdir={tmp_path}", "--ao=null", "--no-terminal", "--frames=50"]
    subprocess.run([*words, str(pipes.path())], check=True, timeout=60)
    assert len(list(tmp_path.glob("*.jpg"))) == 50


def test_a_reader_outlives_host_and_control_and_misses_nothing(pipes: Pipes) -> None:
    """Both killed; and a change of patience in between. Not a packet is wrong in what it read."""
    daemon = pipes.daemon
    pipes.configure()
    reader = Recorder(pipes.path())
    reader.read_more(2)
    host = daemon.child(HOST)
    assert host is not None
    host.kill()
    reader.read_more(4)
    pipes.configure(max_buffer_segments=20)
    reader.read_more(2)
    daemon.kill()
    daemon.launch()
    daemon.wait_until_ready()
    pipes.until(lambda shown: shown["readers"] == 1, "the reader to be known to the next control")
    reader.read_more(3)
    assert not reader.has_ended and faults_of(reader.end()) == []


def test_a_reader_that_is_slow_loses_stream_and_one_that_stalls_its_pipe(pipes: Pipes) -> None:
    """The channel's other output and the other reader notice nothing; the slow one has whole packets on both sides of its hole."""
    pipes.configure(count=2, max_buffer_segments=2, segment_timeout_ms=3000)
    wait_until(lambda: pipes.path("live1-2.ts").is_fifo(), what="the second pipe")
    before = pipes.shown
    late = len(pipes.daemon.log("channel_late"))
    quick, slow = Recorder(pipes.path("live1-2.ts")), Recorder(pipes.path(), pace=0.3)
    pipes.until(lambda shown: shown["readers"] == 2, "two readers")  # whoever opens a pipe at the same moment shares its bytes
    stalled = subprocess.Popen(["cat", str(pipes.path("live1-2.ts"))], stdout=subprocess.DEVNULL)
    pipes.until(lambda shown: shown["readers"] == 3, "three readers")
    stalled.send_signal(signal.SIGSTOP)
    pipes.until(lambda shown: shown["stalls"] == before["stalls"] + 1 and shown["readers"] == 2, "the stalled one to be hung up on")
    stalled.send_signal(signal.SIGCONT)
    assert stalled.wait(30) == 0, "it comes to the end of its file"
    pipes.until(lambda shown: shown["jumps"] > before["jumps"], "the slow one to jump")
    end = len(slow.got) + (1 << 18) + 8192  # what was in the pipe when it jumped, and some
    slow._pace = 0.0
    wait_until(lambda: len(slow.got) >= end, what="the slow one to read on", timeout_s=40)
    slow_stream = slow.end()
    assert not any(slow_stream[at] - 0x47 for at in range(0, len(slow_stream), 188))
    assert any("continuity" in fault for fault in faults_of(slow_stream)), "it did lose some"
    assert faults_of(quick.end()) == []
    assert len(pipes.daemon.log("channel_late")) == late
    assert pipes.daemon.channel("live1")["outputs"][0]["verdict"]["condition"] == "ok"


def test_a_channel_that_stops_ends_the_file_and_the_next_reader_waits_for_it(pipes: Pipes) -> None:
    daemon = pipes.daemon
    pipes.configure()
    first = Recorder(pipes.path())
    first.read_more(1)
    daemon.post("/api/v1/channels/live1/stop").raise_for_status()
    wait_until(lambda: first.has_ended, what="the end of the file", timeout_s=20)
    assert faults_of(first.end()) == []
    second = Recorder(pipes.path())
    pipes.until(lambda shown: shown["state"] == "stopped", "the pipe to be told as stopped")
    daemon.post("/api/v1/channels/live1/start").raise_for_status()
    second.read_more(3)
    assert faults_of(second.end()) == []


def test_a_player_that_is_killed_comes_back_and_what_is_no_pipe_is_left_alone(pipes: Pipes, tmp_path: Path) -> None:
    pipes.configure(player=["cat"])
    [pid] = pipes.until(lambda shown: shown["readers"] == 1 and shown["pids"], "the player to read")["pids"]
    psutil.Process(pid).kill()
    pipes.until(lambda shown: shown["restarts"] == 1 and shown["readers"] == 1, "the player to come back")
    film = tmp_path / "film.ts"
    film.write_text("a film")
    pipes.configure(path=str(film))
    shown = pipes.until(lambda shown: shown["state"] == "retrying", "the trouble to be told")
    assert "is not a named pipe: left alone" in shown["last_error"] and film.read_text() == "a film"
    alarms = [each for each in pipes.daemon.get("/api/v1/status")["alarms"] if each["alarm"] == "named_pipe"]
    assert [each["subject"] for each in alarms] == ["live1/named_pipe"]
    assert not pipes.path().exists() and not any("pipes" in word for each in pipes.daemon.family() for word in each.cmdline())
    with pipes.daemon.client() as client:
        page = client.get("/metrics").text
    assert 'channeld_pipe_readers{channel="live1",output="named_pipe"} 0.0' in page
    pipes.configure(player=["cat"])
    pipes.until(lambda shown: shown["readers"] == 1, "the pipe to be there again, and read; the end of the daemon takes both away")
