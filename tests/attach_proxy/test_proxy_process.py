"""`channeld attach-proxy` and `channeld cat --from` as processes: what they refuse, what they survive, and how they end."""

import grp
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from certificates import Papers
from click.testing import Result
from proxies import ProxyProcess
from small_air import SmallAir, chunk_of, until
from typer.testing import CliRunner

from channeld.attach_proxy.listen import listening
from channeld.base.errors import ChannelError
from channeld.cli import app
from channeld.client.far import Way, connect_far
from channeld.far import wire
from channeld.far.address import UnixAddress
from channeld.far.seal import SealBroken
from channeld.far.sides import ReaderSide


def channeld(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_channel_goes_through_all_of_it_and_ends_with_the_proxy(air: SmallAir, papers: Papers, key_file: Path, tmp_path: Path) -> None:
    air.begin()
    (cert, key), (shown, secret) = papers.files("proxy"), papers.files("reader")
    served = ["--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(papers.ca), "--key-file", str(key_file), "--compress"]
    with ProxyProcess(air.folder, *served) as proxy:
        asked = ["--tls-ca", str(papers.ca), "--tls-cert", str(shown), "--tls-key", str(secret), "--key-file", str(key_file), "--compress"]
        command = [sys.executable, "-m", "channeld", "cat", "one", "--from", proxy.where, "--timeout", "60", *asked]
        got = tmp_path / "got"
        with got.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, text=True) as reader:
            until(lambda: air.feeder.readers.count("one") == 1, "it reads")
            noise = random.Random(5)
            chunks = [noise.randbytes(188 * 30) if number % 2 else chunk_of(number) for number in range(50)]
            for chunk in chunks:
                air.publish(chunk)
            until(lambda: got.stat().st_size == sum(map(len, chunks)), "all of it")
            assert got.read_bytes() == b"".join(chunks)
            assert proxy.stop() == 0
            assert reader.stderr is not None
            assert reader.wait(20) == 0
            assert "the proxy ends" in reader.stderr.read()
        assert [line["channel"] for line in proxy.lines("far_reader_gone")] == ["one"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "tcp:0.0.0.0:0"], "anybody could read there"),
        (["--listen", "tcp:[::]:0"], "anybody could read there"),
        (["--listen", "tcp:0.0.0.0:0", "--tls-cert", "proxy.pem", "--tls-key", "proxy.key"], "--tls-client-ca"),
        (["--listen", "tcp:127.0.0.1:0", "--tls-cert", "proxy.pem"], "go together"),
        (["--listen", "tcp:127.0.0.1:0", "--tls-cert", "none.pem", "--tls-key", "none.key"], "cannot be used"),
        (
            ["--listen", "tcp:127.0.0.1:0", "--tls-cert", "proxy.pem", "--tls-key", "proxy.key", "--tls-client-ca", "proxy.key"],
            "cannot be used",
        ),
        (["--listen", "tcp:127.0.0.1:0", "--group", "root"], "Unix sockets"),
        (["--listen", "unix:/nowhere/at/all.sock"], "cannot be listened at"),
        (["--listen", "unix:/nowhere.sock", "--group", "no-such-group"], "no group"),
        (["--listen", "tcp:127.0.0.1:0", "--key-file", "proxy.pem"], "proxy.pem"),
        (["--listen", "9000"], "is no address"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused_before_it_listens(options: list[str], words: str, papers: Papers, tmp_path: Path) -> None:
    placed = [str(papers.folder / option) if option.endswith((".pem", ".key")) else option for option in options]
    told = channeld("attach-proxy", "--runtime-dir", str(tmp_path), *placed)
    assert told.exit_code in (1, 2)
    assert words in told.stderr


def test_options_of_a_far_reader_want_a_proxy(tmp_path: Path) -> None:
    told = channeld("cat", "one", "--runtime-dir", str(tmp_path), "--compress")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "--from" in told.stderr


def test_a_killed_proxy_s_socket_is_replaced_and_a_living_one_s_is_not(air: SmallAir, tmp_path: Path) -> None:
    path = tmp_path / "far.sock"
    with ProxyProcess(air.folder, listen=f"unix:{path}") as proxy:
        with pytest.raises(ChannelError, match="somebody listens"), listening(UnixAddress(path)):
            pass
        proxy.process.send_signal(signal.SIGKILL)
    assert path.is_socket()
    with listening(UnixAddress(path), os.getgid()) as listeners:
        assert listeners[0].getsockname() == str(path)
        assert (path.stat().st_mode & 0o777, path.stat().st_gid) == (0o660, os.getgid())
        assert grp.getgrgid(path.stat().st_gid)
    assert not path.exists()
    path.write_text("somebody's")
    with pytest.raises(ChannelError, match="is no socket"), listening(UnixAddress(path)):
        pass


def exchange(where: str, key: bytes | None, spoil: random.Random) -> None:
    """One connection that says what a reader says, spoiled, until it is hung up on."""
    host, port = where.split(":")[1:]
    side = ReaderSide(wire.Request("one"), key=key, is_compressed=spoil.random() < 0.5)
    with socket.create_connection((host, int(port)), 20) as end:
        end.settimeout(20)
        try:
            for _ in range(2):
                said = bytearray(side.to_send())
                for _ in range(spoil.choice((0, 1, 1, 5))):
                    said[spoil.randrange(len(said))] ^= 1 << spoil.randrange(8)
                if spoil.random() < 0.2:
                    end.sendall(said[: spoil.randrange(1, 50)])
                    break
                end.sendall(said)
                side.feed(end.recv(1000))
                side.next()
            end.sendall(spoil.randbytes(spoil.randrange(2000)))
            end.shutdown(socket.SHUT_WR)
            while end.recv(1 << 16):
                pass
        except (OSError, ValueError, wire.WireError, SealBroken):
            pass  # hung up on, or nothing more to say


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
def test_hostile_readers_cost_it_neither_its_life_nor_memory(air: SmallAir, key_file: Path, sealed: bool) -> None:
    air.begin()
    with ProxyProcess(air.folder, "--compress", *(["--key-file", str(key_file)] if sealed else [])) as proxy:
        of_process = psutil.Process(proxy.process.pid)
        spoil = random.Random(7)
        for _ in range(50):
            exchange(proxy.where, bytes(32) if sealed else None, spoil)
        before = of_process.memory_info().rss
        for _ in range(150):
            exchange(proxy.where, bytes(32) if sealed else None, spoil)
        assert of_process.memory_info().rss < before + 20_000_000
        with connect_far("one", proxy.where, Way(key_file if sealed else None), timeout=20) as stream:
            air.publish(chunk_of(1))
            assert next(stream) == chunk_of(1)
            until(lambda: of_process.num_fds() < 20, "connections are let go")
        assert proxy.stop() == 0
    assert "Traceback" not in proxy.text()
