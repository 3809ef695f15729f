"""The routes of the admin interface, asked over real HTTP."""

import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from admin_site import AT, BEARER, Site, running_site

from channeld.api.problems import json_bytes


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The module's server with its daemon as new."""
    fresh = type(shared_site.control)()
    for name in ("states", "texts", "revisions", "written", "asked_next", "past", "healthy", "ready"):
        setattr(shared_site.control, name, getattr(fresh, name))
    return shared_site


def test_channels_are_listed_and_shown_one_by_one(site: Site) -> None:
    listed = site.ask("GET", "/api/v1/channels").json()
    assert [channel["id"] for channel in listed] == ["live1", "live2"]
    assert site.ask("GET", "/api/v1/channels/live2").json() == listed[1]


@pytest.mark.parametrize("channel", ["nobody", "-bad", "LIVE1", "a.b", "x" * 65, "%00", "%0d%0aSet-Cookie:x=1", "%ff", "live1%20"])
def test_a_channel_that_is_not_there_is_404_in_every_route(site: Site, channel: str) -> None:
    assert site.ask("GET", f"/api/v1/channels/{channel}").status_code == 404
    assert site.ask("GET", f"/api/v1/channels/{channel}/playlist").status_code == 404
    assert site.ask("PUT", f"/api/v1/channels/{channel}/playlist", headers={"If-Match": '"1"'}, json={"entries": []}).status_code == 404
    assert site.ask("POST", f"/api/v1/channels/{channel}/play-next", json={"path": "a.mp4"}).status_code == 404
    for action in ("start", "stop", "restart", "skip", "reload"):
        assert site.ask("POST", f"/api/v1/channels/{channel}/{action}").status_code == 404


def test_health_and_readiness_need_no_token(site: Site) -> None:
    ready = {"ok": True, "channels": site.control.states, "verdicts": {"live1": {"hls": "ok"}}, "store_problem": None}
    for path, facts in (("/healthz", {"ok": True, "parts": {"control": "ok"}}), ("/readyz", ready)):
        answer = httpx.get(f"{site.client.base_url}{path}", trust_env=False)
        assert (answer.status_code, answer.json()) == (200, facts)


def test_ill_health_is_503_and_lists_each_part(site: Site) -> None:
    site.control.healthy = site.control.ready = False
    health, readiness = site.ask("GET", "/healthz"), site.ask("GET", "/readyz")
    assert (health.status_code, health.json()["parts"]) == (503, {"control": "stuck"})
    assert (readiness.status_code, readiness.json()["channels"]) == (503, site.control.states)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
@pytest.mark.parametrize("path", ["/metrics", "/api/v1/channels", "/api/openapi.json", "/api/v1/events", "/nothing", "/healthz/"])
def test_everything_else_wants_the_token(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{site.client.base_url}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_given_twice_is_refused(site: Site) -> None:
    doubled = [("Authorization", BEARER["Authorization"]), ("Authorization", "Bearer other")]
    assert httpx.get(f"{site.client.base_url}/metrics", headers=doubled, trust_env=False).status_code == 401


def test_metrics_are_prometheus_text(site: Site) -> None:
    answer = site.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "channeld_up 1" in answer.text


def test_triggers_are_accepted_with_revision_and_time(site: Site) -> None:
    for action in ("restart", "skip", "reload"):
        answer = site.ask("POST", f"/api/v1/channels/live1/{action}")
        assert (answer.status_code, answer.json()) == (202, {"revision": 7, "effective_at": AT, "changed": True})


def test_start_of_a_started_and_stop_of_a_stopped_channel_is_200(site: Site) -> None:
    statuses = [site.ask("POST", f"/api/v1/channels/live2/{action}").status_code for action in ("stop", "start", "start", "stop", "stop")]
    assert statuses == [200, 202, 200, 202, 200]


def test_a_refusal_keeps_the_daemons_status_and_words(site: Site) -> None:
    answer = site.ask("POST", "/api/v1/channels/live2/skip")
    assert (answer.status_code, answer.json()["title"], answer.json()["detail"]) == (409, "Channel is stopped", "Start it first.")
    assert site.ask("POST", "/api/v1/channels/live1/play-next", json={"path": "full.mp4"}).status_code == 507


def test_play_next_hands_the_path_on(site: Site) -> None:
    assert site.ask("POST", "/api/v1/channels/live1/play-next", json={"path": "films/ß 1.mp4"}).status_code == 202
    assert site.control.asked_next == ["films/ß 1.mp4"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{}", 422),
        (b'{"path": 5}', 422),
        (b'{"path": ""}', 422),
        (b'{"path": "a\\nb"}', 422),
        (b'{"path": "a", "also": 1}', 422),
        (b'["a"]', 422),
        (b"", 400),
        (b"{", 400),
        (b'{"path": "\xff"}', 400),
        (b'{"path": "\\ud800"}', 400),
        (b'{"path": NaN}', 400),
        (b"[" * 500_000, 400),
        (b"[" * 40 + b"]" * 40, 400),
        (b'{"path": ' + b"9" * 10_000 + b"}", 400),
    ],
)
def test_a_malformed_play_next_is_refused_and_nothing_happens(site: Site, content: bytes, status: int) -> None:
    answer = site.ask("POST", "/api/v1/channels/live1/play-next", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert site.control.asked_next == []


def test_other_types_of_bodies_are_415(site: Site) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/html", "", "application/json; charset=latin-1"):
        assert site.ask("POST", "/api/v1/channels/live1/play-next", content=b"{}", headers={"Content-Type": kind}).status_code == 415
        put = site.ask("PUT", "/api/v1/channels/live1/playlist", content=b"{}", headers={"Content-Type": kind, "If-Match": '"7"'})
        assert put.status_code == 415
    packed = {"Content-Type": "text/plain", "Content-Encoding": "gzip", "If-Match": '"7"'}
    assert site.ask("PUT", "/api/v1/channels/live1/playlist", content=b"x", headers=packed).status_code == 415


def test_the_playlist_is_given_as_its_text_or_as_entries(site: Site) -> None:
    text = site.ask("GET", "/api/v1/channels/live1/playlist")
    entries = site.ask("GET", "/api/v1/channels/live1/playlist", headers={"Accept": "application/json"})
    assert (text.text, text.headers["content-type"], text.headers["etag"]) == ("a.mp4\nb.mp4\n", "text/plain; charset=utf-8", '"7"')
    shown = entries.json()
    assert (shown["revision"], shown["can_edit"], shown["total"], shown["next"]) == (7, True, 2, None)
    assert [entry["path"] for entry in shown["entries"]] == ["a.mp4", "b.mp4"] and shown["text"] == text.text
    assert site.ask("GET", "/api/v1/channels/live1/playlist", headers={"If-None-Match": 'W/"3", "7"'}).status_code == 304


def test_what_was_read_can_be_replaced_by_text_and_by_entries(site: Site) -> None:
    tag = site.ask("GET", "/api/v1/channels/live1/playlist").headers["etag"]
    path = "/api/v1/channels/live1/playlist"
    done = site.ask("PUT", path, headers={"If-Match": tag, "Content-Type": "text/plain"}, content="ä.mp4\n".encode())
    assert (done.status_code, done.json()["revision"], done.headers["etag"]) == (202, 8, '"8"')
    done = site.ask("PUT", path, headers={"If-Match": done.headers["etag"]}, json={"entries": ["x.mp4", {"path": "y.mp4", "repeat": 2}]})
    assert done.status_code == 202
    assert site.control.written == [{"path": "x.mp4"}, {"path": "y.mp4", "repeat": 2}]


def test_a_playlist_is_never_replaced_over_a_revision_that_was_not_read(site: Site) -> None:
    path, body = "/api/v1/channels/live1/playlist", {"entries": ["x.mp4"]}
    assert site.ask("PUT", path, json=body).status_code == 428
    stale = site.ask("PUT", path, json=body, headers={"If-Match": '"6"'})
    assert (stale.status_code, stale.json()["revision"], stale.headers["etag"]) == (412, 7, '"7"')
    for tags in ('W/"7"', '"else"', '"1", "2"', '"-1"'):
        assert site.ask("PUT", path, json=body, headers={"If-Match": tags}).status_code == 412
    for tags in ("7", "", '"7', "abc"):
        assert site.ask("PUT", path, json=body, headers={"If-Match": tags}).status_code == 400
    assert site.control.texts["live1"] == "a.mp4\nb.mp4\n"


def test_if_match_may_be_a_list_or_a_star(site: Site) -> None:
    for tags in ('"3", "7"', "*"):
        assert site.ask("PUT", "/api/v1/channels/live1/playlist", json={"entries": []}, headers={"If-Match": tags}).status_code == 202


@pytest.mark.parametrize("query", ["dryrun=true", "dry-run=true", "dry_run=true&dry_run=false", "dry_run=true&force=1"])
def test_a_misspelt_dry_run_changes_nothing(site: Site, query: str) -> None:
    path, how = "/api/v1/channels/live1/playlist", {"headers": {"If-Match": "*"}}
    assert site.ask("PUT", f"{path}?{query}", json={"entries": ["x.mp4"]}, **how).status_code == 422
    assert site.ask("POST", f"{path}/entries?{query}", json={"path": "x.mp4"}, **how).status_code == 422
    assert site.ask("DELETE", f"{path}/entries/e1?{query}", **how).status_code == 422
    assert site.control.texts["live1"] == "a.mp4\nb.mp4\n"


def test_an_invalid_playlist_is_422_with_its_line(site: Site) -> None:
    headers = {"If-Match": '"7"', "Content-Type": "text/plain"}
    for content in (b"a.mp4\nb\0.mp4\n", b"a.mp4\n\xff\xfe.mp4\n"):
        answer = site.ask("PUT", "/api/v1/channels/live1/playlist", headers=headers, content=content)
        assert (answer.status_code, answer.json()["line"]) == (422, 2)
    bad = site.ask("PUT", "/api/v1/channels/live1/playlist", headers={"If-Match": '"7"'}, json={"entries": [5]})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["at"].startswith("entries.0")


def test_a_playlist_may_be_large_as_text_and_not_as_anything_else(site: Site) -> None:
    path, large = "/api/v1/channels/live1/playlist", b"a" * (1024 * 1024 + 1)
    assert site.ask("PUT", path, headers={"If-Match": '"7"', "Content-Type": "text/plain"}, content=large).status_code == 202
    assert site.ask("PUT", path, headers={"If-Match": '"8"', "Content-Type": "application/json"}, content=large).status_code == 413
    too_large = bytes(32 * 1024 * 1024 + 1)
    assert site.ask("PUT", path, headers={"If-Match": '"8"', "Content-Type": "text/plain"}, content=too_large).status_code == 413


def test_unknown_routes_and_methods_are_problem_documents(site: Site) -> None:
    assert site.ask("GET", "/nothing").status_code == 404
    assert site.ask("GET", "/api/v1/channels/").status_code == 404
    refused = site.ask("DELETE", "/api/v1/channels")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert site.ask("OPTIONS", "/api/v1/channels").status_code == 405
    assert site.ask("GET", "/api/v1/channels/live1/start").status_code == 405


def test_head_answers_as_get_without_body(site: Site) -> None:
    for path in ("/healthz", "/api/v1/channels", "/api/v1/channels/live1/playlist"):
        answer = site.ask("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert site.ask("HEAD", "/api/v1/events").status_code == 405


def test_an_unforeseen_failure_is_500_that_tells_nothing_of_the_inside(site: Site) -> None:
    answer = site.ask("GET", "/api/v1/channels/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text and "Zero" not in answer.text


def test_every_answer_carries_the_security_headers_and_none_of_cors(site: Site) -> None:
    for path in ("/healthz", "/api/v1/channels", "/nothing", "/hls/live1/index.m3u8", "/api/v1/channels/broken"):
        headers = site.client.get(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/hls/live1/index.m3u8?token=a%20b", "/ts/live1", "/guide.xml", "/channels.m3u", "/api/v1/relay/live1/segments/1.ts"]
)
def test_viewers_are_sent_to_the_media_listener_without_a_token(site: Site, path: str) -> None:
    answer = httpx.get(f"{site.client.base_url}{path}", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"http://127.0.0.1:8090{path}")


def test_a_path_cannot_change_where_viewers_are_sent(site: Site) -> None:
    for path in ("/hls//evil.example/x", "/hls/%0d", "/ts/@evil.example"):
        answer = httpx.get(f"{site.client.base_url}{path}", trust_env=False)
        assert answer.headers["location"] == f"http://127.0.0.1:8090{path}"
    assert httpx.get(f"{site.client.base_url}/hls/%0d%0aSet-Cookie:a", trust_env=False).status_code == 401


def test_health_is_answered_while_all_other_calls_wait(site: Site) -> None:
    askers = [threading.Thread(target=site.client.post, args=("/api/v1/channels/live1/skip",)) for _ in range(20)]
    with site.control.lock:
        for asker in askers:
            asker.start()
        assert site.ask("GET", "/healthz").status_code == 200
    for asker in askers:
        asker.join()


def test_openapi_declares_problems_and_the_token_everywhere(site: Site) -> None:
    document = site.ask("GET", "/api/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_open = path in ("/healthz", "/readyz") or (method, path) == ("post", "/api/v1/session")
            assert ("security" in operation) != is_open
            for status, answer in operation["responses"].items():
                assert answer["description"]
                assert int(status) < 400 or list(answer["content"]) == ["application/problem+json"]
    assert len(document["paths"]) >= 16


def test_a_file_name_that_is_no_text_still_makes_valid_json() -> None:
    assert json.loads(json_bytes({"path": "a\udcff.mp4"})) == {"path": "a\udcff.mp4"}
