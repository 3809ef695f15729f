"""Hosts that a list may not name: as an address or as a name that leads to one."""

import pytest

from channeld.sources.reach import private_fault


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://127.0.0.1/cam",
        "rtsp://viewer:secret@10.0.0.5:554/cam",
        "srt://[::1]:9000",
        "rtmp://localhost/live/x",
        "http://[::ffff:192.168.0.1]/x.ts",
        "rtsp://169.254.169.254/latest",
    ],
)
def test_private_hosts_are_told(url: str) -> None:
    fault = private_fault(url)
    assert fault is not None and "private address" in fault and "secret" not in fault


@pytest.mark.parametrize(
    "url", ["rtsp://1.1.1.1/cam", "srt://[2606:4700::1111]:9000", "rtsp://no.such.host.invalid/x", "rtsp://[::1/x", "rtsp:///x"]
)
def test_public_hosts_and_what_leads_nowhere_are_left_to_ffmpeg(url: str) -> None:
    assert private_fault(url) is None
