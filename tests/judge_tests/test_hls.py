"""The judge of manifests knows RFC 8216; the recorder sees what a viewer sees."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from judge.hls import history_faults, manifest_faults, parse_manifest
from judge.hls_recorder import HlsRecorder
from judge.ts import FFMPEG_FILE, read_ts

from .streams import remux

GOOD = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:{first}
#EXT-X-DISCONTINUITY-SEQUENCE:{joints}
#EXT-X-INDEPENDENT-SEGMENTS
"""


def live(first: int, count: int = 4, *, joint: int | None = None, late_ms: int = 0) -> str:
    """A window of a live manifest: 4 s segments from 12:00:00 on; `joint`: the segment after a discontinuity."""
    lines = [GOOD.format(first=first, joints=int(joint is not None and first > joint)).rstrip()]
    for number in range(first, first + count):
        lines += ["#EXT-X-DISCONTINUITY"] if number == joint else []
        clock = f"2026-11-21T12:{number * 4 // 60:02}:{number * 4 % 60:02}.{late_ms if number == first else 0:03}Z"
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{clock}", "#EXTINF:4.000000,", f"seg{number}.ts"]
    return "\n".join(lines) + "\n"


def faults(*texts: str) -> list[str]:
    return history_faults([parse_manifest(text) for text in texts])


def test_a_window_that_slides_is_clean() -> None:
    assert faults(live(0, 3), live(0), live(1), live(1), live(3)) == []
    assert faults(live(0, joint=2), live(1, joint=2), live(2, joint=2), live(3, joint=2)) == []


BROKEN = {
    "does not begin with #EXTM3U": live(5).removeprefix("#EXTM3U\n"),
    "last line is not terminated": live(5)[:-1],
    "exactly one EXT-X-TARGETDURATION": live(5).replace("#EXT-X-TARGETDURATION:4\n", ""),
    "#EXT-X-MEDIA-SEQUENCE is not a number": live(5).replace("SEQUENCE:5", "SEQUENCE:five"),
    "lasts 4.5 s, target is 4 s": live(5).replace("4.000000", "4.5", 1),
    "has no duration": live(5).replace("4.000000", "0.0", 1),
    "fractional duration below version 3": live(5).replace("VERSION:6", "VERSION:2").replace("4.000000", "3.9", 1),
    "listed twice": live(5).replace("seg6", "seg5"),
    "less than three target durations": live(5, 2),
    "EXTINF is malformed": live(5).replace("4.000000", "four", 1),
    "segment without EXTINF": live(5).replace("#EXTINF:4.000000,\n", "", 1),
    "EXTINF without a segment": live(5) + "#EXTINF:4.0,\n",
    "PROGRAM-DATE-TIME is malformed": live(5).replace("2026-11-21T12:00:24", "yesterday"),
    "has no time zone": live(5).replace("Z\n", "\n"),
    "segment 6: PROGRAM-DATE-TIME is -2.0 ms off": live(5, late_ms=2),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_one_broken_manifest_is_told(sentence: str) -> None:
    found = manifest_faults(parse_manifest(BROKEN[sentence]))
    assert any(sentence in fault for fault in found), found


CHANGES = {
    "target_duration_s changes from 4 to 5": (live(5), live(5).replace("DURATION:4", "DURATION:5")),
    "version changes from 6 to 7": (live(5), live(5).replace("VERSION:6", "VERSION:7")),
    "media sequence goes back from 5 to 0": (live(5), live(0)),
    "segment 6 changes while listed": (live(5), live(5).replace("seg6", "other6")),
    "segments are taken back from the end": (live(5), live(5, 3)),
    "segments 9 to 11 were never listed": (live(5), live(12)),
    "discontinuity sequence is 0 instead of 1": (live(5, joint=5), live(6)),
    "changes after EXT-X-ENDLIST": (live(5) + "#EXT-X-ENDLIST\n", live(6)),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_a_change_that_may_not_be_is_told(sentence: str) -> None:
    found = faults(*CHANGES[sentence])
    assert any(sentence in fault for fault in found), found


def test_a_clock_that_drifts_from_the_durations_is_told_though_every_window_is_fine() -> None:
    windows = [live(first, 3).replace(".000Z", f".{first // 3 * 2:03}Z") for first in range(0, 12, 3)]
    assert any("PROGRAM-DATE-TIME is 2.0 ms off" in fault for fault in faults(*windows))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test judges."""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real HTTP server over a folder."""
    folder = tmp_path / "origin"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.m3u8", folder
    server.shutdown()
    thread.join()
    server.server_close()


def _publish(folder: Path, text: str) -> None:
    unfinished = folder / "index.tmp"
    unfinished.write_text(text)
    unfinished.replace(folder / "index.m3u8")


def test_segments_cut_by_ffmpeg_are_recorded_and_clean(source: Path, origin: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = origin
    options = ("-hls_time", "2", "-hls_list_size", "0", "-hls_flags", "independent_segments", "-hls_segment_options", "pes_payload_size=0")
    remux(source, folder / "index.m3u8", "-f", "hls", *options)
    with HlsRecorder(url, tmp_path / "seen", poll_s=0.05) as viewer:
        assert viewer.wait_for_segments(2, 20)
    assert viewer.faults() == []
    joined = viewer.concatenate()
    assert sum(viewer.sizes()) == len(joined)
    report = read_ts(joined, fps=None, allowances=FFMPEG_FILE, segment_bytes=viewer.sizes())
    # FFmpeg's own HLS muxer goes on counting over segments, but not for the tables it repeats.
    assert [fault for fault in report.faults() if "0x100" in fault or "0x101" in fault or "steps" in fault] == []


def test_the_recorder_tells_of_changed_and_missing_segments_and_of_a_manifest_gone(origin: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = origin
    for number in range(10):
        (folder / f"seg{number}.ts").write_bytes(bytes([number]) * 188)
    viewer = HlsRecorder(url, tmp_path / "seen")
    viewer.folder.mkdir()
    assert viewer.poll_once() is None
    assert viewer.trouble == []
    _publish(folder, live(0))
    viewer.poll_once()
    (folder / "seg4.ts").unlink()
    (folder / "seg1.ts").write_bytes(b"changed")
    _publish(folder, live(1))
    viewer.poll_once()
    shutil.move(folder / "index.m3u8", folder / "away")
    viewer.poll_once()
    assert viewer.trouble == [
        "segment 4 (seg4.ts) answers 404 while listed",
        "segment 1 is not the same when fetched again (200)",
        "manifest answers 404 after it was there",
    ]
    assert viewer.concatenate() == b"".join(bytes([number]) * 188 for number in range(4))


def test_the_recorder_counts_discontinuities_and_lost_segments(origin: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = origin
    for number in range(20):
        (folder / f"seg{number}.ts").write_bytes(b"x")
    viewer = HlsRecorder(url, tmp_path / "seen", recheck=False)
    viewer.folder.mkdir()
    for window in (live(0, joint=2), live(3, joint=2), live(9, joint=2)):
        _publish(folder, window)
        viewer.poll_once()
    assert viewer.faults(discontinuities=1) == [
        "segments 7 to 8 were never listed at a poll",
        "segment 7 was never fetched",
        "segment 8 was never fetched",
    ]
    assert "1 EXT-X-DISCONTINUITY instead of 0" in viewer.faults()


def test_a_recorder_that_saw_nothing_is_not_content(origin: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = origin
    with HlsRecorder(url, tmp_path / "seen", poll_s=0.02):
        pass
    viewer = HlsRecorder(url, tmp_path / "seen2")
    viewer.folder.mkdir()
    viewer.poll_once()
    assert viewer.faults() == ["no segment was ever fetched"]
