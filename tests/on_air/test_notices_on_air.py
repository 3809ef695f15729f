"""A real daemon tells: webhooks of what happens, also over a restart, alerts of what is wrong, and its status of both."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver, receiving
from running import RunningDaemon, wait_until

from channeld.notices.signature import signature

DOC = Path(__file__).resolve().parent.parent.parent / "docs" / "alerts.md"
SECRET = "a-secret-of-tests"


@pytest.fixture
def told(daemon_of: Callable[..., RunningDaemon], tmp_path: Path) -> RunningDaemon:
    """A channel whose only clip is none, so that its filler airs."""
    (tmp_path / "broken.mp4").write_bytes(b"no film" * 1000)
    (tmp_path / "list.txt").write_text("broken.mp4\n")
    daemon = daemon_of({"one": {"playlist": str(tmp_path / "list.txt")}})
    daemon.environment = {"HOOK_SECRET": SECRET}
    return daemon


def configure(daemon: RunningDaemon, receiver: Receiver) -> None:
    hook = {"name": "tests", "url": receiver.url, "secret": "${HOOK_SECRET}", "private": True}
    daemon.config["webhooks"] = [hook]
    daemon.config["alerts"] = {
        "targets": [{"name": "ops", "url": f"json://127.0.0.1:{receiver.port}/alerts"}],
        "rules": [{"when": "channel_filler", "for_seconds": 0}, {"when": "clip_failed"}],
        "group_seconds": 1,
    }


def events(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in list(receiver.got) if each.path == "/hook"]


def messages(receiver: Receiver) -> str:
    return "\n".join(json.loads(each.body)["message"] for each in list(receiver.got) if each.path.startswith("/alerts"))


def heard_all(daemon: RunningDaemon, receiver: Receiver) -> bool:
    """Every event since the hook's first one has come."""
    mine = [event["id"] for event in events(receiver)]
    newest = [event["id"] for event in daemon.get("/api/v1/events/recent?limit=2000")]
    return bool(mine) and set(mine) >= {number for number in newest if number >= mine[0]}


def since(daemon: RunningDaemon) -> str | None:
    return daemon.get("/api/v1/status")["since"] if daemon.answers("/readyz") else None


def test_programs_and_people_are_told_and_nothing_is_missed_over_a_restart(told: RunningDaemon) -> None:
    with receiving() as receiver:
        configure(told, receiver)
        told.start()
        wait_until(lambda: "channel_filler one: the filler airs" in messages(receiver), what="the alert", timeout_s=40)
        wait_until(lambda: "clip_failed one: " in messages(receiver), what="the refused clip", timeout_s=40)
        before = since(told)
        told.post("/api/v1/restart")
        wait_until(lambda: since(told) not in (None, before), what="another control", timeout_s=40)
        told.post("/api/v1/channels/one/stop")
        wait_until(lambda: any(event.get("state") == "stopped" for event in events(receiver)), what="the stop", timeout_s=40)
        wait_until(lambda: heard_all(told, receiver), what="every event", timeout_s=40)
        wait_until(lambda: "RESOLVED channel_filler one" in messages(receiver), what="the end of the alert", timeout_s=40)
        status = told.get("/api/v1/status")
        figures = told.client().get("/metrics").text
    ids = [event["id"] for event in events(receiver)]
    assert ids == sorted(ids)
    assert messages(receiver).count("FIRING channel_filler") == 1
    (hook,) = status["webhooks"]
    assert (hook["name"], hook["state"], hook["dropped"], hook["url"]) == ("tests", "ok", 0, f"http://127.0.0.1:{receiver.port}/***")
    assert status["alerts"]["targets"][0]["name"] == "ops"
    assert re.search(r'^channeld_webhook_events_total\{result="delivered",webhook="tests"\} [1-9]', figures, re.MULTILINE)
    assert SECRET not in told.log_path.read_text() + json.dumps(status)
    assert_genuine(receiver)


def assert_genuine(receiver: Receiver) -> None:
    """By the code that the documentation gives to receivers."""
    found = re.search(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert found is not None
    shown: dict[str, Any] = {}
    exec(found[1], shown)
    is_genuine = shown["is_genuine"]
    deliveries = [each for each in receiver.got if each.path == "/hook"]
    for each in deliveries:
        assert is_genuine(SECRET.encode(), each.headers, each.body)
        assert not is_genuine(b"another", each.headers, each.body)
        assert not is_genuine(SECRET.encode(), each.headers, each.body + b" ")
    timestamp, body = str(int(time.time()) - 3600), deliveries[0].body
    old = {"x-channeld-timestamp": timestamp, "x-channeld-signature": signature(SECRET, timestamp, body)}
    assert not is_genuine(SECRET.encode(), old, body)


def test_a_reload_brings_webhooks_and_takes_them_away(told: RunningDaemon) -> None:
    with receiving() as receiver:
        told.start()
        assert told.get("/api/v1/status")["webhooks"] == []
        configure(told, receiver)
        told.write_config()
        assert told.post("/api/v1/reload").json()["daemon"] == ["webhooks", "alerts"]
        told.post("/api/v1/channels/one/stop")
        wait_until(lambda: any(event.get("state") == "stopped" for event in events(receiver)), what="the stop")
        for name in ("webhooks", "alerts"):
            del told.config[name]
        told.write_config()
        told.post("/api/v1/reload")
        wait_until(lambda: told.get("/api/v1/status")["webhooks"] == [], what="no webhook")
