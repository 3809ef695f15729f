"""Viewers get the guide as it was written, and a list whose addresses are those they came by."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from listings import read_m3u
from media_process import MediaProcess

GUIDE = b'<?xml version="1.0" encoding="UTF-8"?>\n<tv></tv>\n'
ENTRIES = '#EXTINF:-1 tvg-id="one" tvg-name="One",One\n/hls/one/index.m3u8\n'


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[MediaProcess]:
    process = MediaProcess(tmp_path)
    yield process
    process.close()


def write(folder: Path) -> None:
    (folder / "guide.xml").write_bytes(GUIDE)
    (folder / "channels.m3u").write_text(ENTRIES)


def test_before_there_is_a_guide_there_is_none(worker: MediaProcess):
    assert httpx.get(f"{worker.url}/guide.xml").status_code == 404
    assert httpx.get(f"{worker.url}/channels.m3u").status_code == 404


def test_the_guide_is_given_once_and_again_when_it_changed(worker: MediaProcess, tmp_path: Path):
    write(tmp_path)
    first = httpx.get(f"{worker.url}/guide.xml")
    assert (first.status_code, first.content) == (200, GUIDE)
    assert first.headers["content-type"] == "application/xml; charset=utf-8"
    known = {"If-None-Match": first.headers["etag"]}
    assert httpx.get(f"{worker.url}/guide.xml", headers=known).status_code == 304
    assert httpx.get(f"{worker.url}/guide.xml", headers={"If-Modified-Since": first.headers["last-modified"]}).status_code == 304
    (tmp_path / "guide.xml").write_bytes(GUIDE + b"\n")
    assert httpx.get(f"{worker.url}/guide.xml", headers=known).status_code == 200
    assert httpx.head(f"{worker.url}/guide.xml").headers["content-length"] == str(len(GUIDE) + 1)


def test_the_list_names_the_listener_as_the_viewer_does(worker: MediaProcess, tmp_path: Path):
    write(tmp_path)
    for host, scheme in (("tv.example:8090", "http"), ("[2001:db8::1]:8090", "http"), ("tv.example", "https")):
        answer = httpx.get(f"{worker.url}/channels.m3u", headers={"Host": host, "X-Forwarded-Proto": scheme})
        assert answer.headers["content-type"] == "audio/x-mpegurl; charset=utf-8"
        head, (station,) = read_m3u(answer.text)
        assert station.url == f"{scheme}://{host}/hls/one/index.m3u8"
        assert head["url-tvg"] == f"{scheme}://{host}/guide.xml"
        assert (
            httpx.get(
                f"{worker.url}/channels.m3u", headers={"Host": host, "X-Forwarded-Proto": scheme, "If-None-Match": answer.headers["etag"]}
            ).status_code
            == 304
        )


@pytest.mark.parametrize("host", ["a b", 'x"y', "evil/path", "host:123456", "<script>"])
def test_a_host_that_is_none_gets_no_list(worker: MediaProcess, tmp_path: Path, host: str):
    write(tmp_path)
    assert httpx.get(f"{worker.url}/channels.m3u", headers={"Host": host}).status_code == 400


def test_a_strange_scheme_is_not_taken_over(worker: MediaProcess, tmp_path: Path):
    write(tmp_path)
    answer = httpx.get(f"{worker.url}/channels.m3u", headers={"X-Forwarded-Proto": "javascript"})
    assert read_m3u(answer.text)[1][0].url.startswith("http://")


def test_with_a_token_guide_and_list_need_it_and_every_address_carries_it(tmp_path: Path):
    worker = MediaProcess(tmp_path, access="token", token="s e/cret")
    try:
        write(tmp_path)
        for name in ("guide.xml", "channels.m3u"):
            assert httpx.get(f"{worker.url}/{name}").status_code == 403
            assert httpx.get(f"{worker.url}/{name}", params={"token": "wrong"}).status_code == 403
            assert httpx.get(f"{worker.url}/{name}", params={"token": "s e/cret"}).status_code == 200
        head, (station,) = read_m3u(httpx.get(f"{worker.url}/channels.m3u", params={"token": "s e/cret"}).text)
        assert station.url == f"{worker.url}/hls/one/index.m3u8?token=s%20e%2Fcret"
        assert head["url-tvg"] == f"{worker.url}/guide.xml?token=s%20e%2Fcret"
    finally:
        worker.close()


def test_a_link_in_the_folder_leads_nowhere(worker: MediaProcess, tmp_path: Path):
    secret = tmp_path.parent / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "guide.xml").symlink_to(secret)
    assert httpx.get(f"{worker.url}/guide.xml").status_code == 404
