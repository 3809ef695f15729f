"""A server that sleeps still hears at once that it should end."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import uvicorn

from channeld.api.quiet_server import QuietServer


async def hello(scope: dict[str, Any], _receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class SleepyServer(QuietServer):
    """Its next tick never comes while a test runs."""

    tick_s = 3600.0


def make_server() -> SleepyServer:
    return SleepyServer(uvicorn.Config(hello, lifespan="off", log_config=None, timeout_graceful_shutdown=1))


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_sleeping_server_answers_and_ends_when_another_thread_says_so(listener: socket.socket) -> None:
    server = make_server()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        answer = httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=10)
    finally:
        server.stop()
        thread.join(20)
    assert (answer.text, thread.is_alive()) == ("hello", False)
    assert "date" in answer.headers
    server.stop()


def test_a_server_stopped_before_it_serves_ends_at_once(listener: socket.socket) -> None:
    server, address = make_server(), listener.getsockname()
    server.stop()
    asyncio.run(asyncio.wait_for(server.serve([listener]), 20))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5).close()


async def endless(scope: dict[str, Any], _receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        await asyncio.sleep(0.05)


def test_a_viewer_who_stays_to_the_end_is_no_error(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    server = SleepyServer(uvicorn.Config(endless, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    with httpx.stream("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/", trust_env=False) as answer:
        next(answer.iter_raw())
        server.stop()
        thread.join(20)
    assert not thread.is_alive()
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")] == []
