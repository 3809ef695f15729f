"""Assignments over HTTP, kept in a real store: a channel of a list is relayed, otherwise, and no more."""

from collections.abc import Iterator
from typing import Any

import pytest
from admin_site import Site, running_site

LIST = """#EXTM3U
#EXTINF:-1 tvg-id="news" tvg-logo="http://l.example.org/n.png",News
http://news.example.invalid/live.ts
#EXTINF:-1 tvg-id="inside",Inside
http://10.0.0.5/live.ts
#EXTINF:-1 tvg-id="looped",Looped
http://localhost/live.ts
"""
NEWS = "/api/v1/proxies/tv/channels/news/relay"
COPY = "-i {input_url} -c copy -f mpegts {output_path}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        (running.folder / "tv.m3u").write_text(LIST)
        running.ask("POST", "/api/v1/proxies", json={"name": "TV", "source": "tv.m3u"})
        assert running.ask("POST", "/api/v1/proxies/tv/refresh").json()["channels"] == 3
        yield running


@pytest.fixture
def relay(site: Site) -> Iterator[dict[str, Any]]:
    answer = site.ask("POST", NEWS, json={"profile_id": 1})
    assert answer.status_code == 201, answer.text
    yield answer.json()
    site.ask("DELETE", NEWS)


def test_a_channel_is_relayed_and_no_more(site: Site) -> None:
    assert site.ask("GET", NEWS).status_code == site.ask("DELETE", NEWS).status_code == 404
    made = site.ask("POST", NEWS, json={"profile_id": 1})
    assert made.status_code == 201
    told = made.json()
    assert (told["name"], told["enabled"], told["channel"], told["refused"]) == ("News", True, f"relay-{told['id']}", None)
    assert (told["playlist"], told["stream"]) == tuple(f"/api/v1/relay/{told['id']}/{name}" for name in ("playlist.m3u8", "stream.ts"))
    assert site.ask("GET", NEWS).json() == told
    assert site.ask("GET", "/api/v1/proxies/tv/channels").json()["channels"][0]["relay"] == told["id"]
    assert site.ask("GET", "/api/v1/proxies/tv").json()["relayed"] == 1
    assert site.ask("DELETE", "/api/v1/proxies/tv").status_code == 409
    assert site.ask("DELETE", NEWS).status_code == 204
    assert site.ask("GET", NEWS).status_code == 404


def test_who_posts_again_relays_otherwise_under_the_same_address(site: Site, relay: dict[str, Any]) -> None:
    again = site.ask("POST", NEWS, json={"profile_id": 2, "name": "News two", "enabled": False, "custom_args": None})
    assert again.status_code == 200
    told = again.json()
    assert (told["id"], told["profile_id"], told["name"], told["enabled"]) == (relay["id"], 2, "News two", False)


def test_a_relay_runs_always_or_while_somebody_watches(site: Site, relay: dict[str, Any]) -> None:
    assert (relay["lifecycle"], relay["idle_seconds"], relay["hardware_fallback"]) == ("always", None, "refuse")
    told = site.ask("POST", NEWS, json={"profile_id": 1, "lifecycle": "on_demand", "idle_seconds": 60}).json()
    assert (told["lifecycle"], told["idle_seconds"]) == ("on_demand", 60)
    assert site.ask("GET", NEWS).json() == told


def test_hardware_that_is_absent_is_refused_with_the_reason_or_software_takes_its_place(site: Site) -> None:
    refused = site.ask("POST", NEWS, json={"profile_id": 4})
    assert refused.status_code == 422 and site.ask("GET", NEWS).status_code == 404
    assert "vaapi does not encode here: there is no /dev/dri/renderD128" in refused.json()["detail"]
    try:
        told = site.ask("POST", NEWS, json={"profile_id": 4, "hardware_fallback": "software"}).json()
        assert (told["refused"], told["hardware_fallback"]) == (None, "software")
        assert any(each["argument"] == "-c:v h264_vaapi" and "libx264 encodes" in each["reason"] for each in told["notices"])
        again = site.ask("POST", NEWS, json={"profile_id": 3})
        assert again.status_code == 200 and again.json()["refused"] is None
    finally:
        site.ask("DELETE", NEWS)


def test_a_profile_that_is_used_stays(site: Site, relay: dict[str, Any]) -> None:
    copy = site.ask("POST", "/api/v1/relay/profiles/1/copy", json={"name": "Ours"}).json()["id"]
    assert site.ask("POST", NEWS, json={"profile_id": copy}).status_code == 200
    assert site.ask("DELETE", f"/api/v1/relay/profiles/{copy}").status_code == 409


def test_an_export_has_the_relayed_addresses_by_the_name_one_came_by(site: Site, relay: dict[str, Any]) -> None:
    text = site.ask("GET", "/api/v1/proxies/tv/playlist.m3u").text
    logo = 'tvg-id="news" tvg-logo="http://l.example.org/n.png"'
    assert text == f"#EXTM3U\n#EXTINF:-1 {logo},News\nhttp://127.0.0.1:8090/api/v1/relay/{relay['id']}/stream.ts\n"
    hls = next(each["id"] for each in site.ask("GET", "/api/v1/relay/profiles").json() if each["output_format"] == "hls")
    site.ask("POST", NEWS, json={"profile_id": hls})
    assert f"/api/v1/relay/{relay['id']}/playlist.m3u8" in site.ask("GET", "/api/v1/proxies/tv/playlist.m3u").text


def test_own_arguments_are_held_to_the_same_list(site: Site) -> None:
    refused = site.ask("POST", NEWS, json={"profile_id": 1, "custom_args": "-i {input_url} -c copy -report -f mpegts {output_path}"})
    assert refused.status_code == 422
    assert [(each["field"], each["position"]) for each in refused.json()["errors"]] == [("custom_args", 5)]
    assert site.ask("GET", NEWS).status_code == 404
    assert site.ask("POST", NEWS, json={"profile_id": 1, "custom_args": COPY}).json()["custom_args"] == COPY
    site.ask("DELETE", NEWS)


@pytest.mark.parametrize("channel", ["inside", "looped"])
def test_an_upstream_in_a_private_network_is_refused_unless_that_is_allowed(site: Site, channel: str) -> None:
    place = f"/api/v1/proxies/tv/channels/{channel}/relay"
    answer = site.ask("POST", place, json={"profile_id": 1})
    assert answer.status_code == 422 and "url_allow.private" in answer.json()["detail"]
    assert site.ask("GET", place).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"profile_id": "1"}, {"profile_id": 0}, {"profile_id": 4242}, {"profile_id": 1, "name": ""}, {"profile_id": 1, "more": 1}, []]
    + [{"profile_id": 1, key: value} for key, value in (("lifecycle", "x"), ("idle_seconds", 1), ("hardware_fallback", "gpu"))],
)
def test_what_is_no_assignment_is_refused(site: Site, body: Any) -> None:
    assert site.ask("POST", NEWS, json=body).status_code == 422


def test_a_relay_is_started_stopped_and_looked_at(site: Site, relay: dict[str, Any]) -> None:
    place = f"/api/v1/relay/{relay['id']}"
    assert [site.ask("POST", f"{place}/start").status_code for _ in range(2)] == [202, 200]
    assert site.ask("GET", f"{place}/status").json()["state"] == "on_air"
    assert site.ask("POST", f"{place}/stop").status_code == 202
    assert [each["config_id"] for each in site.ask("GET", "/api/v1/relay/metrics").json()["relays"]] == [relay["id"]]
    assert site.ask("GET", "/api/v1/relay/health").json()["relays"][0]["config_id"] == relay["id"]
    assert site.ask("GET", f"/api/v1/relay/health/{relay['id']}").json()["status"] == "stopped"


@pytest.mark.parametrize("number", ["0", "x", "99999", "9" * 30])
def test_a_relay_that_is_not_there_is_unknown(site: Site, number: str) -> None:
    asked = [("GET", f"{number}/status"), ("POST", f"{number}/start"), ("POST", f"{number}/stop"), ("GET", f"health/{number}")]
    assert {site.ask(method, f"/api/v1/relay/{path}").status_code for method, path in asked} == {404}


def test_viewer_addresses_lead_to_the_media_listener(site: Site) -> None:
    for name in ("playlist.m3u8", "stream.ts", "segments/segment-0000000001.ts", "hls/index.m3u8"):
        answer = site.client.get(f"/api/v1/relay/7/{name}?token=x")
        assert (answer.status_code, answer.headers["location"]) == (307, f"http://127.0.0.1:8090/api/v1/relay/7/{name}?token=x")
