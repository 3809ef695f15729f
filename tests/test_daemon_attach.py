"""Local readers that cannot be let in keep nothing off the air, and what they may changes while the daemon runs."""

import grp
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from channeld.bus.protocol import pack_request
from channeld.channel.alarms import Alarms
from channeld.channel.host_hub import HostHub
from channeld.config import parse_config
from channeld.config_diff import compare
from channeld.config_values import Config
from channeld.daemon_attach import LocalReaders

UNKNOWN = "no-such-group"


class Hosts:
    """Takes every reader, and keeps what it was told with it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def send(self, kind: str, fds: tuple[int, ...], **values: Any) -> bool:
        assert (kind, len(fds)) == ("attach", 1)
        self.asked.append(values)
        return True


class Door:
    """Local readers of channel `one`, as a daemon has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "run").mkdir()
        self.sockets = folder / "run" / "bus"
        self.channels = ["one"]
        self.hosts, self.alarms = Hosts(), Alarms(lambda *_, **__: None)
        self.readers = self.of("{enabled: false}")

    def config(self, attach: str) -> Config:
        text = f"runtime_dir: run\nattach: {attach}\nchannels: {{one: {{outputs: []}}}}\n"
        return parse_config(text.encode(), self._folder / "channeld.yaml")

    def of(self, attach: str) -> LocalReaders:
        self.readers = LocalReaders(self.config(attach), lambda: self.channels, cast(HostHub, self.hosts), self.alarms)
        self.readers.open()
        return self.readers

    def change(self, attach: str) -> None:
        self.readers.change(self.config(attach))

    def alarmed(self) -> list[tuple[str, str]]:
        return [(each["alarm"], each["subject"]) for each in self.alarms.standing()]

    def knock(self) -> dict[str, Any]:
        """What the host is told with a reader that comes now."""
        path, before = self.sockets / "one.sock", len(self.hosts.asked)
        until(path.is_socket)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
            until(lambda: end.connect_ex(str(path)) == 0)
            end.send(pack_request())
            until(lambda: len(self.hosts.asked) > before)
        return self.hosts.asked[-1]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.readers.close()


@pytest.mark.parametrize(
    ("attach", "is_there", "alarmed"),
    [
        ("{}", True, []),
        ("{enabled: false}", False, []),
        (f"{{group: {UNKNOWN}}}", False, [("attach_not_open", "attach")]),
        (f"{{enabled: false, group: {UNKNOWN}}}", False, []),
    ],
    ids=["default", "off", "unknown group", "unknown group but off"],
)
def test_the_sockets_are_there_unless_they_are_off_or_cannot_be(door: Door, attach: str, is_there: bool, alarmed: list[Any]) -> None:
    door.of(attach)
    assert (door.sockets.exists(), door.alarmed()) == (is_there, alarmed)
    door.readers.close()
    assert not door.sockets.exists()


def test_every_key_of_it_counts_from_the_reload_on(door: Door) -> None:
    group = grp.getgrgid(min(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid)).gr_name
    door.change("{enabled: true}")
    assert door.knock() == {"channel": "one", "most": 64, "most_each": 32}
    door.change("{max_readers: 5}")
    assert door.knock() == {"channel": "one", "most": 5, "most_each": 3}
    door.change("{max_readers: 5, max_readers_per_user: 1}")
    assert door.knock() == {"channel": "one", "most": 5, "most_each": 1}
    assert stat.S_IMODE((door.sockets / "one.sock").stat().st_mode) == 0o600
    door.change(f"{{group: {group}}}")
    until((door.sockets / "one.sock").is_socket)
    until(lambda: stat.S_IMODE((door.sockets / "one.sock").stat().st_mode) == 0o660)
    assert (door.sockets / "one.sock").group() == door.sockets.group() == group
    door.change("{}")
    until((door.sockets / "one.sock").is_socket)
    until(lambda: stat.S_IMODE((door.sockets / "one.sock").stat().st_mode) == 0o600)
    door.change("{enabled: false}")
    assert not door.sockets.exists()
    told = compare(door.config("{}"), door.config("{max_readers: 5}"))
    assert (told.daemon, told.needs_restart) == (("attach",), ())


def test_a_group_that_cannot_be_used_is_an_alarm_until_one_can(door: Door) -> None:
    door.change(f"{{group: {UNKNOWN}}}")
    assert (door.alarmed(), door.sockets.exists()) == ([("attach_not_open", "attach")], False)
    (told,) = door.alarms.standing()
    assert "groupadd" in told["message"] and UNKNOWN in told["message"]
    door.change(f"{{group: {UNKNOWN}, max_readers: 3}}")
    assert door.alarmed() == [("attach_not_open", "attach")]
    door.change("{}")
    assert door.alarmed() == []
    door.knock()


def test_a_channel_whose_socket_cannot_be_made_is_an_alarm_until_it_can(door: Door) -> None:
    door.change("{}")
    until((door.sockets / "one.sock").is_socket)
    (door.sockets / "two.sock").mkdir()
    (door.sockets / "three.sock").mkdir()
    door.channels = ["one", "two", "three"]
    until(lambda: sorted(door.alarmed()) == [("attach_not_listening", "three"), ("attach_not_listening", "two")])
    (door.sockets / "two.sock").rmdir()
    until(lambda: door.alarmed() == [("attach_not_listening", "three")])
    door.channels = ["one", "two"]
    until(lambda: door.alarmed() == [])
    door.channels = ["three"]
    until(lambda: door.alarmed() == [("attach_not_listening", "three")])
    door.change("{enabled: false}")
    assert door.alarmed() == []
    (door.sockets / "three.sock").rmdir()
    door.sockets.rmdir()


def test_a_socket_that_somebody_removed_comes_back(door: Door) -> None:
    door.change("{}")
    door.knock()
    (door.sockets / "one.sock").unlink()
    door.knock()
    assert door.alarmed() == []
