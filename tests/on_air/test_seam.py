"""The main promise: unlike clips, one endless stream, no seam; judged in all four forms that a viewer can have.

With CHANNELD_TEST_MEDIA=FOLDER every file of the folder's MANIFEST.tsv airs instead of those that come with the project,
and the manifest's `expected` (air or refuse) is held against what happened. With --long the clips air whole.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from clips import numbered_clip
from judge.flv import read_flv
from judge.hls_recorder import HlsRecorder
from judge.ts import FFMPEG_FILE, NGINX_HLS, read_ts
from nginx_origin import missing_parts, wait_until
from peers.srt_peer import SrtPeer, has_srt_tools
from recordings import RecordingOrigin, TsRecorder, nginx_faults, whole_gops
from running import FPS, RunningDaemon, free_ports, origin_ports, prepare
from timeline import WATCHED, Numbered, Timeline, content_faults, timeline_of

TRIM_S = 2
RATE = Fraction(FPS)
NUMBERED: dict[str, tuple[Numbered, dict[str, Any]]] = {
    "mp4.mp4": (Numbered(100_000, 50), {"frames": 50, "base": 100_000}),
    "webm.webm": (Numbered(200_000, 33), {"frames": 33, "base": 200_000, "codec": "vp8", "acodec": "opus"}),
    "mkv.mkv": (Numbered(300_010, 30), {"frames": 60, "base": 300_000, "codec": "ffv1", "acodec": "pcm", "rate": 44_100}),
    "mpeg.ts": (Numbered(400_000, 41), {"frames": 41, "base": 400_000, "codec": "mpeg2", "audio": None}),
    "hevc.mp4": (Numbered(500_000, 25), {"frames": 25, "base": 500_000, "codec": "hevc", "channels": 1, "rate": 22_050}),
}
TRIMS: dict[str, dict[str, Any]] = {"mkv.mkv": {"in": 0.4, "out": 1.6}}

needs_srt = pytest.mark.skipif(not has_srt_tools(), reason="missing on this machine: srt-tools")
needs_nginx = pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")
# The waits below have limits of their own; with --long a loop may take an hour.
pytestmark = pytest.mark.timeout(7200)


@dataclass(frozen=True, slots=True)
class Listing:
    """What stands in the playlist, and what is expected of it."""

    entries: list[dict[str, Any]]
    numbered: dict[str, Numbered]
    refused: set[str]
    roots: list[str]

    @property
    def numbers(self) -> set[int]:
        """Every number that a viewer must see once."""
        return {number for marks in self.numbered.values() for number in range(marks.first, marks.first + marks.frames)}

    @property
    def airing(self) -> list[str]:
        """The paths that must air, in order."""
        return [entry["path"] for entry in self.entries if entry["path"] not in self.refused]


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One loop on air, as everybody kept it."""

    listing: Listing
    airings: list[dict[str, Any]]
    timeline: Timeline
    refusals: dict[str, str]
    ts: TsRecorder
    hls: HlsRecorder
    nginx: HlsRecorder | None
    flv: list[Path]
    srt: Path
    after: list[str]
    """What was wrong after the daemon's end."""


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory, media_dir: Path, request: pytest.FixtureRequest) -> Listing:
    """All clips, with a numbered one after every few."""
    trim = {} if request.config.getoption("--long") else {"duration": TRIM_S}
    folder = Path(os.environ["CHANNELD_TEST_MEDIA"]) if "CHANNELD_TEST_MEDIA" in os.environ else media_dir
    given, refused = _from_manifest(folder) if (folder / "MANIFEST.tsv").exists() else _from_folder(folder)
    entries = [{"path": str(path), **trim} for path in given]
    shelf = tmp_path_factory.mktemp("numbered")
    step = len(entries) // len(NUMBERED)
    for place, (name, (_, facts)) in enumerate(NUMBERED.items(), 1):
        path = numbered_clip(shelf / name, **{"size": (640, 360), **facts})
        entries.insert(place * step + place, {"path": str(path), **TRIMS.get(name, {})})
    numbered = {str(shelf / name): marks for name, (marks, _) in NUMBERED.items()}
    return Listing(entries, numbered, {str(path) for path in refused}, [str(folder), str(shelf)])


def _from_manifest(folder: Path) -> tuple[list[Path], list[Path]]:
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    paths = {folder / row["file"]: row["expected"] for row in rows}
    return list(paths), [path for path, expected in paths.items() if expected == "refuse"]


def _from_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".md", ".txt"))
    return files, [path for path in files if path.parent.name == "broken"]


@pytest.fixture(scope="module")
def broadcast(listing: Listing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broadcast]:
    """The whole list once in real time, as every kind of viewer kept it."""
    folder = tmp_path_factory.mktemp("seam")
    origin = None if missing_parts() else RecordingOrigin(folder / "origin", ports=origin_ports(), fragment_s=1)
    outputs: list[dict[str, Any]] = [{"hls": {"segment_seconds": 1, "window": 6}}, {"ts": {}}]
    outputs += [{"rtmp": origin.rtmp_url("seam")}] if origin else []
    srt = SrtPeer(free_ports(1)[0], folder / "srt.ts") if has_srt_tools() else None
    outputs += [{"srt": srt.url}] if srt else []
    playlist = folder / "seam.yaml"
    playlist.write_text(yaml.safe_dump(listing.entries, allow_unicode=True, sort_keys=False), encoding="utf-8")
    channels = {"seam": {"playlist": str(playlist), "media_roots": listing.roots, "outputs": outputs}}
    daemon = RunningDaemon(folder / "daemon", channels, cache=prepare(folder / "prepare", channels))
    try:
        if origin:
            origin.start()
        if srt:
            srt.start()
        yield _air(folder, daemon, origin, listing)
    finally:
        daemon.stop()
        if srt:
            srt.stop()
        if origin:
            origin.stop()


def _air(folder: Path, daemon: RunningDaemon, origin: RecordingOrigin | None, listing: Listing) -> Broadcast:
    hls = HlsRecorder(daemon.hls_url("seam"), folder / "hls").start()
    nginx = HlsRecorder(origin.hls_url("seam"), folder / "nginx").start() if origin else None
    daemon.start()
    ts = TsRecorder(daemon.ts_url("seam"), folder / "ts.ts").start()
    _wait_for_loop(daemon, listing)
    ts.close()
    hls.close()
    if nginx:
        nginx.close()
    airings, refusals = daemon.airings("seam"), daemon.refusals()
    after = daemon.stop()
    flv = origin.recorded("seam") if origin else []
    return Broadcast(listing, airings, timeline_of(airings, listing.numbered), refusals, ts, hls, nginx, flv, folder / "srt.ts", after)


def _wait_for_loop(daemon: RunningDaemon, listing: Listing) -> None:
    """Until the list has begun anew and gone on: what aired of it has then reached the slowest viewer."""
    loop = len(listing.airing)
    longest_s = 60.0 + (2.5 * loop if "duration" in listing.entries[0] else 3600.0)
    wait_until(lambda: len([path for path in daemon.aired("seam") if path]) > loop + 1, what="the whole list", timeout_s=longest_s)


def test_every_clip_airs_once_in_order_and_the_broken_ones_never(broadcast: Broadcast) -> None:
    loop = len(broadcast.listing.airing)
    assert [airing["path"] for airing in broadcast.airings if airing["path"]][:loop] == broadcast.listing.airing


def test_each_broken_clip_is_named_with_its_reason(broadcast: Broadcast) -> None:
    assert broadcast.refusals.keys() == broadcast.listing.refused
    assert all(broadcast.refusals.values())


def test_every_airing_ends_at_its_clips_end(broadcast: Broadcast) -> None:
    assert [airing for airing in broadcast.airings if airing["path"] and airing["ended"] not in ("end", None)] == []


def test_the_spliced_stream_is_one_stream_to_the_tick(broadcast: Broadcast) -> None:
    assert broadcast.ts.trouble == []
    assert read_ts(broadcast.ts.path, fps=RATE, allowances=WATCHED).faults() == []


def test_every_picture_of_the_spliced_stream_stands_in_its_place_and_no_join_clicks(broadcast: Broadcast) -> None:
    assert content_faults(broadcast.ts.path, broadcast.timeline, must_show=broadcast.listing.numbers) == []


def test_the_embedded_origins_manifest_has_no_seam(broadcast: Broadcast) -> None:
    assert broadcast.hls.faults(discontinuities=0) == []


def test_the_embedded_origins_segments_are_the_same_stream_to_the_tick(broadcast: Broadcast) -> None:
    report = read_ts(broadcast.hls.concatenate(), fps=RATE, allowances=WATCHED, segment_bytes=broadcast.hls.sizes())
    assert report.faults() == []


def test_every_picture_of_the_embedded_origin_stands_in_its_place(broadcast: Broadcast, tmp_path: Path) -> None:
    joined = tmp_path / "hls.ts"
    joined.write_bytes(broadcast.hls.concatenate())
    assert content_faults(joined, broadcast.timeline, must_show=broadcast.listing.numbers) == []


@needs_nginx
def test_the_recorded_rtmp_stream_is_one_stream_to_the_millisecond(broadcast: Broadcast) -> None:
    assert len(broadcast.flv) == 1, "published more than once"
    assert read_flv(broadcast.flv[0]).faults(RATE) == []


@needs_nginx
def test_every_picture_of_the_recorded_rtmp_stream_stands_in_its_place(broadcast: Broadcast) -> None:
    assert content_faults(broadcast.flv[0], broadcast.timeline, must_show=broadcast.listing.numbers) == []


@needs_srt
def test_the_stream_that_an_srt_peer_keeps_is_one_stream_to_the_tick(broadcast: Broadcast) -> None:
    # What FFmpeg's muxer writes: quiet sound shares a PES, and the tables are its own.
    muxed = replace(FFMPEG_FILE, max_pcr_step_ms=40.0, many_frames_per_pes=True, open_end=True)
    assert read_ts(whole_gops(broadcast.srt.read_bytes()), fps=RATE, allowances=muxed).faults() == []


@needs_srt
def test_every_picture_that_an_srt_peer_keeps_stands_in_its_place(broadcast: Broadcast, tmp_path: Path) -> None:
    whole = tmp_path / "srt.ts"
    whole.write_bytes(whole_gops(broadcast.srt.read_bytes()))
    assert content_faults(whole, broadcast.timeline, must_show=broadcast.listing.numbers) == []


@needs_nginx
def test_nginxs_manifest_has_no_seam(broadcast: Broadcast) -> None:
    assert broadcast.nginx is not None
    assert nginx_faults(broadcast.nginx) == []


@needs_nginx
def test_nginxs_segments_are_one_stream_within_what_its_muxer_may_do(broadcast: Broadcast) -> None:
    assert broadcast.nginx is not None
    report = read_ts(broadcast.nginx.concatenate(), fps=RATE, allowances=NGINX_HLS, segment_bytes=broadcast.nginx.sizes())
    assert report.faults() == []


@needs_nginx
def test_every_picture_of_nginxs_segments_stands_in_its_place(broadcast: Broadcast, tmp_path: Path) -> None:
    assert broadcast.nginx is not None
    joined = tmp_path / "nginx.ts"
    joined.write_bytes(broadcast.nginx.concatenate())
    assert content_faults(joined, broadcast.timeline, must_show=broadcast.listing.numbers) == []


def test_nothing_is_left_after_the_daemon(broadcast: Broadcast) -> None:
    assert broadcast.after == []
