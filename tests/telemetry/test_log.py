"""Logs: what is written, whoever logs it, and how repeats are told."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from channeld.base.clock import FakeClock
from channeld.telemetry import log

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """The JSON lines written so far."""
    log.configure("info", "json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_carries_its_facts_its_level_its_part_and_the_time_in_utc(lines: Lines) -> None:
    log.get("push").bind(channel="live1").warning("push_failed", retry_in_s=0.2)
    (line,) = lines()
    assert {k: line[k] for k in ("event", "level", "logger", "channel", "retry_in_s")} == {
        "event": "push_failed",
        "level": "warning",
        "logger": "push",
        "channel": "live1",
        "retry_in_s": 0.2,
    }
    assert line["timestamp"].endswith("Z")


def test_secrets_are_masked_in_texts_nested_values_and_secret_names(lines: Lines) -> None:
    log.get("push").info("push_started", urls=["rtmp://a.example/live2/SECRET"], token="SECRET", inner={"key": "SECRET", "n": 3})
    (line,) = lines()
    assert "SECRET" not in json.dumps(line)
    assert line["inner"] == {"key": "***", "n": 3}


def test_secrets_are_masked_in_the_event_and_in_a_traceback(lines: Lines) -> None:
    try:
        raise OSError("could not reach rtmp://user:SECRET@a.example/app/SECRET")
    except OSError:
        log.get("push").exception("rtmp://a.example/live/SECRET was lost")
    (line,) = lines()
    assert "SECRET" not in json.dumps(line)
    assert "Traceback" in line["exception"]


def test_logs_of_the_standard_library_and_uvicorn_come_out_alike(lines: Lines) -> None:
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addHandler(logging.StreamHandler(io.StringIO()))
    log.configure("info", "json", stream=logging.getLogger().handlers[0].stream)  # type: ignore[attr-defined]
    uvicorn.warning("fetching %s", "rtmp://a.example/live/SECRET")
    (line,) = lines()
    assert (line["event"], line["logger"], line["level"]) == ("fetching rtmp://a.example/live/***", "uvicorn.error", "warning")


def test_events_below_the_level_are_not_written(lines: Lines) -> None:
    log.get("push").debug("child_started")
    logging.getLogger("other").debug("nothing")
    assert lines() == []


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(stream: io.StringIO) -> None:
    log.configure("info", "console", stream=stream)
    log.get("media").info("clip_refused", path="a\x1b[2Jb.mp4")
    assert "\x1b" not in stream.getvalue()


def test_auto_means_json_where_there_is_no_terminal(stream: io.StringIO) -> None:
    log.configure("info", "auto", stream=stream)
    log.get("x").info("started")
    assert json.loads(stream.getvalue())["event"] == "started"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        log.configure("loud")


def test_repeats_are_told_at_once_then_counted_and_told_once_a_second(lines: Lines) -> None:
    clock = FakeClock()
    repeats = log.Repeats(log.get("bus"), clock=clock)
    for n in range(100):
        repeats.tell("warning", "reader_skipped", bytes=n)
    assert [(line["bytes"], line.get("repeats")) for line in lines()] == [(0, None)]
    clock.advance(1.0)
    repeats.flush()
    repeats.flush()
    assert [(line["bytes"], line.get("repeats")) for line in lines()] == [(0, None), (99, 99)]


def test_repeats_of_one_event_do_not_hide_another(lines: Lines) -> None:
    repeats = log.Repeats(log.get("bus"), clock=FakeClock())
    for event in ("reader_skipped", "reader_left", "reader_skipped"):
        repeats.tell("info", event)
    assert [line["event"] for line in lines()] == ["reader_skipped", "reader_left"]


def test_an_owner_that_ends_tells_what_it_still_counts(lines: Lines) -> None:
    repeats = log.Repeats(log.get("bus"), clock=FakeClock())
    repeats.tell("info", "reader_left")
    repeats.tell("info", "reader_left")
    repeats.flush(everything=True)
    assert lines()[-1]["repeats"] == 1


def test_requests_of_the_http_client_are_not_told_one_by_one(lines: Lines) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET http://example.org/a.mp4")
    logging.getLogger("httpx").warning("odd")
    assert [line["event"] for line in lines()] == ["odd"]
