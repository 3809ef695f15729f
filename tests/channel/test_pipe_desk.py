"""The desk of named pipes over a real holder: real FIFOs, readers that are programs, players that are started, killed and left."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from station import SMALL

from channeld.base.wire import Message
from channeld.channel.pipe_desk import PipeDesk, PipePlace
from channeld.channel.pipe_state import PipeState
from channeld.channel.settings import ChannelSettings, PipeTarget
from channeld.outputs.named_pipe import MAX_READERS
from channeld.outputs.pipe_file import PipeOwner
from channeld.outputs.pipe_player import Player
from channeld.outputs.push_health import PushCondition
from channeld.playlist.locate import PathRules
from channeld.process.holder import Holder

UP, RETRYING, STARTING, STOPPED = PushCondition.UP, PushCondition.RETRYING, PushCondition.STARTING, PushCondition.STOPPED


def until(holds: Callable[[], object], what: str = "the condition") -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"{what} never held"
        time.sleep(0.01)


class HostEnd:
    """Where a playout host would be: it has the write ends that it was given, by feed, and how."""

    def __init__(self) -> None:
        self.fds: dict[str, int] = {}
        self.feeds: list[dict[str, Any]] = []
        self.is_there = True

    def send(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool:
        if not self.is_there:
            return False
        before = self.fds.pop(values["output"], None)
        if before is not None:
            os.close(before)
        if kind == "feed":
            self.fds[values["output"]] = os.dup(fds[0])
            self.feeds.append(values)
        return True

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.popitem()[1])


class House:
    """One desk after another over one holder, and the channels they have the pipes of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holder = Holder()
        self.host = HostEnd()
        self.channels: dict[str, ChannelSettings] = {}
        self.told: list[PipeState] = []
        self.desk = self._make()

    def _make(self) -> PipeDesk:
        desk = PipeDesk(PipePlace(self.folder, PipeOwner()), self.holder, self.host.send, self.told.append)
        desk.follow(lambda: dict(self.channels))
        return desk

    def configure(self, *targets: PipeTarget) -> None:
        self.channels = {"live1": settings(self.folder, *targets)}

    def open(self, *targets: PipeTarget) -> None:
        """The channel is configured so, and on air; what can be made is there."""
        self.configure(*targets)
        self.desk.start()
        self.desk.open("live1", adopts=False)
        until(lambda: self.state.condition is not STOPPED)

    def next_control(self) -> None:
        """The desk leaves, as at an upgrade, and another one begins."""
        self.desk.leave()
        self.desk = self._make()
        self.desk.start()

    @property
    def state(self) -> PipeState:
        """Nothing, before the desk has looked."""
        return self.desk.state("live1", "named_pipe") or PipeState("live1", "named_pipe", STOPPED, 0.0, ())

    def path(self, name: str = "live1.ts") -> Path:
        return self.folder / "pipes" / name

    def target(self, **values: Any) -> PipeTarget:
        return PipeTarget(**{"name": "named_pipe", "paths": (self.path(),), **values})

    def close(self) -> None:
        self.desk.close()
        self.host.close()
        self.holder.close()


def settings(folder: Path, *targets: PipeTarget) -> ChannelSettings:
    return ChannelSettings("live1", "Live", folder / "list.m3u", SMALL, PathRules((folder,)), targets=targets)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    made = House(tmp_path)
    yield made
    made.close()
    assert not (tmp_path / "pipes").exists()
    assert len(os.listdir("/proc/self/fd")) <= len(before), "a descriptor is left"  # noqa: PTH208


def read(path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)


def end_of(reader: "subprocess.Popen[bytes]") -> bytes:
    return reader.communicate(timeout=30)[0]


def test_pipes_are_there_while_they_are_configured(house: House) -> None:
    """Also while the channel is off the air; and those that stay are the same ones."""
    house.configure(house.target(paths=(house.path(), house.path("live1-2.ts"))))
    house.desk.start()
    until(lambda: house.path("live1-2.ts").is_fifo() and house.desk.state("live1", "named_pipe") is not None)
    before = house.path().lstat()
    assert (house.state.condition, house.state.paths) == (STOPPED, (str(house.path()), str(house.path("live1-2.ts"))))
    house.configure(house.target())
    until(lambda: not house.path("live1-2.ts").exists())
    assert house.path().lstat().st_ino == before.st_ino
    house.configure(house.target(enabled=False))
    until(lambda: not house.path().exists() and house.desk.state("live1", "named_pipe") is None)


def test_readers_come_one_after_the_other_each_as_a_new_one(house: House) -> None:
    house.open(house.target(lag_s=7.0, stall_s=3.0))
    for number in range(3):
        reader = read(house.path())
        until(lambda number=number: len(house.host.feeds) == number + 1)
        assert house.state.condition is UP
        feed = house.host.feeds[-1]
        assert (feed["joins"], feed["continues"], feed["lag_s"], feed["stall_s"]) == (True, False, 7.0, 3.0)
        os.write(house.host.fds["named_pipe:1"], b"%d" % number)
        reader.send_signal(signal.SIGKILL)
        reader.wait(10)
        until(lambda: not house.host.fds and house.state.readers == 0, "the reader to be missed")
    assert len({feed["serial"] for feed in house.host.feeds}) == 3


def test_several_read_one_pipe_at_a_time_and_the_next_one_waits(house: House) -> None:
    """VLC opens what it plays twice at once."""
    house.open(house.target())
    readers = []
    for number in range(MAX_READERS):
        readers.append(read(house.path()))
        until(lambda number=number: house.state.readers == number + 1)
    late = read(house.path())
    for number, fd in enumerate(house.host.fds.values()):
        os.write(fd, b"%d" % number)
    readers[0].kill()
    until(lambda: len(house.host.feeds) == MAX_READERS + 1, "the one that waits to be served")
    house.desk.close_channel("live1")
    assert [end_of(reader) for reader in readers[1:]] == [b"1", b"2", b"3"]
    assert end_of(late) == b""
    end_of(readers[0])


def test_a_channel_off_the_air_ends_its_readers_files_and_the_next_wait(house: House) -> None:
    house.open(house.target())
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    os.write(house.host.fds["named_pipe:1"], b"the end")
    house.desk.close_channel("live1")
    assert end_of(reader) == b"the end"
    until(lambda: house.state.condition is STOPPED)
    waiting = read(house.path())
    house.desk.open("live1", adopts=False)
    until(lambda: house.state.readers == 1)
    waiting.kill()
    end_of(waiting)


def test_what_the_host_tells_of_a_reader_counts_for_that_one_only(house: House) -> None:
    house.open(house.target())
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    facts = {"channel": "live1", "output": "named_pipe:1"}
    house.desk.host_told(Message("feed_lost", {**facts, "serial": 1, "reason": "gone", "error": "of one before"}, ()))
    serial = house.host.feeds[-1]["serial"]
    house.desk.host_told(Message("feed_jumped", {**facts, "serial": serial, "lost_s": 9.0}, ()))
    until(lambda: house.state.jumps == 1)
    assert house.state.readers == 1
    house.desk.host_told(Message("feed_lost", {**facts, "serial": serial, "reason": "stalled", "error": "it took nothing for 5 s"}, ()))
    assert end_of(reader) == b""
    until(lambda: (house.state.stalls, house.state.readers) == (1, 0))


def test_a_change_of_patience_keeps_the_reader_and_tells_the_host(house: House) -> None:
    house.open(house.target())
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    house.configure(house.target(lag_s=3.0))
    until(lambda: len(house.host.feeds) == 2)
    assert (house.host.feeds[-1]["continues"], house.host.feeds[-1]["lag_s"]) == (True, 3.0)
    os.write(house.host.fds["named_pipe:1"], b"on")
    house.configure(house.target(paths=(house.path("other.ts"),)))
    assert end_of(reader) == b"on", "another path is another pipe"
    until(lambda: house.path("other.ts").is_fifo() and not house.path().exists())


def test_another_host_goes_on_with_the_reader_and_with_one_that_came_meanwhile(house: House) -> None:
    house.open(house.target())
    first = read(house.path())
    until(lambda: house.state.readers == 1)
    house.host.close()
    house.host.is_there = False
    second = read(house.path())
    until(lambda: house.state.readers == 2)
    house.host.is_there = True
    house.desk.feed("live1")
    # The second may have been tried again before that.
    until(lambda: {feed["output"] for feed in house.host.feeds[1:]} == {"named_pipe:1", "named_pipe:1+1"})
    told = {feed["output"]: feed["continues"] for feed in reversed(house.host.feeds[1:])}
    assert told == {"named_pipe:1": True, "named_pipe:1+1": False}
    for reader in (first, second):
        assert reader.poll() is None
        reader.kill()
        end_of(reader)


def test_a_reader_outlives_its_control(house: House) -> None:
    house.open(house.target())
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    os.write(house.host.fds["named_pipe:1"], b"before, ")
    house.next_control()
    house.host.close()
    house.desk.open("live1", adopts=True)
    house.desk.feed("live1")
    until(lambda: house.host.fds)
    assert house.host.feeds[-1]["continues"] is True
    os.write(house.host.fds["named_pipe:1"], b"after")
    house.desk.close_channel("live1")
    assert end_of(reader) == b"before, after"


def test_a_reader_does_not_go_on_into_another_timeline(house: House) -> None:
    house.open(house.target())
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    house.next_control()
    house.host.close()
    house.desk.open("live1", adopts=False)
    assert end_of(reader) == b""


def test_what_is_left_of_a_pipe_that_went_while_no_control_ran_is_ended(house: House, tmp_path: Path) -> None:
    house.open(house.target(player=player_that(tmp_path, "read")))
    until(lambda: house.state.readers == 1)
    [pid] = house.state.pids
    house.desk.leave()
    house.configure()
    house.desk = house._make()
    house.desk.start()
    until(lambda: not psutil.pid_exists(pid) and house.holder.held().fds == () and not house.path().exists())


def test_what_is_no_pipe_is_left_alone_told_and_tried_again(house: House) -> None:
    house.path().parent.mkdir()
    house.path().write_text("a film")
    house.open(house.target())
    until(lambda: house.told and house.state.condition is RETRYING)
    assert "is there already and is not a named pipe" in str(house.state.last_error)
    assert house.path().read_text() == "a film"
    house.path().unlink()
    until(lambda: house.state.condition is UP and house.path().is_fifo())
    assert [state.condition for state in house.told if state.condition in (RETRYING, UP)] == [RETRYING, UP]


def test_a_pipe_that_somebody_removed_comes_back(house: House) -> None:
    house.open(house.target())
    until(lambda: house.path().is_fifo() and house.state.condition is UP)
    house.path().unlink()
    until(lambda: house.path().is_fifo() and house.state.condition is UP)


def test_a_reader_that_no_host_was_there_for_is_fed_when_one_is(house: House) -> None:
    """Also where nobody tells of it, as when no descriptor was free for a moment."""
    house.open(house.target())
    house.host.is_there = False
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    assert house.host.feeds == []
    house.host.is_there = True
    until(lambda: [feed["continues"] for feed in house.host.feeds] == [False])
    reader.kill()
    end_of(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to other groups takes root")
def test_another_group_may_read_at_once_and_the_one_before_no_more(house: House) -> None:
    house.open(house.target())
    until(lambda: house.path().is_fifo())

    def facts() -> list[tuple[int, int]]:
        return [(stat.S_IMODE(found.st_mode), found.st_gid) for found in (house.path().parent.stat(), house.path().stat())]

    assert [mode for mode, _ in facts()] == [0o700, 0o600]
    house.desk.give_to(PipeOwner(gid=12_345))
    until(lambda: facts() == [(0o750, 12_345), (0o640, 12_345)])
    reader = read(house.path())
    until(lambda: house.state.readers == 1)
    assert facts() == [(0o750, 12_345), (0o640, 12_345)], "those for later readers"
    house.desk.give_to(PipeOwner())
    until(lambda: [mode for mode, _ in facts()] == [0o700, 0o600])
    assert reader.poll() is None
    reader.kill()
    end_of(reader)


# -- players that the daemon starts -------------------------------------------------------------------------------------

PLAYERS = {
    "read": "open(sys.argv[1], 'rb').read()",
    "ignore": "time.sleep(600)",
    "end": "sys.exit('no screen')",
    "survive": "signal.signal(2, signal.SIG_IGN); open(sys.argv[1], 'rb').read(); time.sleep(600)",
}


def player_that(folder: Path, does: str, *, connect_s: float = 20.0) -> Player:
    program = folder / f"player_{does}.py"
    program.write_text(f"import signal, sys, time\n{PLAYERS[does]}\n")
    return Player((sys.executable, str(program)), connect_s)


def test_a_player_is_started_for_each_pipe_and_comes_back_when_it_is_killed(house: House, tmp_path: Path) -> None:
    house.open(house.target(paths=(house.path(), house.path("live1-2.ts")), player=player_that(tmp_path, "read")))
    until(lambda: house.state.readers == 2 and house.state.condition is UP)
    pids = house.state.pids
    processes = [psutil.Process(pid) for pid in pids]
    assert [process.cmdline()[-1] for process in processes] == [str(house.path()), str(house.path("live1-2.ts"))]
    assert all(os.getpgid(process.pid) == process.pid for process in processes), "a group of its own"
    processes[0].kill()
    until(lambda: house.state.restarts == 1 and house.state.readers == 2)
    assert house.state.pids[1] == pids[1], "the other one is not touched"
    house.desk.close()
    assert not any(psutil.pid_exists(pid) for pid in (*pids, *house.state.pids))


@pytest.mark.parametrize(("does", "error"), [("ignore", "did not open the pipe within 0.3 s"), ("end", "ended with status 1: no screen")])
def test_a_player_that_does_not_play_is_tried_again_and_told(house: House, tmp_path: Path, does: str, error: str) -> None:
    house.open(house.target(player=player_that(tmp_path, does, connect_s=0.3 if does == "ignore" else 20.0)))
    until(lambda: house.state.restarts >= 2)
    assert house.state.condition is RETRYING and error in str(house.state.last_error)


def test_a_player_that_is_not_there_is_told(house: House) -> None:
    house.open(house.target(player=Player(("/nonexistent/mpv",), 1.0)))
    until(lambda: house.state.condition is RETRYING)
    assert house.state.last_error == "/nonexistent/mpv is not installed or not executable"


def test_a_player_that_does_not_end_when_asked_is_killed(house: House, tmp_path: Path) -> None:
    house.open(house.target(player=player_that(tmp_path, "survive")))
    until(lambda: house.state.readers == 1)
    [pid] = house.state.pids
    house.configure()
    until(lambda: not psutil.pid_exists(pid))


def test_a_player_runs_only_while_the_channel_is_on_air_and_through_an_upgrade(house: House, tmp_path: Path) -> None:
    house.open(house.target(player=player_that(tmp_path, "read")))
    until(lambda: house.state.readers == 1)
    [pid] = house.state.pids
    house.configure(house.target(player=replace(player_that(tmp_path, "read"), connect_s=5.0)))
    house.next_control()
    house.desk.open("live1", adopts=True)
    house.desk.feed("live1")
    until(lambda: house.state.pids == (pid,) and house.state.condition is UP)
    house.desk.close_channel("live1")
    until(lambda: house.state.pids == () and not psutil.pid_exists(pid))
    assert house.state.condition is STOPPED


def test_another_player_takes_the_place_of_the_one_before(house: House, tmp_path: Path) -> None:
    house.open(house.target(player=player_that(tmp_path, "read")))
    until(lambda: house.state.readers == 1)
    [pid] = house.state.pids
    cat = shutil.which("cat")
    assert cat is not None
    house.configure(house.target(player=Player((cat,), 20.0)))
    until(lambda: house.state.pids not in ((), (pid,)) and house.state.readers == 1)
    assert not psutil.pid_exists(pid)
