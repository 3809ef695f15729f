"""Freeing a name that another session holds, through nginx's control page."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin, missing_parts
from push_feeding import Feeder, Until

from channeld.outputs.push import PushOutput
from channeld.outputs.push_drop import PublisherDrop, is_near, publisher_of
from channeld.outputs.push_health import PushCondition, PushState
from channeld.process.ffmpeg_log import parse_line
from channeld.process.holder import Holder
from channeld.telemetry import log

TAKEN = parse_line("[rtmp @ 0x1] [error] Server error: Already publishing")


@pytest.mark.parametrize(
    ("url", "publisher"),
    [
        ("rtmp://127.0.0.1:1935/live/news", ("live", "news")),
        ("rtmp://h/live/news?secret=1", ("live", "news")),
        ("rtmps://h:443/app/instance/name", ("app/instance", "name")),
        ("rtmp://h/live", ("live", "")),
    ],
)
def test_application_and_name_are_taken_from_the_push_url_as_ffmpeg_does(url: str, publisher: tuple[str, str]) -> None:
    assert publisher_of(url) == publisher


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("192.168.0.9", True), ("8.8.8.8", False), ("", False), ("no.invalid", False)],
)
def test_only_this_machine_and_private_networks_are_near(host: str, expected: bool) -> None:
    assert is_near(host) is expected


@pytest.mark.parametrize("control", ["file:///etc/passwd", "http://8.8.8.8/control", "http://127.0.0.1:1/control", "gopher://127.0.0.1/"])
def test_an_address_that_may_not_or_cannot_be_asked_is_told_and_harms_nobody(control: str, capfd: pytest.CaptureFixture[str]) -> None:
    PublisherDrop(control, "rtmp://h/live/SECRET", log.get("test")).take([TAKEN], healthy_s=0.0)
    told = "".join(capfd.readouterr())
    assert "publisher_not_dropped" in told and "SECRET" not in told


@pytest.fixture
def other_publisher(nginx_rtmp: NginxOrigin, ffmpeg: str, house_ts: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A session that already holds the name `a`."""
    source = [ffmpeg, "-nostdin", "-v", "quiet", "-re", "-i", str(house_ts), "-c", "copy", "-bsf:a", "aac_adtstoasc"]
    process = subprocess.Popen([*source, "-f", "flv", nginx_rtmp.rtmp_url("a")])
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")
def test_a_name_that_is_taken_is_freed_where_control_is_configured(
    nginx_rtmp: NginxOrigin,
    other_publisher: subprocess.Popen[bytes],
    feeder: Feeder,
    tmp_path: Path,
    until: Until,
    capfd: pytest.CaptureFixture[str],
) -> None:
    nginx_rtmp.wait_for_segments("a")
    holder, seen = Holder(), list[PushState]()
    on_state: Callable[[PushState], None] = seen.append
    output = PushOutput(
        "rtmp",
        "live1",
        nginx_rtmp.rtmp_url("a"),
        holder=holder,
        runtime_dir=tmp_path / "run",
        on_writer=feeder.take,
        on_state=on_state,
        control=nginx_rtmp.control_url("control"),
    )
    output.start()
    try:
        until(lambda: output.state.condition is PushCondition.UP)
        assert "already publishing" in {state.reason for state in seen}
        assert other_publisher.wait(20) is not None, "the other one was shown out"
        assert "publisher_dropped" in "".join(capfd.readouterr())
    finally:
        output.close()
        holder.close()
