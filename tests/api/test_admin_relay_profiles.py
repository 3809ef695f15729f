"""Relay profiles over HTTP, kept in a real store: what is said is kept, what is wrong is told argument by argument."""

from collections.abc import Iterator
from typing import Any

import pytest
from admin_site import Site, running_site

PROFILES = "/api/v1/relay/profiles"
ARGS = "-i {input_url} -c:v libx264 -b:v 2500k -c:a aac -f mpegts {output_path}"
HOSTILE = "-i {input_url} -c:v libx264 -crf 90 -an -vf movie=/etc/passwd -report -f hls {output_path}/../x.m3u8"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def made(site: Site, name: str, **more: Any) -> dict[str, Any]:
    answer = site.ask("POST", PROFILES, json={"name": name, "ffmpeg_args": ARGS, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_six_system_profiles_come_first_and_are_read_only(site: Site) -> None:
    found = site.ask("GET", PROFILES).json()
    system = [each for each in found if each["is_system_default"]]
    assert len(system) == 6 and found[:6] == system
    assert {each["hardware_acceleration"] for each in system} == {"none", "nvidia", "vaapi"}
    hardware = {each["hardware_acceleration"]: (each["available"], each["unavailable_reason"]) for each in system}
    assert hardware == {"none": (True, None), "nvidia": (True, None), "vaapi": (False, "there is no /dev/dri/renderD128")}
    place = f"{PROFILES}/{system[0]['id']}"
    assert site.ask("PUT", place, json={"name": "Mine", "ffmpeg_args": "whatever"}).status_code == 409
    assert site.ask("DELETE", place).status_code == 409
    assert site.ask("GET", place).json() == system[0]


def test_a_profile_is_made_read_changed_copied_and_removed(site: Site) -> None:
    profile = made(site, "Tablets", segment_duration=4)
    place = f"{PROFILES}/{profile['id']}"
    assert site.ask("GET", place).json() == profile
    assert (profile["segment_duration"], profile["max_segments"], profile["is_system_default"]) == (4, 6, False)
    changed = site.ask("PUT", place, json={"name": "Phones", "ffmpeg_args": ARGS, "is_active": False})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["segment_duration"], changed.json()["is_active"]) == ("Phones", 6, False)
    copied = site.ask("POST", f"{place}/copy", json={"name": "Phones too"})
    assert copied.status_code == 201 and copied.json()["ffmpeg_args"] == ARGS and copied.json()["id"] != profile["id"]
    assert site.ask("DELETE", place).status_code == 204
    assert site.ask("GET", place).status_code == site.ask("DELETE", place).status_code == 404


def test_a_system_profile_is_copied_and_the_copy_may_be_changed(site: Site) -> None:
    vaapi = next(each for each in site.ask("GET", PROFILES).json() if each["hardware_acceleration"] == "vaapi")
    copy = site.ask("POST", f"{PROFILES}/{vaapi['id']}/copy", json={"name": "Our card"}).json()
    assert (copy["is_system_default"], copy["hardware_acceleration"], copy["ffmpeg_args"]) == (False, "vaapi", vaapi["ffmpeg_args"])


def test_every_refusal_is_told_with_its_field_position_argument_problem_and_remedy(site: Site) -> None:
    body = {"name": "Not like this", "ffmpeg_args": HOSTILE, "max_segments": 1}
    answer = site.ask("POST", PROFILES, json=body)
    assert answer.status_code == 422
    told = {(each["field"], each["position"]): each for each in answer.json()["errors"]}
    assert {("max_segments", None), ("ffmpeg_args", 6), ("ffmpeg_args", 9), ("ffmpeg_args", 10), ("ffmpeg_args", 13)} <= told.keys()
    filtered = told["ffmpeg_args", 9]
    assert filtered["kind"] == "forbidden_filter" and filtered["problem"] and filtered["remedy"] and "movie" in filtered["argument"]
    judged = site.ask("POST", f"{PROFILES}/validate", json=body).json()
    assert (judged["valid"], judged["errors"], judged["taken"]) == (False, answer.json()["errors"], None)
    assert "Not like this" not in [each["name"] for each in site.ask("GET", PROFILES).json()]


def test_what_would_be_taken_is_told_before_anything_is_stored(site: Site) -> None:
    args = "-rw_timeout 5000000 -i {input_url} -c copy -f hls -hls_time 3 {output_path}"
    judged = site.ask("POST", f"{PROFILES}/validate", json={"name": "x", "ffmpeg_args": args, "output_format": "hls"}).json()
    taken = judged["taken"]
    assert judged["valid"] and judged["errors"] == []
    assert (taken["output_format"], taken["segment_duration"], taken["input_timeout"]) == ("hls", 3, 5)
    assert taken["options"] == ["-c", "copy"]


def test_what_has_no_effect_is_told_with_the_reason(site: Site) -> None:
    said = {"name": "odd", "ffmpeg_args": "-i {input_url} -c:v libx265 -c:a ac3 -vf hflip -bf 2 -f mpegts {output_path}"}
    judged = site.ask("POST", f"{PROFILES}/validate", json=said).json()
    made = site.ask("POST", PROFILES, json=said).json()
    assert judged["notices"] == made["notices"] == site.ask("GET", f"{PROFILES}/{made['id']}").json()["notices"]
    assert [each["argument"] for each in made["notices"]] == ["-c:v libx265", "-c:a ac3", "-bf 2"]
    assert all(each["reason"] for each in made["notices"])
    site.ask("DELETE", f"{PROFILES}/{made['id']}")


def test_a_name_that_is_taken_is_a_conflict(site: Site) -> None:
    made(site, "Only one")
    answer = site.ask("POST", PROFILES, json={"name": "Only one", "ffmpeg_args": ARGS})
    assert answer.status_code == 409 and answer.json()["errors"][0]["at"] == "name"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "ffmpeg_args": ARGS, "secret": 1},
        {"name": "x", "ffmpeg_args": ARGS, "segment_duration": "6"},
        {"name": "x", "ffmpeg_args": ARGS, "segment_duration": 6.5},
        {"name": "x", "ffmpeg_args": ARGS, "segment_duration": 10**30},
        {"name": "x", "ffmpeg_args": ARGS, "is_system_default": True},
        {"name": "x", "ffmpeg_args": ARGS, "output_format": "exe"},
        {"name": " x", "ffmpeg_args": ARGS},
        {"name": "x\0", "ffmpeg_args": ARGS},
        {"name": "x", "ffmpeg_args": "\0"},
        {"name": "x", "ffmpeg_args": "a" * 200_000},
        {"name": "x", "ffmpeg_args": ARGS, "hardware_acceleration": "magic"},
        [],
    ],
)
def test_what_is_no_profile_is_refused(site: Site, body: Any) -> None:
    assert site.ask("POST", PROFILES, json=body).status_code == 422


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999", "9" * 40, "1.5"])
def test_an_id_that_no_profile_has_is_unknown(site: Site, number: str) -> None:
    assert site.ask("GET", f"{PROFILES}/{number}").status_code == 404
