"""DASH of a daemon on air: unlike clips over the 33-bit wrap, as a viewer keeps it and as FFmpeg's own player reads it live."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from clips import numbered_clip
from judge.dash_recorder import DashRecorder
from nginx_origin import wait_until
from running import RunningDaemon
from timeline import DECK, Numbered, Timeline, content_faults, timeline_of

pytestmark = pytest.mark.timeout(600)  # the waits below have limits of their own
WRAP_TICKS = 1 << 33
BEFORE_S = 9
CLIPS: dict[str, tuple[Numbered, dict[str, Any]]] = {
    "a.mp4": (Numbered(100_000, 75), {"frames": 75, "base": 100_000}),
    "b.webm": (Numbered(200_000, 58), {"frames": 58, "base": 200_000, "codec": "vp8", "acodec": "opus"}),
    "c.ts": (Numbered(300_000, 66), {"frames": 66, "base": 300_000, "codec": "mpeg2", "audio": None}),
    "d.mp4": (Numbered(400_000, 50), {"frames": 50, "base": 400_000, "codec": "hevc", "channels": 1, "rate": 22_050}),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What was aired, and how two viewers had it."""

    timeline: Timeline
    recorder: DashRecorder
    player: Path
    output: dict[str, Any]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("dash")
    media = folder / "media"
    media.mkdir()
    for name, (_, facts) in CLIPS.items():
        numbered_clip(media / name, size=(640, 360), **facts)
    outputs = [{"dash": {"segment_seconds": 2, "window": 10}}, {"hls": {"segment_seconds": 2}}]
    playlist = folder / "list.txt"
    playlist.write_text("".join(f"{media / name}\n" for name in CLIPS), encoding="utf-8")
    channel = {"playlist": str(playlist), "media_roots": [str(media)], "outputs": outputs, "timeline_start": WRAP_TICKS - BEFORE_S * 90_000}
    daemon = RunningDaemon(folder / "daemon", {"one": channel})
    try:
        yield _watch(folder, daemon, ffmpeg)
    finally:
        daemon.stop()


def _watch(folder: Path, daemon: RunningDaemon, ffmpeg: str) -> Watched:
    daemon.start()
    url, player = f"http://127.0.0.1:{daemon.media_port}/dash/one/manifest.mpd", folder / "player.nut"
    with DashRecorder(url) as recorder:
        wait_until(lambda: len(recorder.fetched["video"]) > 1, what="two segments", timeout_s=90)
        line = [ffmpeg, "-nostdin", "-v", "error", "-i", url, "-t", "12", "-c", "copy", "-f", "nut", str(player)]
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as playing:
            loop = len(CLIPS) + 2
            wait_until(lambda: len([path for path in daemon.aired("one") if path]) > loop, what="the list twice", timeout_s=120)
            # What FFmpeg has read by then is judged, however far it came.
            playing.terminate()
            playing.communicate(timeout=60)
        output = daemon.channel("one")["outputs"][0]
    airings = daemon.airings("one")
    assert daemon.stop() == []
    numbered = {str(folder / "media" / name): marks for name, (marks, _) in CLIPS.items()}
    return Watched(timeline_of(airings, numbered), recorder, player, output)


def test_segments_follow_each_other_to_the_tick_over_joins_and_the_wrap(watched: Watched) -> None:
    assert watched.recorder.faults() == []
    pictures = watched.recorder.fetched["video"]
    assert pictures[0].begins < WRAP_TICKS < pictures[-1].begins


def test_every_picture_stands_in_its_place_once_and_no_join_clicks(watched: Watched, tmp_path: Path, ffmpeg: str) -> None:
    assert content_faults(watched.recorder.join(tmp_path, ffmpeg), watched.timeline) == []


# Two runs of seven gave timestamps that go back by a picture, of a stream whose segments were exact to the tick each time: whether FFmpeg's
# demuxer mistakes a renewed manifest, or what it mistakes it for, is not known yet.
@pytest.mark.long
def test_ffmpeg_reads_the_live_manifest_without_a_fault(watched: Watched) -> None:
    assert content_faults(watched.player, watched.timeline, is_cut=True) == []


def test_the_channel_object_tells_the_output(watched: Watched) -> None:
    assert (watched.output["type"], watched.output["state"], watched.output["last_error"]) == ("dash", "up", None)
    assert watched.output["media_sequence"] >= len(watched.recorder.fetched["video"]) - 1


def test_an_output_that_is_taken_away_is_not_found_any_more_and_is_whole_when_it_is_back(
    daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path
) -> None:
    playlist = tmp_path / "list.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in DECK))

    def outputs(*kinds: str) -> list[dict[str, Any]]:
        return [{kind: {"segment_seconds": 1, "window": 3}} for kind in kinds]

    channel = {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": outputs("hls", "dash")}
    daemon = daemon_of({"one": channel}, cache=prepared)
    daemon.config["media"]["workers"] = 2
    daemon.start()
    address = f"http://127.0.0.1:{daemon.media_port}"
    manifests = [f"{address}/hls/one/index.m3u8", f"{address}/dash/one/manifest.mpd"]

    def statuses() -> list[int]:
        with contextlib.suppress(httpx.ConnectError):  # the worker that answers comes a moment after the air
            return [httpx.get(each, timeout=10).status_code for each in manifests]
        return []

    wait_until(lambda: statuses() == [200, 200], what="both manifests", timeout_s=60)
    for kinds, found in (((), [404, 404]), (("hls",), [200, 404]), (("dash",), [404, 200]), (("dash", "hls"), [200, 200])):
        daemon.config["channels"]["one"]["outputs"] = outputs(*kinds) or [{"ts": {}}]
        daemon.write_config()
        daemon.post("/api/v1/reload").raise_for_status()
        wait_until(lambda found=found: statuses() == found, what=f"{found} with {kinds}", timeout_s=60)
    names = httpx.get(manifests[0]).text.split()
    segments = [name for name in names if not name.startswith("#")]
    assert len(segments) >= 1 and {httpx.get(f"{address}/hls/one/{name}").status_code for name in segments} == {200}
