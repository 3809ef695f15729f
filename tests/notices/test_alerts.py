"""Alerts as they are sent: by apprise, to an HTTP endpoint of the test's own."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver, until

from channeld.channel.events import EventLog
from channeld.notices import alerts
from channeld.notices.alert_book import Fact
from channeld.notices.alert_file import AlertFile
from channeld.notices.alerts import Alerts, Sender
from channeld.notices.apprise_target import is_target, send, without_secrets
from channeld.notices.letters import Letter
from channeld.notices.settings import AlertRule, AlertSettings, AlertTarget, Trouble

DOWN = Fact(Trouble.OUTPUT_DOWN, "one/rtmp", "connection lost", "one")
RULES = (AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",)), AlertRule("clips", Trouble.CLIP_FAILED, ("ops", "gone")))


class Scene:
    """Alerts over facts that the test sets."""

    def __init__(self, folder: Path, log: EventLog) -> None:
        self.facts: list[Fact] | None = []
        self.log = log
        self._file = AlertFile(folder / "alerts.json")
        self._running: list[Alerts] = []

    def open(self, *targets: AlertTarget, rules: tuple[AlertRule, ...] = RULES) -> Alerts:
        settings = AlertSettings(targets, rules, group_s=0.1)
        sender = Sender(first_s=0.05)
        made = Alerts(settings, self._look, self.log.subscribe(None), sender=sender, file=self._file, publish=self.log.publish, settle_s=0)
        made.start()
        self._running.append(made)
        return made

    def close(self) -> None:
        while self._running:
            self._running.pop().close()

    def _look(self, wanted: frozenset[Trouble]) -> list[Fact]:
        if self.facts is None:
            raise TimeoutError
        return [fact for fact in self.facts if fact.trouble in wanted]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(alerts, "LOOK_S", 0.05)
    made = Scene(tmp_path, EventLog())
    yield made
    made.close()


def target(receiver: Receiver, name: str = "ops") -> AlertTarget:
    return AlertTarget(name, f"json://user:pass-word@127.0.0.1:{receiver.port}/hidden-token")


def messages(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in receiver.got]


def told(log: EventLog) -> list[tuple[str, str]]:
    events = [record.event for record in log.remembered()[0]]
    return [(event["state"], event["subject"]) for event in events if event["kind"] == "alert"]


def test_what_is_wrong_is_told_and_so_is_its_end(scene: Scene, receiver: Receiver) -> None:
    opened = scene.open(target(receiver))
    scene.facts = [DOWN]
    until(lambda: len(receiver.got) == 1, "the alert")
    assert [each["subject"] for each in opened.describe()["firing"]] == ["one/rtmp"]
    scene.facts = None  # control does not answer: nothing is known
    scene.facts = []
    until(lambda: len(receiver.got) == 2, "its end")
    assert [(each["title"], each["type"]) for each in messages(receiver)] == [
        ("channeld: firing down one/rtmp", "failure"),
        ("channeld: resolved down one/rtmp", "success"),
    ]
    assert messages(receiver)[0]["message"] == "FIRING down one/rtmp: connection lost"
    assert told(scene.log) == [("firing", "one/rtmp"), ("resolved", "one/rtmp")]
    assert opened.describe()["firing"] == []


def test_a_refused_clip_is_told_to_all_targets_of_the_rule_and_one_that_is_away_holds_up_nobody(scene: Scene, receiver: Receiver) -> None:
    opened = scene.open(AlertTarget("gone", "json://127.0.0.1:1/"), target(receiver))
    until(lambda: len(opened.describe()["targets"]) == 2, "targets")
    scene.log.publish("clip_refused", channel="one", path="a.avi", reason="no frame decodes")
    until(lambda: len(receiver.got) == 1, "the alert")
    until(lambda: opened.describe()["targets"][0]["failures"] > 1, "another attempt")
    gone, ops = opened.describe()["targets"]
    assert messages(receiver)[0]["message"] == "FIRING clips one: a.avi: no frame decodes"
    assert (gone["sent"], gone["waiting"], ops["sent"], ops["waiting"]) == (0, 1, 1, 0)
    assert gone["last_error"]


def test_another_process_resolves_what_this_one_told_and_tells_nothing_twice(scene: Scene, receiver: Receiver) -> None:
    scene.facts = [DOWN, Fact(Trouble.OUTPUT_DOWN, "two/rtmp", "connection lost", "two")]
    scene.open(target(receiver))
    until(lambda: len(receiver.got) == 1, "the alerts")
    scene.close()
    scene.facts = [DOWN]
    opened = scene.open(target(receiver))
    until(lambda: len(receiver.got) == 2, "one's end")
    assert messages(receiver)[1]["title"] == "channeld: resolved down two/rtmp"
    assert [each["subject"] for each in opened.describe()["firing"]] == ["one/rtmp"]


def test_a_refused_clip_that_a_new_process_refuses_again_is_not_told_again(scene: Scene, receiver: Receiver) -> None:
    scene.open(target(receiver))
    scene.log.publish("clip_refused", channel="one", path="a.avi", reason="no frame decodes")
    until(lambda: len(receiver.got) == 1, "the alert")
    scene.close()
    scene.open(target(receiver))
    for path in ("a.avi", "b.avi"):
        scene.log.publish("clip_refused", channel="one", path=path, reason="no frame decodes")
    until(lambda: len(receiver.got) == 2, "the second clip's alert")
    assert messages(receiver)[1]["message"] == "FIRING clips one: b.avi: no frame decodes"


def test_other_rules_and_targets_count_without_a_restart(scene: Scene, receiver: Receiver) -> None:
    opened = scene.open(rules=())
    scene.facts = [DOWN]
    opened.change(AlertSettings((target(receiver),), (AlertRule("down", Trouble.OUTPUT_DOWN, ("ops",)),), group_s=0))
    until(lambda: len(receiver.got) == 1, "the alert")


def test_a_message_that_is_refused_comes_again_and_no_secret_is_shown(
    scene: Scene, receiver: Receiver, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500, 500]
    opened = scene.open(target(receiver))
    scene.facts = [DOWN]
    until(lambda: opened.describe()["targets"][0]["failures"] == 2, "two failures")
    shown = str(opened.describe())
    until(lambda: opened.describe()["targets"][0]["sent"] == 1, "the alert")
    assert len({each.body for each in receiver.got}) == 1
    shown += "".join(capfd.readouterr()) + caplog.text + repr(target(receiver))
    assert "alert_not_sent" in shown
    assert "hidden-token" not in shown and "pass-word" not in shown


def test_closing_leaves_no_thread(scene: Scene, receiver: Receiver) -> None:
    scene.open(target(receiver))
    scene.close()
    assert not {"alerts", "alerts:sender"} & {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("url", "is_known"),
    [("json://127.0.0.1:1/x", True), ("tgram://123456:abcdef/12345", True), ("nonsense://x", False), ("", False), ("http://", False)],
)
def test_only_targets_that_apprise_knows_count(url: str, is_known: bool) -> None:
    assert is_target(url) is is_known


def test_a_complaint_shows_nothing_of_the_url() -> None:
    url = "tgram://123456789:abcdefg/-100200300"
    assert without_secrets("bot 123456789:abcdefg said no to -100200300", url) == "bot ***:*** said no to ***"


def test_sending_says_why_it_failed() -> None:
    letter = Letter("title", "body", is_bad=True)
    assert send("nonsense://x", letter) == "the URL means nothing to apprise"
    reason = send("json://127.0.0.1:1/secret-path", letter)
    assert reason is not None and "secret-path" not in reason
    assert logging.getLogger("apprise").propagate is False


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"rule": "x"}]', '[{"rule": "x", "when": "nothing"}]'])
def test_a_damaged_file_of_alerts_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "alerts.json").write_text(content)
    assert AlertFile(tmp_path / "alerts.json").read(0, 0) == []
