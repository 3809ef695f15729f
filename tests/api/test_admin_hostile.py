"""Whatever is sent, the daemon is never at fault: no request of any shape gets a 5xx."""

import json
from collections.abc import Iterator

import httpx
import pytest
from admin_site import TOKEN, Site, running_site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channeld.api.admin_body import parse_json
from channeld.api.admin_events import last_event_id
from channeld.api.event_ring import event_bytes
from channeld.api.problems import Problem

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["path", "entries"]), inner, max_size=4),
)
SIGNED_IN = ("Cookie", "Origin", "X-CSRF-Token", "Sec-Fetch-Site")
OTHERS = ("If-Match", "If-None-Match", "Content-Type", "Accept", "Content-Encoding", "Authorization", "Host")
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60).map(str.strip)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture(scope="module")
def cookie(site: Site) -> str:
    """Of an admin who is signed in."""
    opened = site.accounts.sign_in(TOKEN)
    assert opened is not None
    return f"channeld_session={opened[0]}"


def escaped(raw: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in raw)


@FEW
@given(
    raw=st.binary(min_size=1, max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    tail=st.sampled_from(["", "/skip", "/playlist"]),
)
def test_hostile_channel_ids_are_refused(site: Site, raw: bytes, method: str, tail: str) -> None:
    assert site.ask(method, f"/api/v1/channels/{escaped(raw)}{tail}").status_code < 500


@FEW
@given(raw=st.binary(max_size=60), query=st.binary(max_size=40), method=st.sampled_from(["GET", "DELETE", "OPTIONS", "PATCH", "TRACE"]))
def test_hostile_paths_are_refused(site: Site, raw: bytes, query: bytes, method: str) -> None:
    assert site.ask(method, f"/{escaped(raw)}?{escaped(query)}").status_code < 500


@FEW
@given(
    body=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()),
    kind=st.sampled_from(["application/json", "text/plain"]),
)
def test_hostile_bodies_are_refused_or_taken(site: Site, body: bytes, kind: str) -> None:
    headers = {"Content-Type": kind, "If-Match": "*"}
    assert site.ask("PUT", "/api/v1/channels/live2/playlist", content=body, headers=headers).status_code < 500
    assert site.ask("POST", "/api/v1/channels/live1/play-next", content=body, headers=headers).status_code < 500


@FEW
@given(value=HEADER, name=st.sampled_from(SIGNED_IN))
def test_hostile_headers_of_a_session_change_nothing(site: Site, cookie: str, value: str, name: str) -> None:
    """With a cookie that is somebody's and the rest as it likes: refused, and never a failure of the daemon's."""
    before = dict(site.control.texts)
    try:
        answer = httpx.put(
            f"{site.client.base_url}/api/v1/channels/live2/playlist",
            headers={"Cookie": cookie, "If-Match": "*", "Content-Type": "text/plain"} | {name: value.encode("latin-1")},  # type: ignore[dict-item]
            content=b"other.mp4\n",
            trust_env=False,
        )
    except httpx.LocalProtocolError:
        return
    assert 400 <= answer.status_code < 500 and site.control.texts == before


@FEW
@given(
    value=HEADER,
    name=st.sampled_from(["If-Match", "If-None-Match", "Content-Type", "Accept", "Content-Encoding", "Authorization", "Host", *SIGNED_IN]),
)
def test_hostile_headers_are_refused(site: Site, value: str, name: str) -> None:
    headers = {"Content-Type": "text/plain", "If-Match": '"1"'} | {name: value.encode("latin-1")}  # type: ignore[dict-item]
    path = "/api/v1/channels/live2/playlist"
    try:
        answers = [site.client.get(path, headers=headers), site.client.put(path, headers=headers, content=b"a.mp4\n")]
    except httpx.LocalProtocolError:
        return  # the client itself refuses to send it
    assert all(answer.status_code < 500 for answer in answers)


@FEW
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_json_is_a_value_or_a_problem_and_never_another_error(body: bytes) -> None:
    try:
        value = parse_json(body)
    except Problem as problem:
        assert problem.status == 400
    else:
        json.dumps(value, ensure_ascii=False).encode("utf-8")


@FEW
@given(kind=st.text(), channel=st.text())
def test_an_event_is_always_one_event(kind: str, channel: str) -> None:
    written = event_bytes({"id": 1, "kind": kind, "channel": channel})
    assert written.endswith(b"\n\n")
    assert written.count(b"\n") == 4
    assert b"\r" not in written


@pytest.mark.parametrize(
    ("header", "number"), [("5", 5), ("0", 0), (None, None), ("", None), ("-1", None), ("x", None), ("9" * 30, None), ("٣", None)]
)
def test_an_id_that_was_never_given_counts_as_none(header: str | None, number: int | None) -> None:
    assert last_event_id(header) == number
