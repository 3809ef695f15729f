"""Prepared clips of H.265: real clips, joined in every order, cut, and decoded; with one set of parameter sets in all of them."""

import itertools
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from joins import Member, decoded_faults, judge_window, member, windows
from judge.decode import decode_faults
from judge.ts import read_ts
from prepared import TINY, PreparedShelf, air, blocks_of, feed_of, send, stream_format

from channeld.base.errors import StreamError
from channeld.base.units import FrameRate
from channeld.media.profile import Profile
from channeld.ts.conform import Conformer, StreamRules
from channeld.ts.nal import VideoCodec
from channeld.ts.splicer import Splicer, SplicerState

H265 = replace(TINY, name="h265", codec=VideoCodec.H265)
WIDE = Profile("wide", 320, 180, FrameRate(30000, 1001), 400_000, 96_000, gop_seconds=0.5, preset="ultrafast", codec=VideoCodec.H265)
REAL = ("sintel_trailer-8s.mp4", "vtest-5s.avi", "bbb.flv")
AAC = ("-f", "lavfi", "-t", "3", "-i", "sine=r=48000", "-c:a", "aac", "-ac", "2")
MUXED = ("-f", "mpegts", "-mpegts_start_pid", "0x100", "-pes_payload_size", "0", "-muxdelay", "0", "-muxpreload", "0", "-pcr_period", "1")


@pytest.fixture(scope="module")
def numbered(prepared: PreparedShelf) -> list[Member]:
    """Two frames, a number that fills no GOP, and whole GOPs."""
    shapes = ((2, 0), (33, 100), (50, 200))
    return [member(prepared.numbered(frames, base=base, profile=H265), f"{frames} frames", base) for frames, base in shapes]


def test_real_clips_of_every_kind_have_the_same_parameter_sets_and_join(prepared: PreparedShelf, media_dir: Path, tmp_path: Path) -> None:
    members = [member(prepared.file(media_dir / name, profile=WIDE, out_s=2.0), name) for name in REAL] + [
        member(prepared.filler(WIDE), "filler")
    ]
    splicer = Splicer(stream_format(WIDE))
    (window,) = windows([*members, members[1], members[0]], splicer, joins=5)
    report = read_ts(window.stream, fps=Fraction(30000, 1001))
    assert judge_window(window, report, first_dts=90_000).faults == []
    assert report.video is not None and report.video.stream_type == 0x24 and report.video.video is not None
    assert (len(report.video.video.sps), len(report.video.video.pps)) == (2, 1)
    assert decoded_faults(window, tmp_path / "aired.ts") == []


def test_every_picture_airs_once_and_in_order_over_joins_in_every_order_and_the_wrap(numbered: list[Member], tmp_path: Path) -> None:
    order = [entry for some in itertools.permutations(numbered) for entry in some]
    origin = 2**33 - 180_000
    (window,) = windows(order, Splicer(stream_format(H265), SplicerState(origin=origin)), joins=len(order) - 1)
    report = read_ts(window.stream, fps=Fraction(25))
    verdict = judge_window(window, report, first_dts=origin)
    assert verdict.faults == [] and all(abs(skew) <= 990 for skew in verdict.skews)
    (window,) = windows(order, Splicer(stream_format(H265)), joins=len(order) - 1)
    assert decoded_faults(window, tmp_path / "aired.ts") == []


def test_a_clip_that_is_cut_short_gives_way_without_a_fault(prepared: PreparedShelf, tmp_path: Path) -> None:
    blocks, splicer, parts = blocks_of(prepared.numbered(50, base=200, profile=H265)), Splicer(stream_format(H265)), []
    for frames in range(1, 30):
        feed = feed_of(blocks)
        splicer.join(feed)
        parts.append(send(splicer, feed, frames))
        while not feed.may_cut:
            parts.append(send(splicer, feed, 1))
    parts.append(air(splicer, feed_of(blocks)))
    stream = b"".join(parts)
    assert read_ts(stream, fps=Fraction(25)).faults() == []
    (tmp_path / "cut.ts").write_bytes(stream)
    assert decode_faults(tmp_path / "cut.ts") == []


def coded(params: str, *options: str) -> bytes:
    """Two seconds of x265 in a transport stream."""
    source = ("ffmpeg", "-v", "error", "-f", "lavfi", "-t", "2", "-i", "testsrc2=s=160x90:r=25", *AAC)
    picture = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:keyint=25:min-keyint=25:scenecut=0:{params}")
    return subprocess.run([*source, *picture, *options, *MUXED, "pipe:1"], capture_output=True, check=True, timeout=60).stdout


RULES = StreamRules(FrameRate(25, 1), 25, 1, codec=VideoCodec.H265)
HOUSE = "open-gop=0:b-pyramid=0:bframes=3"


@pytest.mark.parametrize(
    ("params", "options", "reason"),
    [
        ("open-gop=1:b-pyramid=0:bframes=3", (), "its GOPs are open"),
        ("open-gop=0:b-pyramid=1:bframes=4:b-adapt=0", (), "reordered further"),
        ("open-gop=0:bframes=0", (), "without B-frames there is one timestamp"),
        (HOUSE, ("-bsf:v", "filter_units=remove_types=32"), "without exactly one VPS, one SPS and one PPS"),
    ],
)
def test_h265_of_another_making_is_refused(params: str, options: tuple[str, ...], reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        conformer = Conformer(RULES)
        conformer.feed(coded(params, *options))
        conformer.finish()


def test_what_another_encoder_says_of_itself_hides_no_picture() -> None:
    """x265 writes much about its options between parameter sets and picture."""
    conformer = Conformer(RULES)
    conformer.feed(coded(f"{HOUSE}:info=1"))
    conformer.finish()
    assert conformer.parameter_sets is not None and conformer.parameter_sets.vps[0] >> 1 == 32
