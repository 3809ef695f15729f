"""DASH as viewers fetch it from a media worker: a real process, real rings, real HTTP."""

import subprocess
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import httpx
import pytest
from media_process import DEADLINE_S, Air, MediaProcess

MANIFEST = "/dash/one/manifest.mpd"
NAMESPACE = {"": "urn:mpeg:dash:schema:mpd:2011"}


@pytest.fixture
def aired(worker: MediaProcess, air: Air) -> MediaProcess:
    """12 s on air, cut into 2 s, as HLS and as DASH."""
    worker.watch(air, types=("hls", "dash"))
    air.publish(0, 61)
    worker.wait_for("progress", output="dash", media_sequence=5)
    return worker


def addresses(text: str) -> list[str]:
    """Of headers and segments, as a player makes them."""
    found = []
    for template in ET.fromstring(text).iter("{urn:mpeg:dash:schema:mpd:2011}SegmentTemplate"):
        first = next(template.iter("{urn:mpeg:dash:schema:mpd:2011}S")).attrib["t"]
        found += [template.attrib["initialization"], template.attrib["media"].replace("$Time$", first)]
    return found


def test_the_manifest_and_its_files_are_served_to_pages_of_any_site(aired: MediaProcess) -> None:
    answer = httpx.get(aired.url + MANIFEST)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dash+xml")
    assert answer.headers["cache-control"] == "max-age=1" and answer.headers["access-control-allow-origin"] == "*"
    assert httpx.get(aired.url + MANIFEST, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    names = addresses(answer.text)
    assert len(names) == 4
    for name in names:
        file = httpx.get(f"{aired.url}/dash/one/{name}")
        assert (file.status_code, file.headers["content-type"]) == (200, f"{name[:5]}/mp4")
        assert "immutable" in file.headers["cache-control"] and file.headers["access-control-allow-origin"] == "*"
        head = httpx.head(f"{aired.url}/dash/one/{name}")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(file.content)))
        part = httpx.get(f"{aired.url}/dash/one/{name}", headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, file.content[4:8])


def test_neither_way_of_packaging_serves_the_others_files(aired: MediaProcess) -> None:
    name = addresses(httpx.get(aired.url + MANIFEST).text)[0]
    for path in (
        f"/hls/one/{name}",
        "/dash/one/index.m3u8",
        "/hls/one/manifest.mpd",
        "/dash/one/segment-0000000003.ts",
        "/dash/two/manifest.mpd",
    ):
        assert httpx.get(aired.url + path).status_code == 404
    assert httpx.get(aired.url + "/hls/one/index.m3u8").status_code == 200


def test_players_read_our_clock(aired: MediaProcess) -> None:
    timing = ET.fromstring(httpx.get(aired.url + MANIFEST).text).find("UTCTiming", NAMESPACE)
    assert timing is not None
    answer = httpx.get(f"{aired.url}/dash/one/{timing.attrib['value']}")
    assert answer.headers["cache-control"] == "no-store"
    assert abs(datetime.fromisoformat(answer.text).astimezone(UTC).timestamp() - time.time()) < DEADLINE_S


def test_ffprobe_reads_the_manifest_over_http(aired: MediaProcess) -> None:
    line = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", aired.url + MANIFEST]
    found = subprocess.run(line, check=True, capture_output=True, text=True, timeout=60)
    assert (sorted(set(found.stdout.split())), found.stderr) == (["aac", "h264,160"], "")


def test_dash_is_taken_away_and_hls_goes_on(aired: MediaProcess, air: Air) -> None:
    aired.watch(air)
    aired.wire.send("clean", channel="one", type="dash", keep_s=0)
    deadline = time.monotonic() + DEADLINE_S
    while httpx.get(aired.url + MANIFEST).status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    air.publish(61, 75)
    aired.wait_for("progress", output="hls", media_sequence=6)
    assert httpx.get(aired.url + "/hls/one/index.m3u8").status_code == 200


def test_a_killed_worker_goes_on_in_the_same_period(air: Air, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("killed")
    first = MediaProcess(folder)
    first.watch(air, types=("dash",))
    air.publish(0, 37)
    first.wait_for("progress", output="dash", media_sequence=2)
    first.kill()
    air.publish(37, 61)
    second = MediaProcess(folder)
    second.watch(air, types=("dash",))
    second.wait_for("progress", output="dash", media_sequence=5)
    periods = ET.fromstring(httpx.get(second.url + MANIFEST).text).findall("Period", NAMESPACE)
    assert [period.get("id") for period in periods] == ["0"]
    assert second.close() == 0


def test_who_has_no_token_gets_nothing_and_who_has_one_is_led_with_it(air: Air, tmp_path_factory: pytest.TempPathFactory) -> None:
    worker = MediaProcess(tmp_path_factory.mktemp("token"), access="token", token="s3cret")
    worker.watch(air, types=("dash",))
    air.publish(0, 61)
    worker.wait_for("progress", output="dash", media_sequence=5)
    for path in (MANIFEST, "/dash/one/time", "/dash/one/video-0000000000.mp4"):
        assert httpx.get(worker.url + path).status_code == 403
    text = httpx.get(f"{worker.url}{MANIFEST}?token=s3cret").text
    assert {httpx.get(f"{worker.url}/dash/one/{name}").status_code for name in addresses(text)} == {200}
    assert worker.close() == 0
