"""The egress argument list."""

import math
import subprocess
from pathlib import Path

import pytest

from channeld.base.errors import OutputError
from channeld.outputs.push_args import PROGRESS_DROPPED, PROGRESS_TOLD, push_arguments
from channeld.outputs.push_plan import make_plan
from channeld.outputs.push_target import PushTarget, protocols, target_options


def test_nothing_is_re_encoded_and_nothing_paces_but_the_playout() -> None:
    arguments = push_arguments(Path("/run/x/fifo/a.rtmp"), target_options(PushTarget("rtmp://127.0.0.1/live/a")))
    assert arguments[arguments.index("-c") + 1] == "copy"
    assert "-re" not in arguments and "-copyts" not in arguments
    assert arguments[-1] == "rtmp://127.0.0.1/live/a"


def test_the_input_may_be_nothing_but_a_transport_stream_from_a_file() -> None:
    arguments = push_arguments(Path("/run/x/fifo/a.rtmp"), target_options(PushTarget("rtmp://127.0.0.1/live/a")))
    before_input = arguments[: arguments.index("-i")]
    for option, value in (("-protocol_whitelist", "file"), ("-format_whitelist", "mpegts"), ("-codec_whitelist", "h264,aac")):
        assert before_input[before_input.index(option) + 1] == value


@pytest.mark.parametrize(("url", "listed"), [("rtmp://h/a/b", "rtmp,tcp"), ("RTMPS://h/a/b", "rtmps,tls,tcp"), ("srt://h:9", "srt")])
def test_the_output_may_use_what_its_scheme_needs(url: str, listed: str) -> None:
    assert protocols(url) == listed
    options = target_options(PushTarget(url))
    assert f"protocol_whitelist={listed}" in f"{options.arguments} {options.preset!r}"


def test_srt_is_a_transport_stream_with_its_own_ticks_and_never_recycled() -> None:
    target = PushTarget("srt://h:9000")
    arguments = push_arguments(Path("/run/x/fifo/a.srt"), target_options(target))
    assert arguments[arguments.index("-fifo_format") + 1] == "mpegts"
    assert "-tag:v" not in arguments and arguments[arguments.index("-copytb") + 1] == "1"
    assert arguments[arguments.index("-codec_whitelist") + 1] == "h264,hevc,aac"  # FLV has no place for the second
    plan = make_plan("a", "srt", target, runtime_dir=Path("/run/x"), ffmpeg="ffmpeg", timing=None)
    assert plan.timing.draw_recycle_s() == math.inf


@pytest.mark.parametrize("url", ["http://h/a", "file:/etc/passwd", "/tmp/x.flv", "-y", ""])
def test_a_url_that_is_not_rtmp_is_refused(url: str) -> None:
    with pytest.raises(OutputError, match="rtmp"):
        target_options(PushTarget(url))


def test_ffmpeg_keeps_to_the_outputs_whitelist(ffmpeg: str, house_ts: Path) -> None:
    """The list travels to the connection: with TCP taken off it, FFmpeg refuses to connect."""
    # Port 1 of loopback: nothing listens there.
    arguments = push_arguments(house_ts, target_options(PushTarget("rtmp://127.0.0.1:1/live/x")), ffmpeg=ffmpeg)
    short = tuple("0" if before == "-attempt_recovery" else each for before, each in zip(("", *arguments), arguments, strict=False))
    lists = {"rtmp,tcp": "Connection refused", "rtmp": "Protocol 'tcp' not on whitelist"}
    for listed, expected in lists.items():
        line = [argument.replace("protocol_whitelist=rtmp,tcp", f"protocol_whitelist={listed}") for argument in short]
        done = subprocess.run(line, capture_output=True, text=True, timeout=30)
        assert expected in done.stderr


def test_every_line_of_progress_is_told_or_dropped_and_none_is_kept(ffmpeg: str, house_ts: Path) -> None:
    line = [ffmpeg, "-nostdin", "-v", "error", "-i", str(house_ts), "-c", "copy", "-progress", "pipe:2", "-f", "null", "-"]
    lines = subprocess.run(line, capture_output=True, text=True, timeout=30).stderr.splitlines()
    assert [each for each in lines if not each.startswith((*PROGRESS_TOLD, *PROGRESS_DROPPED))] == []
    assert [each for each in lines if each.startswith(PROGRESS_TOLD)]
