"""The alert rules and the Grafana dashboard parse, and name only metrics, labels and states that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from metric_pages import Row, documented

from channeld.media.tally import RESULTS
from channeld.telemetry.metric_table import CHANNEL_STATES, OUTPUT_STATES, VERDICTS

DOCS = Path(__file__).parent.parent.parent / "docs"
RULES, DASHBOARD = DOCS / "prometheus" / "channeld.rules.yml", DOCS / "grafana" / "channeld.json"
RULE_TESTS = Path(__file__).with_name("channeld.rules_test.yml")
TARGET_LABELS = {"instance", "job"}
"""Prometheus itself puts them on every figure; `up` is its own metric."""
VALUES = {
    "verdict": set(VERDICTS),
    "state": {*CHANNEL_STATES, *OUTPUT_STATES},
    "stage": {"pending", "preparing", "ready", "refused"},
    "result": set(RESULTS),
    "level": {"warning", "critical"},
}
_STRING = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_NAME = re.compile(r"(?<![\w$.])[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORDS = {"and", "or", "unless", "sum", "count", "max", "min", "avg", "rate", "increase", "delta", "histogram_quantile", "vector", "bool"}


def rows() -> dict[str, Row]:
    """Every name that a query may use: those of histograms with their three endings."""
    found = {"up": Row("up", "gauge", frozenset())}
    for name, row in documented().items():
        if row.kind == "histogram":
            found |= {f"{name}_{end}": row for end in ("sum", "count")}
            found[f"{name}_bucket"] = Row(name, row.kind, row.labels | {"le"})
        else:
            found[name] = row
    return found


def faults(query: str) -> Iterator[str]:
    """What a PromQL expression names that does not exist."""
    known = rows()
    bare = re.sub(r"\[[^\]]*\]", "", query)
    labels = {label.strip() for _, group in _GROUPING.findall(bare) for label in group.split(",") if label.strip()}
    for name, inside in _SELECTOR.findall(bare):
        for label, _, values in _MATCHER.findall(inside):
            if name in known and label not in known[name].labels | TARGET_LABELS:
                yield f"{name} has no label {label}"
            if label in VALUES and not set(values.split("|")) <= VALUES[label]:
                yield f"{values} is no {label}"
    bare = _GROUPING.sub(" ", re.sub(r"\{[^}]*\}", " ", _STRING.sub(" ", bare)))
    named = {name for name in _NAME.findall(bare) if name not in _WORDS and not re.fullmatch(r"e\d*", name)}
    if not named:
        yield f"{query} names no metric"
    yield from (f"there is no metric {name}" for name in named if name not in known)
    allowed = TARGET_LABELS.union(*(known[name].labels for name in named if name in known))
    yield from (f"{query} groups by {label}, which none of its metrics has" for label in labels - allowed)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_names_only_what_exists_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert list(faults(rule["expr"])) == []
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith((".", ")"))
    allowed = TARGET_LABELS.union(*(row.labels for name, row in rows().items() if name in rule["expr"]))
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= allowed


def test_names_of_rules_are_given_once() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_shows_only_what_exists(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        query = target["expr"].replace("$channel", ".*")
        assert list(faults(query)) == []
        allowed = TARGET_LABELS.union(*(row.labels for name, row in rows().items() if name in query))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= allowed


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    board = json.loads(DASHBOARD.read_text())
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells)) and all(x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_dashboard_asks_for_its_source_and_its_channels() -> None:
    variables = {each["name"]: each for each in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["channel"]["query"]["query"]).groups()  # type: ignore[union-attr]
    assert label in rows()[metric].labels


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("channeld_nothing > 0", "there is no metric channeld_nothing"),
        ('channeld_config_ok{channel="a"} == 1', "channeld_config_ok has no label channel"),
        ('channeld_channel_state{state="flying"} == 1', "flying is no state"),
        ("sum by (route) (channeld_joins_total)", "groups by route"),
        ("channeld_joins > 0", "there is no metric channeld_joins"),
    ],
)
def test_the_judge_finds_what_does_not_exist(query: str, fault: str) -> None:
    assert any(fault in found for found in faults(query))


@pytest.mark.parametrize("command", [["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name]], ids=["check", "test"])
def test_prometheus_itself_takes_the_rules(command: list[str], tmp_path: Path) -> None:
    """Those that join two metrics fire for what they are about."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("missing on this machine: promtool (Debian's package prometheus)")
    for file in (RULES, RULE_TESTS):
        shutil.copy(file, tmp_path)
    done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
