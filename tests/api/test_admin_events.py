"""Following the events over real HTTP: many readers, slow ones, ones that come again."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from admin_site import AT, BEARER, TOKEN, Site, running_site

from channeld.api.event_ring import KEPT

EVENTS = "/api/v1/events"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as made:
        yield made


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until it is true; fails after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.01)


def kinds(answer: httpx.Response, count: int) -> list[str]:
    """The kinds of the next events."""
    found: list[str] = []
    for line in answer.iter_lines():
        if line.startswith("event: "):
            found.append(line.removeprefix("event: "))
        if len(found) == count:
            break
    return found


def recent(site: Site, query: str = "") -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = site.ask("GET", f"{EVENTS}/recent{query}").json()
    return events


def test_events_come_with_ids_and_heartbeats(site: Site) -> None:
    with site.client.stream("GET", EVENTS) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = answer.iter_lines()
        assert ": alive" in (next(lines) for _ in range(4))
        site.control.publish("aired", "live1")
        told = [line for line in (next(lines) for _ in range(40)) if line and line != ": alive"][:3]
    assert told[:2] == ["id: 1", "event: aired"]
    assert json.loads(told[2].removeprefix("data: ")) == {"id": 1, "kind": "aired", "at": AT, "channel": "live1"}


def test_a_reader_that_comes_again_gets_what_it_missed(site: Site) -> None:
    for kind in ("one", "two", "three"):
        site.control.publish(kind, "live1")
    with site.client.stream("GET", EVENTS, headers={"Last-Event-ID": "1"}) as answer:
        assert kinds(answer, 2) == ["two", "three"]


def test_a_reader_gets_only_the_channels_and_kinds_it_asked_for(site: Site) -> None:
    with site.client.stream("GET", f"{EVENTS}?channel=live2&kind=one,two") as answer:
        for channel, kind in (("live1", "one"), ("live2", "three"), ("live2", "two"), ("live2", "one")):
            site.control.publish(kind, channel)
        assert kinds(answer, 2) == ["two", "one"]


def test_the_newest_events_come_as_json_newest_first(site: Site) -> None:
    for number in range(5):
        site.control.publish("even" if number % 2 == 0 else "odd", "live1")
    wait_until(lambda: len(recent(site)) == 5)
    assert [event["id"] for event in recent(site, "?kind=even&limit=2")] == [5, 3]
    assert recent(site, "?channel=live2") == []


@pytest.mark.parametrize("query", ["kind=A", "kind=a,,b", "channel=%00", "channel=LIVE", "limit=0", "limit=2001", "limit=x", "kind="])
def test_a_filter_that_can_mean_nothing_is_refused(site: Site, query: str) -> None:
    assert site.ask("GET", f"{EVENTS}/recent?{query}").status_code == 422


def test_readers_beyond_the_cap_are_refused_and_one_that_leaves_makes_room() -> None:
    with running_site(max_event_readers=3) as site:
        streams = [site.client.stream("GET", EVENTS) for _ in range(4)]
        assert [stream.__enter__().status_code for stream in streams] == [200, 200, 200, 503]
        assert site.ask("GET", "/api/v1/channels").status_code == 200
        for stream in streams:
            stream.__exit__(None, None, None)

        def is_admitted() -> bool:
            with site.client.stream("GET", EVENTS) as again:
                return again.status_code == 200

        wait_until(is_admitted)


def test_hundreds_of_readers_leave_room_for_everybody_else(site: Site) -> None:
    """More than the listener takes of other connections; each gets every event."""
    limits = httpx.Limits(max_connections=300)
    with httpx.Client(base_url=site.client.base_url, headers=BEARER, trust_env=False, limits=limits, timeout=30) as readers:
        streams = [readers.stream("GET", EVENTS) for _ in range(200)]
        answers = [stream.__enter__() for stream in streams]
        assert {answer.status_code for answer in answers} == {200}
        for kind in ("one", "two"):
            site.control.publish(kind, "live1")
        assert all(kinds(answer, 2) == ["one", "two"] for answer in answers)
        assert site.ask("GET", "/api/v1/channels").status_code == 200
        for stream in streams:
            stream.__exit__(None, None, None)


def test_everybody_may_come_again_at_once(site: Site) -> None:
    """As after a restart: more connections than the listener takes of others, before any has asked for something."""
    with contextlib.ExitStack() as ends:
        readers = [ends.enter_context(socket.create_connection(("127.0.0.1", site.server.port), timeout=20)) for _ in range(400)]
        for reader in readers:
            reader.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert {reader.recv(12) for reader in readers} == {b"HTTP/1.1 200"}
        assert site.ask("GET", "/api/v1/channels").status_code == 200


def test_a_reader_that_does_not_read_is_moved_on_and_told(site: Site) -> None:
    """What it was sent fills the sockets' buffers; then the ring overtakes it, and nobody else notices."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(20)
        reader.connect(("127.0.0.1", site.server.port))
        reader.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        text = bytearray(reader.recv(4096))
        for number in range(KEPT * 2):
            site.control.publish(f"kind_{number}", "c" * 8_000)
            if number % 200 == 0:
                wait_until(lambda kind=f"kind_{number}": recent(site, "?limit=1")[0]["kind"] == kind)  # type: ignore[misc]
        last = f"event: kind_{KEPT * 2 - 1}\n".encode()
        while (found := text.find(last, max(0, len(text) - 100_000))) < 0 or text.find(b"\n\n", found) < 0:
            text += reader.recv(1 << 20)
    told = [json.loads(line.removeprefix(b"data: ")) for line in bytes(text).split(b"\n") if line.startswith(b"data: ")]
    missed = [event["count"] for event in told if event["kind"] == "missed"]
    assert missed
    assert len(told) - len(missed) + sum(missed) == KEPT * 2
