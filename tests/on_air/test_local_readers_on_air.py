"""Local readers of a real daemon: whoever is killed or stopped, the others have every byte, and nothing is left behind."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from reading import HOST, WORKER, Reading, Traces, kill_now, members, traces
from running import RunningDaemon
from timeline import LONG
from viewing import Viewing, is_gone, recorder

from channeld.playout.readers import NEXT_RING_S

PARTS = ("reader", "readers", "host", "worker", "daemon")
AT_THE_SCREEN = ("reader", "viewer", "player", "daemon")


def combinations(parts: tuple[str, ...]) -> list[set[str]]:
    return [set(found) for count in range(1, len(parts) + 1) for found in itertools.combinations(parts, count)]


EVERY = [*combinations(PARTS), *(found for found in combinations(AT_THE_SCREEN) if not found <= set(PARTS))]
SOME = [{"reader", "host"}, {"player"}, {*PARTS, "viewer", "player"}]
CHUNKS = 60_000
"""About a second of the stream."""
SLACK_FILES = 3
"""Connections of a moment: to the API, of a worker that reports."""


class Theatre:
    """A daemon with one channel on air, a witness of all of it, three readers more, and a viewer with its player at a named pipe."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.readers: list[Reading] = []
        self._named = itertools.count()
        daemon.start()
        self.witness = Reading(daemon, "witness")
        self._program, self.shown = recorder(daemon.folder)
        self.viewing = self._view()
        self.fill()

    def _view(self) -> Viewing:
        return Viewing(self.daemon.folder, self._program, "--config", str(self.daemon.config_path), "--via", "pipe", "--reconnect")

    def fill(self) -> None:
        """Three readers besides the witness, living, and a viewer whose player gets something."""
        living = [each for each in self.readers if each.process.poll() is None]
        self.readers += [Reading(self.daemon, f"reader-{next(self._named)}") for _ in range(3 - len(living))]
        if self.viewing.process.poll() is not None:
            self.viewing = self._view()
        before = self.shown.stat().st_size
        wait_until(lambda: self.shown.stat().st_size > before + CHUNKS, what="the player to get something", timeout_s=40)

    @property
    def living(self) -> list[Reading]:
        return [each for each in self.readers if each.process.poll() is None]

    def kill(self, parts: set[str]) -> None:
        roles, pids = members(self.daemon), []
        victims = self.living[: (1 if "reader" in parts else 0) + (2 if "readers" in parts else 0)]
        pids += [each.process.pid for each in victims]
        for part, role in (("host", HOST), ("worker", WORKER)):
            pids += [each.pid for each in roles[role]] if part in parts else []
        pids += [self.daemon.pid] if "daemon" in parts else []
        player = self.viewing.player()
        pids += [self.viewing.process.pid] if "viewer" in parts else []
        pids += [player.pid] if "player" in parts else []
        kill_now(*pids)
        if parts & {"viewer", "player"}:
            self.viewing.ends()
            wait_until(lambda: is_gone(player), what="the player to end with its viewer")
        for each in victims:
            each.process.wait(10)
        if "daemon" in parts:
            self.daemon.kill()
            self.daemon.start()

    def is_as_before(self, before: Traces) -> bool:
        now = traces(self.daemon)
        files = now.daemon_files <= before.daemon_files + SLACK_FILES and now.host_files <= before.host_files + SLACK_FILES
        return files and replace(now, daemon_files=0, host_files=0) == replace(before, daemon_files=0, host_files=0)

    def close(self) -> None:
        for each in (self.witness, *self.readers):
            each.kill()
        self.viewing.interrupt()


@pytest.fixture
def theatre(daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path) -> Iterator[Theatre]:
    playlist = deck.parent / "local.txt"
    playlist.write_text(f"{deck / LONG}\n")
    channel = {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": [{"ts": {}}, {"named_pipe": {}}]}
    with contextlib.closing(Theatre(daemon_of({"one": channel}, cache=prepared))) as made:
        yield made


def settled(theatre: Theatre) -> Traces:
    """What is there when all readers read and none is counted that is not there."""
    daemon = theatre.daemon
    wait_until(lambda: daemon.channel("one")["readers"] == 4, what="four readers to be told of", timeout_s=30)
    return traces(daemon)


def is_within(read: bytes, all_of_it: bytes) -> bool:
    """From the place where it began on, byte by byte; another ring may begin with the same picture."""
    begin = all_of_it.find(read[:18_800])
    while begin >= 0:
        length = min(len(read), len(all_of_it) - begin)
        if read[:length] == all_of_it[begin : begin + length]:
            return True
        begin = all_of_it.find(read[:18_800], begin + 1)
    return False


def ordeal(theatre: Theatre, chosen: list[set[str]]) -> None:
    before = settled(theatre)
    assert (before.rings, before.sockets, before.processes[HOST], before.fifos) == (1, ("one.sock",), 1, 1)
    for parts in chosen:
        theatre.kill(parts)
        for each in (theatre.witness, *theatre.living):
            each.goes_on(CHUNKS)
        theatre.fill()
        wait_until(lambda: theatre.is_as_before(before), what=f"what {sorted(parts)} left to be gone: {before}", timeout_s=30)
        wait_until(lambda: theatre.daemon.channel("one")["readers"] == 4, what="four readers to be told of", timeout_s=30)
        assert theatre.daemon.channel("one")["state"] == "on_air"
    seen = theatre.witness.path.read_bytes()
    assert theatre.witness.holes() == []
    for ring in theatre.witness.rings():  # another one only where a daemon was longer away than a host may be late
        assert read_ts(ring, allowances=replace(SPLICED, open_start=True, open_end=True)).faults() == []
    for each in theatre.readers:
        assert each.holes() == []
        assert is_within(each.path.read_bytes(), seen), each.path.name


@pytest.mark.timeout(300)
def test_whoever_is_killed_leaves_nothing_and_the_others_go_on(theatre: Theatre) -> None:
    told = theatre.daemon.get("/api/v1/channels/one/clients")
    assert {each["pid"] for each in told["readers"]} == {each.process.pid for each in (theatre.witness, *theatre.readers)}
    assert (told["readers_left_out"], told["is_complete"]) == (0, True)
    with theatre.daemon.client() as client:
        wait_until(lambda: 'channeld_bus_readers{channel="one"} 4.0' in client.get("/metrics").text, what="the metric", timeout_s=20)
    ordeal(theatre, SOME)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_every_combination_of_deaths(theatre: Theatre) -> None:
    ordeal(theatre, EVERY)


@pytest.mark.timeout(300)
def test_a_reader_that_missed_a_whole_ring_is_told_so_and_goes_on_with_the_newest(theatre: Theatre) -> None:
    stopped, daemon = theatre.readers[0], theatre.daemon
    stopped.goes_on(CHUNKS)
    stopped.stop()
    for _ in range(2):
        daemon.post("/api/v1/channels/one/stop").raise_for_status()
        time.sleep(NEXT_RING_S + 1)  # until readers are told that it is off the air
        daemon.post("/api/v1/channels/one/start").raise_for_status()
        theatre.witness.goes_on(CHUNKS)
    stopped.wake()
    wait_until(lambda: len(stopped.rings()) == 2, what="the newest ring", timeout_s=30)
    stopped.goes_on(CHUNKS)
    theatre.witness.goes_on(CHUNKS)
    seen, got = theatre.witness.rings(), stopped.rings()
    assert len(seen) == 3 and theatre.witness.holes() == []
    assert [each.lost for each in stopped.holes()] == [0]
    assert is_within(got[0], seen[0]) and seen[0].endswith(got[0][-CHUNKS:])
    assert seen[2].startswith(got[1][:CHUNKS])


@pytest.mark.long
def test_a_reader_that_stands_still_for_a_minute_is_told_exactly_what_it_lost(theatre: Theatre) -> None:
    """The witness has what the stopped one missed: from its last byte to its next one it is as much as it was told."""
    stopped, *others = theatre.readers
    stopped.goes_on(CHUNKS)
    stopped.stop()
    until_s = time.monotonic() + 60
    wait_until(lambda: time.monotonic() >= until_s, what="a minute to pass", timeout_s=90)
    assert stopped.holes() == []
    stopped.wake()
    wait_until(stopped.holes, what="the overrun to be told", timeout_s=30)
    (hole,) = stopped.holes()
    wait_until(lambda: stopped.size >= hole.at + CHUNKS, what="the reader to go on", timeout_s=30)
    theatre.witness.goes_on(CHUNKS)
    seen, got = theatre.witness.path.read_bytes(), stopped.path.read_bytes()
    assert is_within(got[: hole.at], seen)
    had = seen.find(got[:18_800]) + hole.at
    assert hole.lost > 40 * CHUNKS
    assert is_within(got[hole.at :], seen)
    assert seen.find(got[hole.at : hole.at + 18_800]) == had + hole.lost
    assert all(each.holes() == [] and is_within(each.path.read_bytes(), seen) for each in others)
