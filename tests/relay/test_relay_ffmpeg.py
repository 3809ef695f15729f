"""FFmpeg agrees: it knows every option and filter of the tables as we do, and the system defaults run."""

import functools
import http.server
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from relay_profiles import after, before, profile

from channeld.relay.arguments import parse
from channeld.relay.defaults import SYSTEM_DEFAULTS
from channeld.relay.filter_table import FILTERS
from channeld.relay.filtergraph import Fault, read_chain
from channeld.relay.options import DECODERS, ENCODERS, INPUT, OUTPUT, Option, Takes
from channeld.relay.options import PROTOCOLS as OPTION_PROTOCOLS
from channeld.relay.profile import Hardware, RelayProfile
from channeld.relay.render import OUTPUT as PIPE
from channeld.relay.render import PROTOCOLS, command

NOBODY = "http://127.0.0.1:1/"
RUNNING_S = 60.0
# What comes with libraries or drivers that not every build has.
_OPTIONAL_ENCODERS = {"libfdk_aac"}
_HARDWARE_FILTERS = re.compile("cuda|vaapi|qsv|hw")


def _run(argv: list[str], timeout_s: float = RUNNING_S) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)


def _words(option: Option) -> list[str]:
    kind = option.specifiers.replace("m", "-")[0]
    name = f"-{option.name}" + ("" if kind == "-" else f":{kind}")
    example = option.example.replace("{segment_duration}", "6").replace("{max_segments}", "6").replace("{output_path}", "x")
    return [name] if option.takes is Takes.NOTHING else [name, example]


def _read_as(ffmpeg: str, before: list[str], behind: list[str]) -> list[str]:
    """How FFmpeg understood a command line, in its own words; nothing is opened but a port where nobody listens."""
    found = _run([ffmpeg, "-nostdin", "-loglevel", "debug", *before, "-i", NOBODY, *behind, "nothing"])
    told = re.sub(r"Routing option .*\n", "", found.stderr.decode("utf-8", "replace"))
    return re.findall(r"Reading option '.*|Unrecognized option.*", told)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_ffmpeg_takes_every_option_of_the_tables_with_as_many_values_as_we_do(ffmpeg: str, place: str) -> None:
    table = INPUT if place == "before" else OUTPUT
    options = [option for option in table.values() if option.name not in ("y", "loglevel")]
    words = [word for option in options for word in _words(option)]
    read = _read_as(ffmpeg, *((words, []) if place == "before" else ([], words)))
    told = "\n".join(read)
    assert "Unrecognized" not in told
    for option in options:
        name, *value = _words(option)
        lines = [line for line in read if line.startswith(f"Reading option '{name}' ...")]
        wanted = re.escape(f"with argument '{value[0]}'.") if value else r"with argument '?[01]'?\.$"
        assert lines and re.search(wanted, lines[0]), lines
    assert told.count("matched as output url") == 1, "no value was taken for the name of an output"


def test_ffmpeg_has_the_codecs_of_the_tables(ffmpeg: str) -> None:
    for kind, table in (("-encoders", ENCODERS), ("-decoders", DECODERS)):
        known = set(re.findall(r"^ [VAS][.A-Z]{5} (\S+)", _run([ffmpeg, "-hide_banner", kind]).stdout.decode(), re.MULTILINE))
        assert known
        missing = {codec for codecs in table.values() for codec in codecs} - known - _OPTIONAL_ENCODERS - {"copy"}
        # A build without a vendor's library lacks its codecs; a misspelt name would be missing beside its siblings.
        assert not [codec for codec in missing if not _HARDWARE_FILTERS.search(codec) and "cuvid" not in codec and "nvenc" not in codec]


@pytest.mark.parametrize(("medium", "source"), [("v", "testsrc=s=320x180:r=25:d=0.2"), ("a", "sine=r=48000:d=0.2")])
def test_every_filters_example_runs_as_it_is_rewritten(medium: str, source: str, ffmpeg: str) -> None:
    outputs: list[str] = []
    for name, known in FILTERS.items():
        chain = read_chain(known.example, medium)
        if known.medium == medium and not _HARDWARE_FILTERS.search(name):
            assert not isinstance(chain, Fault), chain
            outputs += [f"-filter:{medium}", chain, "-f", "null", "-"]
    assert len(outputs) > 5 * 8
    ran = _run([ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", source, *outputs])
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("chain", "size"),
    [
        ("scale=640:-2", "640,360"),
        ("scale=w='min(320,iw)':h=-2", "320,180"),
        ("scale=min(320\\,iw):-2", "320,180"),
        ("scale=trunc(iw/4/2)*2:trunc(ih/4/2)*2", "320,180"),
        ("scale=-2:360,pad=ceil(iw/2)*2:400:(ow-iw)/2:(oh-ih)/2:black,setsar=1", "640,400"),
        ("crop=iw-16:ih-16", "1264,704"),
    ],
)
def test_a_rewritten_chain_does_what_the_written_one_would(ffmpeg: str, chain: str, size: str, tmp_path: Path) -> None:
    middle = parse(profile(after(f'-c:v libx264 -an -filter:v "{chain}"'))).middle
    out = tmp_path / "out.ts"
    source = ("-f", "lavfi", "-i", "testsrc=s=1280x720:r=25:d=0.1")
    assert _run([ffmpeg, "-nostdin", "-v", "error", *source, *middle, "-f", "mpegts", str(out)]).returncode == 0
    shown = _run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0", str(out)])
    assert shown.stdout.decode().split()[0] == size


@pytest.fixture(scope="module")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of H.264 and AAC as a transport stream."""
    path = tmp_path_factory.mktemp("upstream") / "clip.ts"
    pictures = ("-f", "lavfi", "-i", "testsrc=s=320x180:r=25:d=5", "-f", "lavfi", "-i", "sine=r=48000:d=5")
    codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2")
    assert _run([ffmpeg, "-nostdin", "-v", "error", *pictures, *codecs, "-f", "mpegts", str(path)]).returncode == 0
    return path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what matters."""


@pytest.fixture(scope="module")
def site(clip: Path) -> Iterator[str]:
    """An HTTP server with the clip, and beside it a manifest that leads to it."""
    (clip.parent / "live.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.ts\n#EXT-X-ENDLIST\n")
    (clip.parent / "trap.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:" + str(clip) + "\n#EXT-X-ENDLIST\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(clip.parent)))
    thread = threading.Thread(target=server.serve_forever, name="site")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def _tracks(stream: bytes, tmp_path: Path) -> dict[str, str]:
    """Codecs by kind, as ffprobe finds them, of a stream whose every packet begins with its sync byte."""
    assert stream and len(stream) % 188 == 0 and set(stream[::188]) == {0x47}
    path = tmp_path / "made.ts"
    path.write_bytes(stream)
    shown = json.loads(_run(["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]).stdout)
    assert shown["format"]["format_name"] == "mpegts" and float(shown["format"]["duration"]) > 1
    return {stream["codec_type"]: stream["codec_name"] for stream in shown["streams"]}


_HERE = [default for default in SYSTEM_DEFAULTS if default.hardware_acceleration is Hardware.NONE]


@pytest.mark.parametrize("default", _HERE, ids=lambda default: default.id)
@pytest.mark.parametrize("name", ["clip.ts", "live.m3u8"])
def test_a_default_makes_a_transport_stream_of_an_upstream(
    default: RelayProfile, name: str, site: str, ffmpeg: str, tmp_path: Path
) -> None:
    ran = _run(command(ffmpeg, default, f"{site}/{name}"))
    assert ran.returncode == 0, ran.stderr
    assert _tracks(ran.stdout, tmp_path) == {"video": "h264", "audio": "aac"}


def test_hardware_defaults_fail_with_words_where_there_is_no_hardware(site: str, ffmpeg: str) -> None:
    for default in SYSTEM_DEFAULTS:
        if default.hardware_acceleration is not Hardware.NONE:
            ran = _run(command(ffmpeg, default, f"{site}/clip.ts"))
            told = ran.stderr.decode("utf-8", "replace")
            assert ran.returncode == 0 or told
            assert not re.search("Unrecognized option|Option .* not found|Error splitting", told), told


def test_a_manifest_leads_to_no_file_of_ours(site: str, ffmpeg: str) -> None:
    ran = _run(command(ffmpeg, SYSTEM_DEFAULTS[0], f"{site}/trap.m3u8"))
    assert ran.stdout == b"" and b"whitelist" in ran.stderr


_HTTP_OPTIONS = (
    "-user_agent VLC/3.0.18 -reconnect 1 -reconnect_at_eof 0 -reconnect_streamed 1 -reconnect_on_network_error 1 "
    "-reconnect_on_http_error 5xx -reconnect_delay_max 2 -multiple_requests 0 -seekable 0"
)
_HLS_OPTIONS = "-http_persistent 1 -live_start_index 0 -max_reload 10"
_RTSP_OPTIONS = "-rtsp_transport tcp -rtsp_flags prefer_tcp -allowed_media_types video+audio -reorder_queue_size 50 -buffer_size 425984"
_ALL_OPTIONS = f"-rw_timeout 20000000 {_HTTP_OPTIONS} {_HLS_OPTIONS} {_RTSP_OPTIONS} -fflags +genpts -analyzeduration 2000000 -strict 1"


@pytest.mark.parametrize("name", ["clip.ts", "live.m3u8"])
def test_options_of_every_protocol_harm_no_http_upstream(name: str, site: str, ffmpeg: str, tmp_path: Path) -> None:
    """FFmpeg ends when the upstream's protocol does not know an option, so those of others are left out."""
    argv = command(ffmpeg, profile(before(_ALL_OPTIONS)), f"{site}/{name}")
    assert "-reconnect" in argv and "-rtsp_transport" not in argv and ("-max_reload" in argv) == (name == "live.m3u8")
    ran = _run(argv)
    assert ran.returncode == 0, ran.stderr
    assert _tracks(ran.stdout, tmp_path) == {"video": "h264", "audio": "aac"}


@pytest.mark.parametrize(("scheme", "muxer"), [("udp", "mpegts"), ("rtp", "rtp_mpegts"), ("srt", "mpegts")])
def test_a_profile_takes_a_stream_that_is_sent_to_it(scheme: str, muxer: str, clip: Path, ffmpeg: str, tmp_path: Path) -> None:
    """A real sender, which goes on until the relay has what it needs, and every input option that there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] & ~1
    url = f"{scheme}://127.0.0.1:{port}"
    target = f"{url}?pkt_size=1316" + ("&mode=listener" if scheme == "srt" else "")
    sender = [ffmpeg, "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", muxer, target]
    relay = command(ffmpeg, profile(before(_ALL_OPTIONS)), url)
    with subprocess.Popen(sender, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sending:
        try:
            stream = _first_bytes(relay, 188 * 400)
        finally:
            sending.kill()
    assert _tracks(stream, tmp_path) == {"video": "h264", "audio": "aac"}


def _first_bytes(argv: list[str], size: int) -> bytes:
    """The beginning of what a program writes; an SRT caller that was too early is started again."""
    give_up = time.monotonic() + RUNNING_S
    stream = b""
    while len(stream) < size and time.monotonic() < give_up:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reading:
            limit = threading.Timer(max(0.1, give_up - time.monotonic()), reading.kill)
            limit.start()
            assert reading.stdout is not None
            stream = reading.stdout.read(size)
            limit.cancel()
            reading.kill()
    return stream


def test_an_upstream_where_nobody_is_ends_the_attempt(ffmpeg: str) -> None:
    """All at the same time, as each waits for its deadline. RTP is left out: FFmpeg waits for it as long as it takes."""
    args = before(_ALL_OPTIONS.replace("20000000", "1000000"))
    argvs = [command(ffmpeg, profile(args), f"{scheme}://127.0.0.1:9/live") for scheme in PROTOCOLS if scheme != "rtp"]
    with ThreadPoolExecutor(len(argvs)) as pool:
        for ran in pool.map(_run, argvs):
            told = ran.stderr.decode("utf-8", "replace")
            assert ran.returncode != 0 and ran.stdout == b""
            assert not re.search("Unrecognized option|Option .* not found|not on whitelist|Protocol not found", told), told


def test_ffmpegs_rtsp_knows_the_options_that_it_gets(ffmpeg: str) -> None:
    known = set(re.findall(r"^  -(\w+) ", _run([ffmpeg, "-hide_banner", "-h", "demuxer=rtsp"]).stdout.decode(), re.MULTILINE))
    wanted = {option.name for option in INPUT.values() if option.protocol and "rtsp" in OPTION_PROTOCOLS[option.protocol]} | {"timeout"}
    assert wanted - known == set()


def test_the_pipe_ends_every_command() -> None:
    assert PIPE[-1] == "pipe:1"
