"""FFmpeg's lines, as FFmpeg 5.1 wrote them in trials against nginx-rtmp and dead targets."""

import subprocess
from pathlib import Path

import pytest

from channeld.process.ffmpeg_log import LineKind, classify, parse_line

SEEN = [
    ("[tcp @ 0x7fd080003d40] [verbose] Successfully connected to 127.0.0.1 port 21935", LineKind.CONNECTED),
    ("[fifo @ 0x56166f6729c0] [verbose] Recovery attempt #9", LineKind.RECOVERING),
    ("[AVIOContext @ 0x7f26ac002f00] [verbose] Statistics: 441085 bytes written, 0 seeks, 452 writeouts", LineKind.GIVEN_UP),
    ("[AVIOContext @ 0x7f26ac002f00] [verbose] Statistics: 73336 bytes read, 2 seeks", LineKind.OTHER),
    ("[fifo @ 0x56166f6729c0] [info] Recovery successful", LineKind.RECOVERED),
    ("[fifo @ 0x56166f6729c0] [info] Recovery failed: Connection refused", LineKind.CONNECTION_REFUSED),
    ("[tcp @ 0x7fd0] [error] Connection to tcp://127.0.0.1:21935?tcp_nodelay=0 failed: Connection refused", LineKind.CONNECTION_REFUSED),
    ("[tls @ 0x7f67d0001a40] [error] IO error: Connection timed out", LineKind.TIMED_OUT),
    ("[fifo @ 0x55d1] [error] Error opening rtmps://127.0.0.1:21935/live/a: Connection timed out", LineKind.TIMED_OUT),
    ("[tcp @ 0x7fd4] [error] Failed to resolve hostname nosuch.invalid: Name or service not known", LineKind.NAME_UNKNOWN),
    ("[rtmp @ 0x7f2930000f00] [error] Server error: Already publishing", LineKind.ALREADY_PUBLISHING),
    ("[rtmp @ 0x7f2930000f00] [error] Server error: authentication failed.", LineKind.AUTH_FAILED),
    ("[rtmp @ 0x7f2930000f00] [error] Server error: application not found", LineKind.SERVER_REFUSED),
    ("[fifo @ 0x55f4] [error] Error opening rtmp://127.0.0.1:21935/nosuch/a: Input/output error", LineKind.IO_ERROR),
    (
        "[tls @ 0x7f0c] [error] Unable to verify peer certificate: The certificate is NOT trusted. The certificate issuer is unknown. ",
        LineKind.CERTIFICATE_REFUSED,
    ),
    (
        "[tls @ 0x7f0c] [error] The certificate's owner does not match hostname 127.0.0.1",
        LineKind.CERTIFICATE_REFUSED,
    ),
    ("[fifo @ 0x55d1dbaf69c0] [warning] FIFO queue full", LineKind.QUEUE_FULL),
    ("[mpegts @ 0x55d1dbabf500] [warning] PES packet size mismatch", LineKind.CORRUPT),
    ("[mpegts @ 0x55d1dbabf500] [warning] Packet corrupt (stream = 1, dts = 1011840).", LineKind.CORRUPT),
    (
        "[mpegts @ 0x5571] [warning] Non-monotonous DTS in output stream 0:1; previous: 10, current: 5; changing to 11.",
        LineKind.NON_MONOTONIC,
    ),
    ("[error] av_interleaved_write_frame(): Broken pipe", LineKind.BROKEN_PIPE),
    ("[error] av_interleaved_write_frame(): No space left on device", LineKind.DISK_FULL),
    ("[info] Stream mapping:", LineKind.OTHER),
    ("[verbose]   Total: 403 packets (56401 bytes) demuxed", LineKind.OTHER),
    ("[rtmp @ 0x7f29] [error] Server error: code=403 need auth", LineKind.AUTH_FAILED),
    ("[mpegts @ 0x5638] [verbose] muxrate VBR, sdt every 500 ms, pat/pmt every 100 ms", LineKind.CONNECTED),
    ("[srt @ 0x7fc9] [error] Connection to srt://127.0.0.1:9106 failed: Input/output error", LineKind.NO_ANSWER),
    ("[srt @ 0x7fed] [error] Failed to resolve hostname nosuch.invalid: Name or service not known", LineKind.NAME_UNKNOWN),
    ("17:40:49.767432/SRT:RcvQ:w1!W:SRT.cn: processConnectRequest: rsp(REJECT): 1010 - Incorrect passphrase", LineKind.AUTH_FAILED),
    (
        "17:40:49.767954/SRT:RcvQ:w2!W:SRT.cn: processAsyncConnectRequest: REJECT reported from HS processing: Listener's backlog exceeded",
        LineKind.SERVER_REFUSED,
    ),
]


@pytest.mark.parametrize(("line", "kind"), SEEN)
def test_a_line_is_judged_by_the_table(line: str, kind: LineKind) -> None:
    assert parse_line(line).kind is kind


def test_a_message_that_another_thread_wrote_into_a_line_is_heard() -> None:
    """As FFmpeg 5.1 wrote it: the muxer's thread spoke while the main thread listed the streams."""
    assert parse_line("[info]   Stream #0:0 -> #0:0 (copy)Successfully connected to 127.0.0.1 port 34331").kind is LineKind.CONNECTED


def test_a_line_is_taken_apart() -> None:
    parsed = parse_line("[tcp @ 0x7fd0] [error] Connection to tcp://127.0.0.1:1935 failed: Connection refused")
    assert (parsed.component, parsed.level) == ("tcp", "error")
    assert parsed.text == "Connection to tcp://127.0.0.1:1935 failed: Connection refused"


def test_a_line_without_prefix_is_taken_as_it_is() -> None:
    parsed = parse_line("Conversion failed!")
    assert (parsed.component, parsed.level, parsed.text) == ("", "info", "Conversion failed!")


def test_a_line_that_libsrt_writes_for_itself_is_taken_apart_too() -> None:
    parsed = parse_line("17:40:49.767379/SRT:RcvQ:w1*E:SRT.cn: interpretSrtHandshake: KMREQ result abnornal")
    assert (parsed.component, parsed.level, parsed.text) == ("libsrt", "error", "interpretSrtHandshake: KMREQ result abnornal")


def test_a_stream_key_never_leaves() -> None:
    assert "SECRET" not in parse_line("[fifo @ 0x1] [error] Error opening rtmps://a.example/live2/SECRET: Broken pipe").text


def test_what_ffmpeg_really_says_of_a_port_nobody_listens_on_is_known(ffmpeg: str, tmp_path: Path) -> None:
    source = ["-f", "lavfi", "-i", "sine=d=0.1", "-c:a", "aac", "-f", "flv"]
    # Port 1 of loopback: nothing listens there.
    done = subprocess.run(
        [ffmpeg, "-nostdin", "-loglevel", "level+info", *source, "rtmp://127.0.0.1:1/live/x"], capture_output=True, text=True, timeout=30
    )
    assert LineKind.CONNECTION_REFUSED in {parse_line(line).kind for line in done.stderr.splitlines()}


def test_the_cause_wins_over_the_general_error_in_one_line() -> None:
    assert classify("IO error: Connection timed out") is LineKind.TIMED_OUT
