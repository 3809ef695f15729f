"""How a push's target is told to FFmpeg: no key on a command line, and a server that must prove who it is."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from nginx_origin import NginxOrigin, missing_parts

from channeld.base.errors import OutputError
from channeld.outputs.push_srt import SrtLink
from channeld.outputs.push_target import PushTarget, TargetOptions, handed, target_options

KEY = "abcd-secret-1234"


def told(url: str, **more: object) -> tuple[str, str]:
    """Arguments and preset as text."""
    options = target_options(PushTarget(url, **more))  # type: ignore[arg-type]
    return " ".join(options.arguments), (options.preset or b"").decode()


@pytest.mark.parametrize(
    ("url", "shown", "app", "playpath"),
    [
        (f"rtmp://a.example/live2/{KEY}", "rtmp://a.example/live2", "live2", KEY),
        (f"rtmp://a.example:1936/app/inst/{KEY}", "rtmp://a.example:1936/app/inst", "app/inst", KEY),
        (f"rtmps://a.example/rtmp/{KEY}?s_bl=1&s_l=0", "rtmps://a.example/rtmp", "rtmp", f"{KEY}?s_bl=1&s_l=0"),
        (f"rtmp://a.example/live/{KEY}:x'y\\z", "rtmp://a.example/live", "live", rf"{KEY}\:x\'y\\z"),
    ],
)
def test_a_key_stands_in_the_preset_and_not_on_the_command_line(url: str, shown: str, app: str, playpath: str) -> None:
    arguments, preset = told(url)
    assert arguments == f"-fpre /proc/self/fd/0 {shown}"
    assert f":rtmp_app={app}:rtmp_playpath={playpath}\n" in preset
    assert preset.startswith("format_opts=flvflags=") and preset.count("\n") == 1


def test_the_name_of_a_stream_on_this_machine_is_no_key() -> None:
    arguments, preset = told("rtmp://127.0.0.1:1935/live/live1")
    assert arguments.endswith(" rtmp://127.0.0.1:1935/live/live1") and preset == ""


def test_what_is_secret_of_an_srt_target_stands_in_the_preset_and_the_rest_on_the_command_line() -> None:
    open_link = target_options(PushTarget("srt://a.example:9000", srt=SrtLink(latency_ms=300)))
    assert open_link.preset is None and open_link.arguments[-1] == "srt://a.example:9000"
    assert ":mode=caller:latency=300000:protocol_whitelist=srt" in open_link.arguments[1]
    target = PushTarget("srt://a.example:9000", srt=SrtLink(passphrase="it's:secret\\1", stream_id="#!::r=x"))
    arguments, preset = " ".join(target_options(target).arguments), (target_options(target).preset or b"").decode()
    assert arguments == "-fpre /proc/self/fd/0 srt://a.example:9000"
    assert ":passphrase=it\\'s\\:secret\\\\1:streamid=#!\\:\\:r=x\n" in preset
    assert "secret" not in repr(target) + repr(target_options(target)) and "r=x" not in repr(target)


def test_nothing_shows_the_key_in_a_representation() -> None:
    target = PushTarget(f"rtmp://a.example/live2/{KEY}")
    assert KEY not in repr(target) + repr(target_options(target))


def test_a_server_must_prove_who_it_is_unless_told_otherwise(tmp_path: Path) -> None:
    url = f"rtmps://a.example/live2/{KEY}"
    assert ":tls_verify=1" in told(url)[1]
    assert f":tls_verify=1:ca_file={tmp_path}/own.pem:" in told(url, ca_file=tmp_path / "own.pem")[1]
    assert "tls_verify" not in told(url, tls_verify=False)[1]
    assert "tls_verify" not in told(f"rtmp://a.example/live2/{KEY}")[1]


def test_a_key_that_ffmpeg_would_cut_is_refused_without_being_shown() -> None:
    with pytest.raises(OutputError, match="too long") as refused:
        target_options(PushTarget(f"rtmp://a.example/live2/{'k' * 1000}"))
    assert "kkk" not in str(refused.value)


@pytest.fixture
def origin(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[NginxOrigin]:
    """An origin on every loopback address: by 127.0.0.2 it is another machine to whoever reads the URL."""
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    made = NginxOrigin(
        tmp_path / "origin", ports=(free_port(), free_port(), free_port()), fragment_s=1, arguments=("--rtmp-listen=0.0.0.0",)
    )
    made.start()
    yield made
    made.stop()


def push(ffmpeg: str, clip: Path, options: TargetOptions) -> "subprocess.Popen[str]":
    """FFmpeg as a push starts it, in real time from a file."""
    fd = handed(options.preset) if options.preset else os.open("/dev/null", os.O_RDONLY)
    source = (ffmpeg, "-nostdin", "-loglevel", "level+verbose", "-re", "-i", str(clip), "-map", "0:v", "-map", "0:a", "-c", "copy")
    try:
        return subprocess.Popen(
            [*source, "-tag:v", "7", "-tag:a", "10", "-f", "fifo", "-fifo_format", "flv", *options.arguments],
            stdin=fd,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(fd)


def test_ffmpeg_publishes_under_a_key_that_nobody_sees(origin: NginxOrigin, ffmpeg: str, house_clip: Path) -> None:
    options = target_options(PushTarget(f"rtmp://127.0.0.2:{origin.rtmp_port}/live/{KEY}"))
    process = push(ffmpeg, house_clip, options)
    try:
        segments = origin.wait_for_segments(KEY, 2)
        assert KEY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert KEY.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()
        assert httpx.get(origin.hls_url(KEY).replace("index.m3u8", segments[0])).content
    finally:
        process.kill()
        said = process.communicate(timeout=20)[1]
    assert KEY not in said
