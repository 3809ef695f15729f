"""Editing while on air: what was foretold is what airs, and hostile requests reach neither the file nor the air.

Rule: one daemon with real clips for all, a channel for each test; every request goes over HTTP.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from running import RunningDaemon
from timeline import DECK, LONG

from channeld.playlist.locate import PathRules
from channeld.playlist.parse import parse

FORETOLD = "# morning\n- long.mp4\n- d0.mp4   # a favourite\n# evening\n- {path: d1.mp4, repeat: 2}\n- d0.mp4\n- d2.mp4\n"
ATTACKED = "# keep this\n- long.mp4\n- path: d0.mp4\n  title: One\n- d1.mp4\n"
JSON = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Station:
    """The daemon, its lists, and a client with the token."""

    daemon: RunningDaemon
    folder: Path
    client: httpx.Client

    def list_of(self, channel: str) -> Path:
        return self.folder / f"{channel}.yaml"

    def playlist(self, channel: str) -> tuple[str, list[dict[str, Any]]]:
        """The ETag and the entries."""
        answer = self.client.get(f"/api/v1/channels/{channel}/playlist", headers=JSON).raise_for_status()
        return answer.headers["etag"], answer.json()["entries"]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("editing")
    for name in (*DECK, LONG):
        shutil.copyfile(deck / name, folder / name)
    lists = {"foretold": FORETOLD, "attacked": ATTACKED}
    for channel, text in lists.items():
        (folder / f"{channel}.yaml").write_text(text)
    daemon = RunningDaemon(folder / "daemon", {channel: {"playlist": str(folder / f"{channel}.yaml")} for channel in lists}, cache=prepared)
    daemon.config["media_roots"] = [str(folder)]
    try:
        daemon.start()
        for channel in lists:
            daemon.wait_for_airing(channel, LONG)
        with daemon.client() as client:
            yield Station(daemon, folder, client)
    finally:
        daemon.stop()


def moment(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


def airs(answer: httpx.Response) -> dict[str, str | None]:
    return {each["path"] + each["entry"]: each["after"] for each in answer.json()["airs"]}


def test_every_entry_airs_when_the_list_the_dry_run_and_the_edit_said(station: Station) -> None:
    """Compared with the as-run log, to the second; a later occurrence of the same clip is an entry of its own."""
    path = "/api/v1/channels/foretold/playlist"
    station.daemon.wait_for("foretold", lambda channel: (channel["now"] or {}).get("path") == LONG, what="the long clip to air")
    tag, entries = station.playlist("foretold")
    assert [entry["is_playing"] for entry in entries].count(True) == 1
    assert {entry["state"] for entry in entries} == {"ready"}
    new = {"path": "d3.mp4", "title": "Put in", "before": entries[2]["entry"]}  # never seen by this channel, so looked at now
    foreseen = station.client.post(f"{path}/entries?dry_run=true", json=new, headers={"If-Match": tag})
    done = station.client.post(f"{path}/entries", json=new, headers={"If-Match": tag})
    assert (foreseen.status_code, foreseen.json()["dry_run"], done.status_code) == (200, True, 202)
    written = FORETOLD.replace("- {path: d1", "- path: d3.mp4\n  title: Put in\n- {path: d1")
    assert station.list_of("foretold").read_text() == written
    assert airs(foreseen).keys() == airs(done).keys()
    for key, after in airs(done).items():
        before = airs(foreseen)[key]
        assert before is not None and after is not None and abs(moment(after) - moment(before)) < 0.5, key
    _, entries = station.playlist("foretold")
    foretold = {entry["entry"]: entry["airs_at"] for entry in entries}
    assert None not in foretold.values()
    asked = station.daemon.channel("foretold")["now"]["started_at"]
    for entry, airs_at in foretold.items():
        started = _start_of(station, entry, asked)
        assert abs(moment(started) - moment(airs_at)) < 1.0, (entry, started, airs_at)


def _start_of(station: Station, entry: str, after: str) -> str:
    """When an entry began first after a moment, as the as-run log has it."""
    found: list[str] = []

    def look(_: dict[str, Any]) -> bool:
        airings = station.daemon.airings("foretold")
        found[:] = [airing["started_at"] for airing in airings if airing["entry"] == entry and airing["started_at"] > after]
        return bool(found)

    station.daemon.wait_for("foretold", look, what=f"{entry} to air", timeout_s=60)
    return found[0]


def test_of_two_editors_with_one_revision_exactly_one_wins(station: Station) -> None:
    path = "/api/v1/channels/foretold/playlist"
    tag, entries = station.playlist("foretold")
    first = station.client.patch(f"{path}/entries/{entries[0]['entry']}", json={"title": "Mine"}, headers={"If-Match": tag})
    second = station.client.patch(f"{path}/entries/{entries[0]['entry']}", json={"title": "No, mine"}, headers={"If-Match": tag})
    assert (first.status_code, second.status_code) == (202, 412)
    assert second.headers["etag"] == first.headers["etag"] and second.json()["revision"] == first.json()["revision"]
    text = station.list_of("foretold").read_text()
    assert "title: Mine" in text and "No, mine" not in text
    assert station.client.delete(f"{path}/entries/{entries[0]['entry']}").status_code == 428


# -- hostile input ----------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "d0.mp4", "./d0.mp4", "d0.mp4\n- d1.mp4", "&a d0.mp4", "!!x y"]
    ),
    st.sampled_from(
        ["http://127.0.0.1/x.mp4", "- d0.mp4", "{path: d0.mp4}", "d0.mp4 # no", "d0.mp4\x00", "\u2028d0.mp4", "x" * 5000, "nan"]
    ),
)
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.lists(TEXTS, max_size=2))
FIELDS = st.sampled_from(["path", "title", "in", "out", "duration", "repeat", "before", "after", "to_index", "nonsense"])
BODIES = st.dictionaries(FIELDS, VALUES, max_size=4)
MATCHES = st.sampled_from(["*", "*", "*", "", '"0"', '"7.none"', "7", 'W/"1"', '"1", "2"', '"' + "9" * 70 + '"'])


@how(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(["POST", "PATCH", "MOVE", "DELETE", "PUT", "NEXT"]),
    body=BODIES,
    is_a_clip=st.booleans(),
    entry=st.one_of(st.none(), st.integers(0, 2), TEXTS),
    match=MATCHES,
    has_dry_run=st.booleans(),
)
def test_hostile_edits_are_refused_with_a_reason_and_reach_neither_the_file_nor_the_air(
    station: Station, route: str, body: dict[str, Any], *, is_a_clip: bool, entry: int | str | None, match: str, has_dry_run: bool
) -> None:
    file, path = station.list_of("attacked"), "/api/v1/channels/attacked/playlist"
    _, entries = station.playlist("attacked")
    if isinstance(entry, int) and entries:
        entry = str(entries[entry % len(entries)]["entry"])
    if is_a_clip and route in ("POST", "NEXT"):
        body = {**body, "path": "d0.mp4"}
    one = f"{path}/entries/{quote(str(entry), safe='')}"
    method, url = {
        "POST": ("POST", f"{path}/entries"),
        "PATCH": ("PATCH", one),
        "MOVE": ("POST", f"{one}/move"),
        "DELETE": ("DELETE", one),
        "PUT": ("PUT", path),
        "NEXT": ("POST", "/api/v1/channels/attacked/play-next"),
    }[route]
    before = file.read_bytes()
    headers = {"If-Match": match, "Content-Type": "application/json"}
    content = json.dumps({"entries": [body]} if route == "PUT" else body).encode()
    answer = station.client.request(method, url, content=content, headers=headers, params={"dry_run": "true"} if has_dry_run else {})
    assert answer.status_code < 500, answer.text
    if answer.status_code != 202:
        assert file.read_bytes() == before
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]
    parse(file.read_bytes(), source=file, rules=PathRules((station.folder,)))
    if answer.status_code == 202 and route != "NEXT":
        station.client.put(path, content=ATTACKED, headers={"If-Match": "*", "Content-Type": "text/plain"}).raise_for_status()


def test_nothing_of_that_was_seen_on_air(station: Station) -> None:
    airings = station.daemon.airings("attacked")
    assert {airing["ended"] for airing in airings[:-1]} <= {"end"}
    assert None not in [airing["path"] for airing in airings[1:]]
    assert station.daemon.channel("attacked")["edit_error"] is None
    assert sorted(path.name for path in station.folder.iterdir() if path.name.startswith(".")) == []
