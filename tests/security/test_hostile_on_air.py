"""Whatever is sent to a route that changes something: a clear problem document, nothing changed on disk, the air untouched.

Rule: what is refused changes no byte; what is taken changes the one file that it is about. Judged by the files, not by the answer.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_requests import (
    UNSAFE,
    Answer,
    Wanted,
    right,
    send,
    with_hostile_body,
    with_hostile_header,
    with_hostile_path,
    with_hostile_query,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nginx_origin import wait_until
from studio import CLIPS, Studio, start_studio

SECRET = "MARK-secret-of-the-house"
MUTATIONS = {"path": with_hostile_path, "query": with_hostile_query, "header": with_hostile_header, "body": with_hostile_body}
EXAMPLES = {"path": 60, "query": 40, "header": 90, "body": 140}
LONG_FACTOR = 20


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("besieged")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.mp4").write_text(SECRET)
    found = start_studio(folder, suffix=".yaml")
    (found.media / "link").symlink_to(folder / "outside")
    try:
        yield found
    finally:
        assert found.daemon.stop() == []


@pytest.fixture(scope="module")
def requests(studio: Studio) -> list[Wanted]:
    """Each operation that changes something, as its example has it."""
    paths = studio.document()["paths"]
    return [right(method, path, paths[path][method]) for path in paths for method in UNSAFE if method in paths[path]]


def files_of(studio: Studio) -> dict[str, str]:
    """Digest by path: the media folder, what lies beside it, configuration and tokens; of the folders of the daemon which there are."""
    root = studio.media.parent
    kept = [studio.daemon.config_path, studio.daemon.folder / "state" / "tokens.json", studio.daemon.folder / "state" / "admin.token"]
    kept += [path for folder in (studio.media, root / "outside") for path in folder.rglob("*") if path.is_file()]
    found = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    return found | {str(path.relative_to(root)): "" for folder in (root, studio.daemon.folder) for path in folder.iterdir()}


def may_change(request: Wanted) -> str:
    """What a request that is taken may write."""
    if "/uploads" in request.template:
        return "media/."
    if "/playlist" in request.template and "dry_run=true" not in request.query:
        return "media/live1.yaml"
    return "daemon/state/tokens.json" if "/tokens" in request.template else ""


def judge(studio: Studio, request: Wanted, answer: Answer, before: dict[str, str]) -> None:
    """Raises AssertionError that says what is wrong."""
    after = files_of(studio)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert answer.status < 500, answer.body
    assert SECRET.encode() not in answer.body and b"Traceback" not in answer.body
    assert "x-injected" not in answer.headers
    if answer.status < 400:
        allowed = may_change(request)
        assert all(allowed and path.startswith(allowed) for path in changed), changed
        return
    assert changed == set()
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status
    assert problem["title"] and problem["detail"] and len(answer.body) < 20_000


def put_back(studio: Studio) -> None:
    """Give `live1` the list that it began with."""
    headers = {"If-Match": "*", "Content-Type": "text/plain"}  # of whatever format
    with studio.client(role="admin") as client:
        client.put("/api/v1/channels/live1/playlist", content=studio.first_text.encode(), headers=headers).raise_for_status()


@pytest.mark.timeout(1800)  # with --long
@pytest.mark.parametrize("part", MUTATIONS)
def test_a_hostile_part_of_a_request_is_refused_and_changes_nothing(
    studio: Studio, requests: list[Wanted], part: str, request: pytest.FixtureRequest
) -> None:
    examples = EXAMPLES[part] * (LONG_FACTOR if request.config.getoption("--long") else 1)
    entry = studio.entries()[1]
    able = [wanted for wanted in requests if (part != "path" or wanted.names) and (part != "body" or wanted.body)]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(data=st.data(), number=st.integers(0, len(able) - 1))
    def besiege(data: Any, number: int) -> None:
        wanted = data.draw(MUTATIONS[part](able[number]))
        if wanted.names.get("entry") == "{entry}":
            wanted = replace(wanted, names={**wanted.names, "entry": entry})
        before = files_of(studio)
        answer = send(wanted, studio.daemon.admin_port, studio.tokens["admin"])
        judge(studio, wanted, answer, before)
        if before != files_of(studio):
            put_back(studio)

    besiege()


def test_the_air_has_gone_on_as_if_nothing_had_been_asked(studio: Studio) -> None:
    """The other channel: its clips in their order, each to its end, and no filler since the first of them."""
    heard = len(studio.daemon.aired("watched"))
    wait_until(lambda: len(studio.daemon.aired("watched")) >= heard + 2, what="two more clips", timeout_s=30)
    airings = studio.daemon.airings("watched")
    airings = airings[[airing["path"] for airing in airings].index(CLIPS[0]) :]
    assert [airing["path"] for airing in airings] == [CLIPS[number % len(CLIPS)] for number in range(len(airings))]
    assert {airing["ended"] for airing in airings[:-1]} == {"end"}
    assert Path(studio.lists["watched"]).read_text() == studio.first_text
    assert studio.daemon.log("request_failed") == []
