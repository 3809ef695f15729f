"""A viewer between a channel and a player: whichever of them ends, stalls, or is killed, nothing is left and the reason is told."""

import os
import signal
from pathlib import Path

import pytest
from small_air import SmallAir, chunk_of, until
from viewing import Viewing, is_gone, program, recorder


def view(air: SmallAir, player: Path, *options: str) -> Viewing:
    return Viewing(air.folder, player, "--runtime-dir", str(air.folder), "--via", "shm", "--timeout", "60", *options)


def test_the_player_gets_the_stream_and_ends_with_the_channel(air: SmallAir) -> None:
    player, got = recorder(air.folder)
    air.begin()
    air.publish(chunk_of(1))
    with view(air, player) as viewing:
        until(lambda: got.read_bytes() == chunk_of(1), "the newest random access point")
        air.publish(chunk_of(2))
        until(lambda: got.read_bytes() == chunk_of(1) + chunk_of(2), "what came next")
        running = viewing.player()
        air.publish(chunk_of(3))
        air.end()
        assert viewing.ends() == 0
        assert is_gone(running)
        assert viewing.told == "one: one is off the air\n"
    assert got.read_bytes() == chunk_of(1) + chunk_of(2) + chunk_of(3)


def test_it_ends_with_the_player_and_tells_what_a_failing_one_said(air: SmallAir) -> None:
    air.begin()
    air.publish(chunk_of(1))
    content = program(air.folder / "content", "exec head -c 188 >/dev/null")
    with view(air, content) as viewing:
        assert (viewing.ends(), viewing.told) == (0, "")
    failing = program(air.folder / "failing", "echo no screen here; echo no sound >&2; exit 7")
    with view(air, failing) as viewing:
        assert (viewing.ends(), viewing.told) == (1, "one: failing ended with status 7\n  no screen here\n  no sound\n")
    deaf = program(air.folder / "deaf", "exec <&-; exec sleep 600")  # reads no more, and stays
    with view(air, deaf) as viewing:
        running = viewing.player()
        until(lambda: air.publish(chunk_of(2)) or is_gone(running), "it is ended")
        assert viewing.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both_however_still_the_player_stands(air: SmallAir, number: signal.Signals) -> None:
    player, _ = recorder(air.folder)
    air.begin(capacity_bytes=1 << 20)
    air.publish(chunk_of(1))
    with view(air, player) as viewing:
        running = viewing.player()
        running.suspend()
        for count in range(2, 60):  # more than the pipe holds
            air.publish(chunk_of(count))
        viewing.process.send_signal(number)
        assert viewing.ends() == 130
        assert is_gone(running)


@pytest.mark.parametrize("is_still", [False, True])
def test_a_killed_viewer_takes_its_player_along(air: SmallAir, is_still: bool) -> None:
    player = program(air.folder / "stubborn", "trap '' INT TERM; exec sleep 600")
    air.begin()
    air.publish(chunk_of(1))
    with view(air, player) as viewing:
        running = viewing.player()
        if is_still:
            running.suspend()
        viewing.process.kill()
        until(lambda: is_gone(running), "the player's end")
    until(lambda: air.publish(chunk_of(2)) or not air.feeder.readers.count("one"), "no reader is left")


def test_a_killed_player_ends_the_viewer(air: SmallAir) -> None:
    player, _ = recorder(air.folder)
    air.begin()
    air.publish(chunk_of(1))
    with view(air, player) as viewing:
        viewing.player().kill()
        assert (viewing.ends(), viewing.told) == (1, "one: recorder was killed by SIGKILL\n")


def test_both_killed_at_once_leave_nothing(air: SmallAir) -> None:
    player, _ = recorder(air.folder)
    air.begin()
    air.publish(chunk_of(1))
    with view(air, player) as viewing:
        running = viewing.player()
        os.kill(viewing.process.pid, signal.SIGKILL)
        running.kill()
        until(lambda: is_gone(running), "the player's end")
    with view(air, player) as viewing:
        viewing.player()
        assert viewing.interrupt() == 130


def test_a_player_that_stands_still_loses_data_and_is_told_how_much(air: SmallAir) -> None:
    player, got = recorder(air.folder)
    air.begin(capacity_bytes=64 * 1024, slices=64)
    air.publish(chunk_of(0))
    with view(air, player) as viewing:
        until(lambda: got.read_bytes() == chunk_of(0), "the first")
        running = viewing.player()
        running.suspend()
        size = len(chunk_of(0))
        # The pipe takes some; from then on the ring is written over.
        for number in range(1, 400):
            air.publish(chunk_of(number))
        running.resume()
        last = 400

        def has_gone_on() -> bool:
            nonlocal last
            air.publish(chunk_of(last))
            last += 1
            return got.stat().st_size > 0 and newest_of(got.read_bytes()) >= 400

        until(has_gone_on, "it goes on")
        viewing.interrupt()
    whole = got.read_bytes()
    lost = sum(int(line.split(", and ")[1].split()[0]) for line in viewing.told.splitlines() if "were lost" in line)
    assert lost > 0
    assert len(whole) // size * size + lost == (newest_of(whole) + 1) * size


def newest_of(whole: bytes) -> int:
    size = len(chunk_of(0))
    at = (len(whole) // size - 1) * size
    return int.from_bytes(whole[at : at + 4], "big")


def test_reconnect_waits_for_the_channel_with_the_same_player(air: SmallAir) -> None:
    player, got = recorder(air.folder)
    with view(air, player, "--reconnect") as viewing:
        viewing.tells("waiting for one")
        assert got.stat().st_size == 0
        air.begin(generation=1)
        air.publish(chunk_of(1))
        until(lambda: got.read_bytes() == chunk_of(1), "the channel")
        running = viewing.player()
        air.end()
        viewing.tells("off the air")
        air.begin(generation=2)
        air.publish(chunk_of(2))
        until(lambda: got.read_bytes() == chunk_of(1) + chunk_of(2), "the channel again")
        assert viewing.player().pid == running.pid
        assert viewing.interrupt() == 130


def test_restart_starts_the_player_again_at_the_newest_random_access_point(air: SmallAir) -> None:
    player, got = recorder(air.folder)
    air.begin()
    air.publish(chunk_of(1))
    air.publish(chunk_of(2), is_random_access=False)
    with view(air, player, "--restart") as viewing:
        until(lambda: got.read_bytes() == chunk_of(1) + chunk_of(2), "the stream")
        first = viewing.player()
        got.write_bytes(b"")
        first.kill()
        until(lambda: got.read_bytes() == chunk_of(1) + chunk_of(2), "the stream from there again")
        second = viewing.player()
        got.write_bytes(b"")
        viewing.process.send_signal(signal.SIGUSR1)
        until(lambda: got.read_bytes() == chunk_of(1) + chunk_of(2), "and once more")
        assert is_gone(second)
        assert viewing.interrupt() == 130
    failing = program(air.folder / "failing", "exit 7")
    with view(air, failing, "--restart") as viewing:
        assert viewing.ends() == 1
        assert viewing.told.count("failing ended with status 7\n") == 3
        assert "given up" in viewing.told


def test_verbose_tells_what_each_part_does(air: SmallAir) -> None:
    player, got = recorder(air.folder)
    air.begin(generation=1)
    air.publish(chunk_of(1))
    with view(air, player, "--verbose") as viewing:
        until(lambda: got.read_bytes() == chunk_of(1), "the stream")
        running = viewing.player()
        air.begin(generation=2)
        air.publish(chunk_of(2))
        viewing.tells("generation=2")
        assert viewing.interrupt() == 130
        for words in ("[play.transport]", "via=shm", "[play.feeder]", "bytes=", "[play.player]", f"pid={running.pid}", "player_ended"):
            assert words in viewing.told


def test_no_player_is_told_with_what_was_looked_for(air: SmallAir) -> None:
    for player, words in (("/nowhere/mpv", "apt install mpv"), ("/nowhere/other", "not installed")):
        with view(air, Path(player)) as viewing:
            assert viewing.ends() == 1
            assert words in viewing.told


def test_a_player_of_another_kind_gets_the_arguments_and_nothing_else(air: SmallAir) -> None:
    air.begin()
    air.publish(chunk_of(1))
    said = air.folder / "said"
    player = program(air.folder / "own", f'printf "%s|" "$PWD" "$@" >"{said}"')
    command = view(air, player, "--", "--flag", "a b")
    with command as viewing:
        assert viewing.ends() == 0
    assert said.read_text() == f"{Path.cwd()}|--flag|a b|"
