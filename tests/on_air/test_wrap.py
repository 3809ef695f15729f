"""The 33-bit wrap of all timestamps, which comes every 26.5 hours: a channel that begins shortly before it stays clean.

Rule: all viewers watch from before the wrap until after it, or the judgement would be about nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from judge.flv import read_flv
from judge.hls_recorder import HlsRecorder
from judge.ts import NGINX_HLS, read_ts
from nginx_origin import missing_parts, wait_until
from recordings import RecordingOrigin, TsRecorder, nginx_faults
from running import FPS, RunningDaemon, origin_ports
from timeline import DECK, WATCHED, Timeline, content_faults, timeline_of

WRAP_TICKS = 1 << 33
BEFORE_S, AFTER_S = 7, 4
RATE = Fraction(FPS)
pytestmark = pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A channel before and after the wrap, as its viewers kept it."""

    timeline: Timeline
    ts: TsRecorder
    hls: HlsRecorder
    nginx: HlsRecorder
    flv: list[Path]


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[Wrapped]:
    folder = tmp_path_factory.mktemp("wrap")
    playlist = folder / "wrap.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in DECK), encoding="utf-8")
    origin = RecordingOrigin(folder / "origin", ports=origin_ports(), fragment_s=1)
    outputs = [{"hls": {"segment_seconds": 1, "window": 6}}, {"ts": {}}, {"rtmp": origin.rtmp_url("wrap")}]
    settings = {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": outputs}
    daemon = RunningDaemon(folder / "daemon", {"wrap": {**settings, "timeline_start": WRAP_TICKS - BEFORE_S * 90_000}}, cache=prepared)
    try:
        origin.start()
        yield _watch(folder, daemon, origin, deck)
    finally:
        daemon.stop()
        origin.stop()


def _watch(folder: Path, daemon: RunningDaemon, origin: RecordingOrigin, deck: Path) -> Wrapped:
    with HlsRecorder(daemon.hls_url("wrap"), folder / "hls") as hls, HlsRecorder(origin.hls_url("wrap"), folder / "nginx") as nginx:
        daemon.start()
        with TsRecorder(daemon.ts_url("wrap"), folder / "wrap.ts") as ts:
            late = WRAP_TICKS + AFTER_S * 90_000
            wait_until(lambda: daemon.channel("wrap")["timeline"]["ticks"] > late, what="the time after the wrap", timeout_s=60)
            assert daemon.channel("wrap")["timeline"]["wraps"] == 1
    airings = daemon.airings("wrap")
    assert daemon.stop() == []
    return Wrapped(timeline_of(airings, {str(deck / name): marks for name, marks in DECK.items()}), ts, hls, nginx, origin.recorded("wrap"))


def test_the_spliced_stream_goes_on_to_the_tick(wrapped: Wrapped) -> None:
    report = read_ts(wrapped.ts.path, fps=RATE, allowances=WATCHED)
    assert report.faults() == []
    assert report.video is not None
    assert report.video.units.dts[0] < WRAP_TICKS < report.video.units.dts[-1]
    assert content_faults(wrapped.ts.path, wrapped.timeline) == []


def test_the_embedded_origin_shows_nothing_of_it(wrapped: Wrapped, tmp_path: Path) -> None:
    stream = wrapped.hls.concatenate()
    joined = tmp_path / "hls.ts"
    joined.write_bytes(stream)
    assert wrapped.hls.faults(discontinuities=0) == []
    report = read_ts(stream, fps=RATE, allowances=WATCHED, segment_bytes=wrapped.hls.sizes())
    assert report.faults() == []
    assert report.video is not None
    assert report.video.units.dts[0] < WRAP_TICKS < report.video.units.dts[-1]
    assert content_faults(joined, wrapped.timeline) == []


def test_the_push_goes_on_in_one_publication(wrapped: Wrapped) -> None:
    assert len(wrapped.flv) == 1
    assert read_flv(wrapped.flv[0]).faults(RATE) == []
    assert content_faults(wrapped.flv[0], wrapped.timeline) == []


def test_nginxs_segments_show_nothing_of_it(wrapped: Wrapped, tmp_path: Path) -> None:
    stream = wrapped.nginx.concatenate()
    joined = tmp_path / "nginx.ts"
    joined.write_bytes(stream)
    assert nginx_faults(wrapped.nginx) == []
    assert read_ts(stream, fps=RATE, allowances=NGINX_HLS, segment_bytes=wrapped.nginx.sizes()).faults() == []
    assert content_faults(joined, wrapped.timeline) == []
