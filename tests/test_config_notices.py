"""Webhooks and alerts in the configuration: what is read, what is refused, and that no secret shows."""

from pathlib import Path

import pytest

from channeld.config import ConfigErrors, parse_config
from channeld.config_diff import compare, merge
from channeld.config_values import Config
from channeld.notices.settings import Trouble

CHANNELS = "channels: {live1: {}, live2: {}}\n"
SECRET = "a-secret-that-must-not-show"


def read(text: str, folder: Path, **environ: str) -> Config:
    return parse_config((text + "\n" + CHANNELS).encode(), folder / "channeld.yaml", environ)


def faults(text: str, folder: Path, **environ: str) -> list[tuple[str | None, str]]:
    with pytest.raises(ConfigErrors) as caught:
        read(text, folder, **environ)
    return [(error.key, error.message) for error in caught.value.errors]


def test_a_webhook_is_read_with_its_secret_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text(f"{SECRET}\n")
    text = """webhooks:
  - {url: "https://example.org/T0/${TOKEN}", secret: "${TOKEN}", kinds: [alarm, alert], channels: [live2]}
  - {url: http://10.0.0.1, secret_file: hook.secret, private: true, timeout_seconds: 3}
  - {name: last, url: "https://[::1]:8443/x?y", secret_file: "credential:hook.secret"}"""
    config = read(text, tmp_path, TOKEN="t0ken-value", CREDENTIALS_DIRECTORY=str(tmp_path))
    first, second, third = config.webhooks
    assert (first.name, first.url, first.secret) == ("webhook", "https://example.org/T0/t0ken-value", "t0ken-value")
    assert (first.kinds, first.channels, first.is_private) == ({"alarm", "alert"}, {"live2"}, False)
    assert (first.secret_path, second.secret_path) == (None, tmp_path / "hook.secret")
    assert (second.name, second.secret, second.is_private, second.timeout_s) == ("webhook-2", SECRET, True, 3)
    assert (third.name, third.secret, third.kinds, third.channels) == ("last", SECRET, None, None)
    assert [hook.shown_url for hook in config.webhooks] == ["https://example.org/***", "http://10.0.0.1/", "https://[::1]:8443/***"]
    assert SECRET not in repr(config) and "t0ken-value" not in repr(config)


def test_alerts_are_read_with_their_short_forms(tmp_path: Path) -> None:
    text = """alerts:
  group_seconds: 5
  targets: ["${TARGET}", {name: ops, url: "json://user:pw@example.org/x"}]
  rules:
    - {when: output_down}
    - {when: output_down, for_seconds: 5, targets: [ops], channels: [live1]}
    - {name: full, when: disk_full, above: 80, repeat_seconds: 0}"""
    alerts = read(text, tmp_path, TARGET=f"json://example.org/{SECRET}").alerts
    assert [(target.name, target.url) for target in alerts.targets] == [
        ("target", f"json://example.org/{SECRET}"),
        ("ops", "json://user:pw@example.org/x"),
    ]
    first, second, third = alerts.rules
    assert (first.name, first.when, first.for_s, first.targets) == ("output_down", Trouble.OUTPUT_DOWN, 30, ("target", "ops"))
    assert (second.name, second.channels, second.targets) == ("output_down-2", {"live1"}, ("ops",))
    assert (third.name, third.above_percent, third.repeat_s, alerts.group_s) == ("full", 80, 0, 5)
    assert SECRET not in repr(alerts)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("webhooks: [{url: https://a.example/}]", "webhooks[0]", "exactly one of secret_file"),
        ("webhooks: [{url: https://a.example/, secret: plain}]", "webhooks[0].secret", "no place in this file"),
        ("webhooks: [{url: https://a.example/, secret: '${NONE}'}]", "webhooks[0].secret", "NONE is not set"),
        ("webhooks: [{url: https://a.example/, secret_file: none}]", "webhooks[0].secret_file", "cannot be read"),
        ("webhooks: [{url: ftp://a.example/, secret: '${S}'}]", "webhooks[0].url", "not a usable URL"),
        ("webhooks: [{secret: '${S}'}]", "webhooks[0].url", "the key is missing"),
        ("webhooks: [{url: https://a.example/, secret: '${S}', kinds: [alarms]}]", "webhooks[0].kinds[0]", "Did you mean `alarm`?"),
        ("webhooks: [{url: https://a.example/, secret: '${S}', channels: [live3]}]", "webhooks[0].channels[0]", "no channel 'live3'"),
        ("webhooks: [{url: https://a.example/, secret: '${S}', private: perhaps}]", "webhooks[0].private", "true or false"),
        (
            "webhooks: [{name: a, url: https://a.example/, secret: '${S}'}, {name: a, url: https://b.example/, secret: '${S}'}]",
            "webhooks[1].name",
            "another one is named 'a'",
        ),
        ("alerts: {targets: ['nonsense://x']}", "alerts.targets[0]", "apprise knows no such target"),
        ("alerts: {targets: ['${NONE}']}", "alerts.targets[0].url", "NONE is not set"),
        ("alerts: {targets: [{name: A, url: 'json://a'}]}", "alerts.targets[0].name", "not an output name"),
        ("alerts: {rules: [{when: output_down}]}", "alerts.rules[0]", "nobody is told"),
        ("alerts: {targets: ['json://a'], rules: [{when: output_dwn}]}", "alerts.rules[0].when", "Did you mean `output_down`?"),
        ("alerts: {targets: ['json://a'], rules: [{when: cpu, channels: [live1]}]}", "alerts.rules[0].channels", "whole daemon"),
        ("alerts: {targets: ['json://a'], rules: [{when: output_down, above: 5}]}", "alerts.rules[0].above", "has no figure"),
        ("alerts: {targets: ['json://a'], rules: [{when: cpu, above: 0}]}", "alerts.rules[0].above", "more than 0"),
        ("alerts: {targets: ['json://a'], rules: [{when: cpu, targets: [b]}]}", "alerts.rules[0].targets[0]", "no target 'b'"),
        ("alerts: {targets: ['json://a'], rules: [{for_seconds: 1}]}", "alerts.rules[0].when", "the key is missing"),
    ],
)
def test_each_fault_is_told_once_at_its_key(text: str, key: str, message: str, tmp_path: Path) -> None:
    ((found_key, found),) = faults(text, tmp_path, S="s")
    assert found_key == key
    assert message in found


def test_no_fault_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "two.lines").write_text(f"{SECRET}\n{SECRET}\n")
    text = f"""webhooks:
  - {{url: "https://u:{SECRET}@a b/", secret: {SECRET}}}
  - {{url: "https://a.example/", secret_file: two.lines}}
alerts: {{targets: ["nonsense://{SECRET}"]}}"""
    found = faults(text, tmp_path)
    assert len(found) == 4
    assert SECRET not in str(found)


def test_a_running_daemon_takes_other_webhooks_and_alerts(tmp_path: Path) -> None:
    before = read("", tmp_path)
    after = read("webhooks: [{url: https://a.example/, secret: '${S}'}]\nalerts: {group_seconds: 3}", tmp_path, S="s")
    diff = compare(before, after)
    assert (diff.daemon, diff.needs_restart) == (("webhooks", "alerts"), ())
    assert merge(before, after).webhooks == after.webhooks
