"""The way through named pipes: one for each viewer, none shared, none waited for too long."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from small_air import chunk_of, open_descriptors, until
from viewing import Viewing, recorder

from channeld.viewer import named_pipe
from channeld.viewer.named_pipe import NamedPipe
from channeld.viewer.way import WayLost, Why


@pytest.fixture
def pipes(tmp_path: Path) -> list[Path]:
    """Two pipes of channel `one`."""
    paths = [tmp_path / "pipes" / name for name in ("one.ts", "one-2.ts")]
    paths[0].parent.mkdir()
    for path in paths:
        os.mkfifo(path)
    return paths


@contextmanager
def writing(path: Path) -> Iterator[int]:
    """A write end, once somebody reads."""
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            break
        assert time.monotonic() < deadline, f"nobody reads {path}"
        time.sleep(0.005)
    try:
        yield fd
    finally:
        os.close(fd)


def next_of(way: NamedPipe) -> bytes:
    found: list[bytes] = []

    def has_come() -> bool:
        if (piece := way.receive(0.1)) is not None:
            found.append(piece)
        return bool(found)

    until(has_come, "bytes of the pipe")
    return found[0]


def test_each_viewer_takes_a_pipe_of_its_own_and_gives_it_back(tmp_path: Path, pipes: list[Path]) -> None:
    before = open_descriptors()
    first, second = NamedPipe("one", tmp_path), NamedPipe("one", tmp_path)
    assert [first.path, second.path] == pipes
    with pytest.raises(WayLost, match=r"all pipes.*count"):
        NamedPipe("one", tmp_path)
    first.close()
    third = NamedPipe("one", tmp_path)
    assert third.path == pipes[0]
    second.close()
    third.close()
    assert open_descriptors() == before


def test_whole_packets_come_whatever_pieces_they_were_written_in(tmp_path: Path, pipes: list[Path]) -> None:
    way = NamedPipe("one", tmp_path)
    assert way.receive(0.01) is None  # nobody writes yet
    with writing(pipes[0]) as fd:
        os.write(fd, chunk_of(1)[:200])
        assert next_of(way) == chunk_of(1)[:188]
        os.write(fd, chunk_of(1)[200:])
        assert next_of(way) == chunk_of(1)[188:]
    way.close()


def test_a_writer_may_come_back_also_with_another_pipe(tmp_path: Path, pipes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    way = NamedPipe("one", tmp_path)
    with writing(pipes[0]) as fd:
        os.write(fd, chunk_of(1) + b"a torn packet")
        assert next_of(way) == chunk_of(1)
    assert way.receive(0.1) is None
    with writing(pipes[0]) as fd:
        os.write(fd, bytes(188 - len(b"a torn packet")) + chunk_of(2))
        assert next_of(way)[188:] == chunk_of(2)
    pipes[0].unlink()
    os.mkfifo(pipes[0])
    until(lambda: way.receive(0.01) is None and os.fstat(way._fd).st_ino == pipes[0].stat().st_ino, "the new pipe")
    with writing(pipes[0]) as fd:
        os.write(fd, chunk_of(3))
        assert next_of(way) == chunk_of(3)
    monkeypatch.setattr(named_pipe, "RETURN_S", 0.1)

    def has_ended() -> bool:
        try:
            return way.receive(0.01) is not None
        except WayLost as lost:
            return "nobody writes" in str(lost) and lost.why is Why.ABSENT

    until(has_ended, "its end")
    way.close()


def test_a_pipe_that_gives_nothing_is_left_for_the_next(tmp_path: Path, pipes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_pipe, "SERVED_S", 0.05)
    os.mkfifo(tmp_path / "pipes" / "one-3.ts")
    way = NamedPipe("one", tmp_path)
    passed: set[Path] = set()
    until(lambda: way.receive(0.01) is None and passed.add(way.path) is None and len(passed) == 3, "a look at every pipe")
    way.close()
    way = NamedPipe("one", tmp_path)
    fed = os.open(pipes[1], os.O_RDWR)
    os.write(fed, chunk_of(1))
    assert next_of(way) == chunk_of(1)
    assert way.path == pipes[1]
    os.close(fed)
    way.close()


def test_what_is_no_pipe_is_told(tmp_path: Path, pipes: list[Path]) -> None:
    with pytest.raises(WayLost, match="named_pipe") as lost:
        NamedPipe("two", tmp_path)
    assert lost.value.why is Why.ABSENT
    pipes[0].unlink()
    pipes[0].write_text("a file")
    with pytest.raises(WayLost, match="is not a named pipe"):
        NamedPipe("one", tmp_path)


def test_a_player_is_fed_from_the_pipe_and_one_that_nobody_writes_into_is_given_up(tmp_path: Path, pipes: list[Path]) -> None:
    player, got = recorder(tmp_path)
    options = ("--runtime-dir", str(tmp_path), "--via", "pipe", "--timeout", "60")
    with Viewing(tmp_path, player, *options) as viewing:
        with writing(pipes[0]) as fd:
            os.write(fd, chunk_of(1))
            until(lambda: got.read_bytes() == chunk_of(1), "the stream")
            with Viewing(tmp_path, player, *options, "--timeout", "0.3") as other:
                assert other.ends() == 1
                assert "nothing came for 0.3 s" in other.told
        assert viewing.ends() == 0
        assert "nobody writes" in viewing.told
    assert all(path.is_fifo() for path in pipes)
