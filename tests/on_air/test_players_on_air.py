"""mpv, VLC and ffplay really play a channel of many joins, by each way: every frame in its place, none lost, no complaint."""

import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nginx_origin import wait_until
from running import FPS, RunningDaemon, free_ports
from timeline import DECK
from viewing import Viewing, is_gone, program, recorder

NOBODY = 65534
WAYS = ("shm", "pipe", "http")
SHORT_S, LONG_S = 4, 60
# What the players and the FFmpeg within them say of a stream that is not as it should be.
COMPLAINTS = re.compile(
    r"error while decoding|conceal|corrupt|invalid|missing reference|non-existing|no frame|decode_slice|discontinuit|continuity|"
    r"non-monoton|out of order|timestamp",
    re.IGNORECASE,
)
FRAME = re.compile(r"showinfo_0.*\bn: *(\d+) pts: *-?\d+ pts_time:([\d.e-]+) ")


@dataclass(frozen=True)
class Seen:
    """What a player showed, by its own account."""

    frames: int
    late: int
    """Decoded, and not shown: the machine was too busy."""
    damaged: int
    missing: int
    """Of the programme, from the first picture that was shown to the last, by their times."""


def _shown(told: str) -> tuple[int, int]:
    """Frames that were shown, and those that are missing between them."""
    times = [float(pts_s) for _, pts_s in FRAME.findall(told)]
    steps = [round((after - before) * FPS) for before, after in itertools.pairwise(times)]
    assert all(step >= 1 for step in steps), "a picture came twice, or before another"
    return len(times), sum(steps) - len(steps)


class Mpv:
    arguments = (
        "--vo=null",
        "--ao=null",
        "--vf=lavfi=[showinfo]",
        "--msg-level=ffmpeg=debug",
        "--no-quiet",
        "--term-status-msg=drops ${frame-drop-count} ${decoder-frame-drop-count}",
    )

    def __init__(self, folder: Path) -> None:
        self.program: Path | str = "mpv"
        self.env = {"HOME": str(folder)}

    def seen(self, told: str) -> Seen:
        frames, missing = _shown(told)
        drops = re.findall(r"drops (\d+) (\d+)", told)
        return Seen(frames, sum(map(int, drops[-1])) if drops else 0, 0, missing)


class Ffplay:
    arguments = ("-stats", "-vf", "showinfo")

    def __init__(self, folder: Path) -> None:
        self.program: Path | str = "ffplay"
        self.env = {"HOME": str(folder), "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}

    def seen(self, told: str) -> Seen:
        frames, missing = _shown(told)
        drops = re.findall(r"fd= *(\d+)", told)
        return Seen(frames, int(drops[-1]) if drops else 0, 0, missing)


class Vlc:
    def __init__(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        self.arguments = ("-v", "--extraintf", "oldrc", "--rc-host", f"127.0.0.1:{self._port}", "--rc-fake-tty")
        self.env = {"HOME": str(folder)}
        # VLC refuses to be root's. We feed its stdin, so that it needs no permission of its own.
        drop = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --pdeathsig KILL" if os.geteuid() == 0 else ""
        text = f'exec {drop} env HOME=/nonexistent vlc -I dummy --vout dummy --aout dummy --no-dbus "$@"'
        self.program: Path | str = program(folder / "vlc-of-nobody", text)

    def seen(self, told: str) -> Seen:
        numbers = {name: int(number) for name, number in re.findall(r"\| ([a-z ]+?) +: +(\d+)\s", self._stats())}
        damaged = numbers.get("demux corrupted", 0) + numbers.get("discontinuities", 0)
        return Seen(numbers.get("frames displayed", 0), numbers.get("frames lost", 0), damaged, 0)

    def _stats(self) -> str:
        told = b""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as end:
            end.settimeout(5)
            end.sendall(b"stats\n")
            while b"end of statistical" not in told and (piece := end.recv(65536)):
                told += piece
        return told.decode(errors="replace")


SCREENS: dict[str, type[Mpv] | type[Ffplay] | type[Vlc]] = {"mpv": Mpv, "ffplay": Ffplay, "vlc": Vlc}


def channel(deck: Path, folder: Path) -> dict[str, Any]:
    """Clips of 1.2 s, one after another."""
    playlist = folder / "list.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in DECK))
    return {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": [{"ts": {}}, {"named_pipe": {}}]}


def decodes(got: Path) -> bool:
    """Without a complaint of FFmpeg's, from the first packet on, which is a PAT."""
    first = got.read_bytes()[:188]
    assert (first[0], int.from_bytes(first[1:3], "big") & 0x1FFF) == (0x47, 0)
    decode = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(got), "-f", "null", "-"]
    return subprocess.run(decode, capture_output=True, text=True, timeout=60, check=True).stderr == ""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("players")
    running = RunningDaemon(folder, {"one": channel(deck, folder)}, cache=prepared)
    running.start()
    yield running
    assert running.stop() == []


def watch(daemon: RunningDaemon, folder: Path, name: str, seconds: float) -> dict[str, Seen]:
    """Let the player play by all ways at a time, until each has shown so much."""
    if shutil.which(name) is None:
        pytest.skip(f"missing on this machine: {name}")
    folder.chmod(0o755)
    seen: dict[str, Seen] = {}
    with contextlib.ExitStack() as stack:
        viewings = {}
        for way in WAYS:
            (folder / way).mkdir()
            screen = SCREENS[name](folder / way)
            options = ("--config", str(daemon.config_path), "--via", way, "--verbose", "--timeout", "60", "--", *screen.arguments)
            viewings[way] = screen, stack.enter_context(Viewing(folder, screen.program, *options, env=screen.env))
        for way, (screen, viewing) in viewings.items():

            def has_shown(way: str = way, screen: Mpv | Ffplay | Vlc = screen, viewing: Viewing = viewing) -> bool:
                assert viewing.process.poll() is None, viewing.told[-4000:]
                seen[way] = screen.seen(viewing.told)
                return seen[way].frames >= seconds * FPS

            wait_until(has_shown, what=f"{seconds} s of pictures by {way}", timeout_s=seconds + 60)
        for way, (_, viewing) in viewings.items():
            complaints = [line for line in viewing.told.splitlines() if "player_said" in line and COMPLAINTS.search(line)]
            assert complaints == [], way
            running = viewing.player()
            assert viewing.interrupt() == 130
            assert is_gone(running)
    return seen


def judge(seen: dict[str, Seen]) -> None:
    """Nothing was damaged, and nothing is missing but what the player itself left out, as a busy machine decoded it too late."""
    for way, each in seen.items():
        assert each.damaged == 0, (way, each)
        assert each.missing <= each.late, (way, each)


@pytest.mark.parametrize("name", SCREENS)
def test_each_player_plays_over_joins_by_each_way(daemon: RunningDaemon, tmp_path: Path, name: str) -> None:
    judge(watch(daemon, tmp_path, name, SHORT_S))


@pytest.mark.long
@pytest.mark.parametrize("name", SCREENS)
def test_each_player_plays_a_minute_over_joins_by_each_way(daemon: RunningDaemon, tmp_path: Path, name: str) -> None:
    seen = watch(daemon, tmp_path, name, LONG_S)
    judge(seen)
    assert all(each.late <= each.frames // 20 for each in seen.values()), seen


def test_what_cannot_be_had_is_passed_over_and_said(daemon: RunningDaemon, tmp_path: Path) -> None:
    """From memory without a word; where that is not to be had, by HTTP, and the reasons on a line each."""
    player, got = recorder(tmp_path)
    for options in (
        ("--config", str(daemon.config_path)),
        ("--runtime-dir", str(tmp_path), "--url", daemon.ts_url("").removesuffix("/ts/")),
    ):
        got.write_bytes(b"")
        with Viewing(tmp_path, player, *options) as viewing:
            wait_until(lambda: got.stat().st_size > 20_000, what="some stream")
            assert viewing.interrupt() == 130
        lines = viewing.told.splitlines()
        assert len(lines) == (0 if options[0] == "--config" else 2), lines
        assert all(re.match(r"one: (shm|pipe): .*; trying (pipe|http)$", line) for line in lines)
        assert decodes(got)


def test_what_keeps_every_way_shut_is_an_exit_code(daemon: RunningDaemon, tmp_path: Path) -> None:
    player, _ = recorder(tmp_path)
    config = ("--config", str(daemon.config_path))
    base = [sys.executable, "-m", "channeld", "play", "--player", str(player)]
    for arguments, code, words in (
        (("none", *config), 2, "answered 404"),
        (("none", *config, "--via", "shm"), 2, "no channel none"),
        (("../one", *config), 2, "is no name"),
        (("one", "--runtime-dir", str(tmp_path), "--url", "http://127.0.0.1:9"), 3, "refused"),
    ):
        told = subprocess.run([*base, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (told.returncode, told.stdout) == (code, ""), told.stderr
        assert words in told.stderr


AS_OTHER = """
import os, sys
sys.path[:0] = sys.argv.pop(1).split(os.pathsep)
import channeld.cli, channeld.cli_play
os.setgroups([]); os.setgid(65534); os.setuid(65534)
channeld.cli.main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_who_may_not_attach_is_told_so(daemon: RunningDaemon) -> None:
    command = [sys.executable, "-c", AS_OTHER, os.pathsep.join(path for path in sys.path if path)]
    command += ["play", "one", "--player", "cat", "--runtime-dir", str(daemon.folder / "run"), "--via", "shm"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert told.returncode == 4
    assert "not permitted" in told.stderr


def make_certificate(folder: Path) -> dict[str, str]:
    """Self-signed, for a name that nobody asks for."""
    if shutil.which("openssl") is None:
        pytest.skip("missing on this machine: openssl")
    paths = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=tv.example"]
    subprocess.run([*command, "-days", "2", "-keyout", paths["key"], "-out", paths["cert"]], capture_output=True, timeout=60, check=True)
    return paths


def test_a_listener_with_a_certificate_and_a_token_is_known_by_the_configuration(
    daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path
) -> None:
    daemon = daemon_of({"one": channel(deck, tmp_path)}, cache=prepared)
    daemon.config["media"] |= {"access": "token", "tls": make_certificate(tmp_path)}
    daemon.start()
    player, got = recorder(tmp_path)
    with Viewing(tmp_path, player, "--config", str(daemon.config_path), "--via", "http") as viewing:
        wait_until(lambda: got.stat().st_size > 100_000, what="some stream")
        assert viewing.interrupt() == 130
    assert decodes(got)
    with Viewing(tmp_path, player, "--config", str(daemon.config_path), "--via", "http", "--token", "wrong") as viewing:
        assert viewing.ends() == 4
        assert "a token is needed" in viewing.told


def test_it_goes_on_over_hosts_that_die_and_ends_with_the_daemon(
    daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path
) -> None:
    """Killed host, killed daemon: the player plays on. A channel that is stopped: it ends, and nothing of it is left."""
    daemon = daemon_of({"one": channel(deck, tmp_path)}, cache=prepared)
    daemon.start()
    player, got = recorder(tmp_path)
    with Viewing(tmp_path, player, "--config", str(daemon.config_path), "--via", "shm") as viewing:
        wait_until(lambda: got.stat().st_size > 50_000, what="some stream")
        (host,) = [process for process in daemon.family() if "channeld.playout.host" in " ".join(process.cmdline())]
        for end in (host.kill, daemon.kill):
            end()
            before = got.stat().st_size
            wait_until(lambda before=before: got.stat().st_size > before + 100_000, what="the stream after it", timeout_s=40)  # type: ignore[misc]
        daemon.start()
        running = viewing.player()
        assert daemon.post("/api/v1/channels/one/stop").status_code == 202
        assert viewing.ends() == 0
        assert is_gone(running)
        assert "off the air" in viewing.told
    assert decodes(got)
