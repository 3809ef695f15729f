"""DASH from a spliced stream: what is listed is exactly what the transport stream says, over joins, wraps and restarts."""

import itertools
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from judge.decode import decode_faults, probe
from judge.mp4 import Sample, samples, timescale
from prepared import TINY, PreparedShelf, blocks_of, feed_of, shelf_of, stream_format

from channeld.base.clock import FakeClock
from channeld.media.profile import Profile
from channeld.outputs.dash import DashPacking
from channeld.outputs.dash_manifest import parse, render, with_token
from channeld.outputs.hls import Packager
from channeld.outputs.hls_store import SegmentStore
from channeld.ts.nal import VideoCodec
from channeld.ts.splicer import Splicer, SplicerState

SECOND = 90_000
WALL_S = 1_700_000_000.0
ORIGIN = 2**33 - 3 * SECOND
"""The stream's clock of 33 bits wraps after three seconds."""
CLIPS = ((60, 0), (85, 1000), (100, 2000))
NAMESPACE = {"": "urn:mpeg:dash:schema:mpd:2011"}


@dataclass(frozen=True, slots=True)
class Piece:
    data: bytes
    dts: int
    duration: int
    is_random_access: bool
    monotonic_ns: int = 0


@pytest.fixture(scope="session")
def spliced(tmp_path_factory: pytest.TempPathFactory) -> list[Piece]:
    """Three unlike clips in one stream, in slices of 0.2 s."""
    return pieces(shelf_of(tmp_path_factory.getbasetemp()), TINY)


def pieces(shelf: PreparedShelf, profile: Profile) -> list[Piece]:
    splicer, made = Splicer(stream_format(profile), SplicerState(origin=ORIGIN)), []
    for frames, base in CLIPS:
        feed = feed_of(blocks_of(shelf.numbered(frames, base=base, profile=profile)))
        splicer.join(feed)
        while (piece := splicer.next_slice(feed, 5)) is not None:
            made.append(Piece(piece.packets.tobytes(), int(piece.dts), int(piece.duration), piece.is_random_access))
    return made


class Origin:
    """One channel's folder with a packager that can be started again on what it left."""

    def __init__(self, folder: Path, *, window: int = 20) -> None:
        self.folder, self.clock, self._window = folder, FakeClock(), window
        self.start()

    def start(self, timeline: str = "t1", *, wall_s: float = WALL_S) -> None:
        self.store = SegmentStore(self.folder, None, self.clock)
        self.packager = Packager("one", self.store, segment_seconds=2, window=self._window, clock=self.clock, packing=DashPacking())
        self.attach(timeline, wall_s=wall_s)

    def attach(self, timeline: str, *, wall_s: float = WALL_S) -> None:
        self.packager.attach({"timeline": timeline, "anchor_wall_s": wall_s, "anchor_ticks": ORIGIN})

    def air(self, given: list[Piece]) -> None:
        for piece in given:
            self.clock.advance(piece.duration / SECOND)
            self.packager.push(piece)
            while self.packager.flush() is not None:
                pass

    @property
    def mpd(self) -> "Mpd":
        return Mpd(self.folder / "one")


@dataclass(frozen=True, slots=True)
class Listed:
    """One S element, spelled out."""

    begins: int
    lasts: int
    path: Path


class Mpd:
    """The manifest as a strict reader has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = ET.fromstring((folder / "manifest.mpd").read_bytes())
        self.periods = self.root.findall("Period", NAMESPACE)

    def template(self, kind: str, period: int = -1) -> ET.Element:
        (found,) = (each for each in self.periods[period].findall("AdaptationSet", NAMESPACE) if each.get("contentType") == kind)
        template = found.find("SegmentTemplate", NAMESPACE)
        assert template is not None
        return template

    def listed(self, kind: str, period: int = -1) -> list[Listed]:
        template, at, found = self.template(kind, period), 0, []
        for element in template.findall("SegmentTimeline/S", NAMESPACE):
            at = int(element.get("t", at))
            for _ in range(int(element.get("r", 0)) + 1):
                name = template.attrib["media"].replace("$Time$", str(at))
                found.append(Listed(at, int(element.attrib["d"]), self._folder / name))
                at += int(element.attrib["d"])
        return found

    def header(self, kind: str, period: int = -1) -> bytes:
        return (self._folder / self.template(kind, period).attrib["initialization"]).read_bytes()

    def samples(self, kind: str, period: int = -1) -> list[Sample]:
        return [sample for listed in self.listed(kind, period) for sample in samples(listed.path.read_bytes())]

    def joined(self, kind: str, period: int = -1) -> bytes:
        return self.header(kind, period) + b"".join(listed.path.read_bytes() for listed in self.listed(kind, period))


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


def packets_of(path: Path, stream: str) -> list[dict[str, int]]:
    """What ffprobe reads: pts and dts of every packet of a stream."""
    line = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "packet=pts,dts,size", "-of", "json", str(path)]
    return list(json.loads(subprocess.run(line, check=True, capture_output=True, timeout=60).stdout)["packets"])


def test_pictures_have_the_times_of_the_stream_over_joins_and_the_wrap(origin: Origin, spliced: list[Piece]) -> None:
    """In units of one frame: decoding without a hole, each shown one frame later than a perfect decoder would have it."""
    origin.air(spliced)
    assert len(origin.mpd.periods) == 1
    found = origin.mpd.samples("video")
    assert [sample.dts for sample in found] == [ORIGIN + 3600 * number for number in range(len(found))]
    assert sorted(sample.pts for sample in found) == [ORIGIN + 3600 * (number + 1) for number in range(len(found))]
    assert {sample.duration for sample in found} == {3600}
    assert found[-1].dts > 2**33


def test_sound_is_one_grid_of_1024_samples(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    found = origin.mpd.samples("audio")
    assert {after.dts - before.dts for before, after in itertools.pairwise(found)} == {1024}
    assert (timescale(origin.mpd.header("audio")), timescale(origin.mpd.header("video"))) == (48_000, SECOND)
    # Beside the first picture: half a frame of sound at the most.
    assert abs(found[0].pts * 90 / 48 - origin.mpd.samples("video")[0].pts) <= 960


def test_what_is_listed_is_what_the_files_hold(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    for kind in ("video", "audio"):
        end = None
        for listed in origin.mpd.listed(kind):
            inside = samples(listed.path.read_bytes())
            assert listed.begins == min(sample.pts for sample in inside)
            assert listed.lasts == sum(sample.duration for sample in inside)
            assert inside[0].is_sync and end in (None, listed.begins)
            end = listed.begins + listed.lasts


def test_ffprobe_finds_the_packets_of_the_transport_stream(origin: Origin, spliced: list[Piece], tmp_path: Path) -> None:
    origin.air(spliced)
    origin.start()  # a packager that begins anew has nothing to add
    kept = [piece for piece in spliced if piece.dts < origin.mpd.listed("video")[-1].begins]
    (tmp_path / "one.ts").write_bytes(b"".join(piece.data for piece in kept))
    for kind, stream, scale in (("video", "v", SECOND), ("audio", "a", 48_000)):
        (tmp_path / kind).write_bytes(origin.mpd.joined(kind))
        theirs, ours = packets_of(tmp_path / "one.ts", stream), packets_of(tmp_path / kind, "0")
        assert len(theirs) > 100
        # ffprobe has the stream's clock from its wrap on: only differences count.
        for name in ("pts", "dts"):
            expected = [(packet[name] - theirs[0][name]) * scale // SECOND for packet in theirs]
            assert [packet[name] - ours[0][name] for packet in ours[: len(theirs)]] == expected


def test_each_track_decodes_without_a_word(origin: Origin, spliced: list[Piece], tmp_path: Path, ffmpeg: str) -> None:
    origin.air(spliced)
    for kind in ("video", "audio"):
        (tmp_path / kind).write_bytes(origin.mpd.joined(kind))
        line = [ffmpeg, "-nostdin", "-v", "warning", "-i", str(tmp_path / kind), "-f", "null", "-"]
        assert subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stderr == ""


def test_pictures_of_h265_too(origin: Origin, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> None:
    origin.air(pieces(shelf_of(tmp_path_factory.getbasetemp()), replace(TINY, name="h265", codec=VideoCodec.H265)))
    (made,) = origin.mpd.root.findall("Period/AdaptationSet[@contentType='video']/Representation", NAMESPACE)
    # Main profile, compatible with Main and Main 10, main tier, level 3; progressive, with frames only.
    assert (made.get("codecs"), made.get("width"), made.get("height")) == ("hvc1.1.6.L90.90", "160", "90")
    found = origin.mpd.samples("video")
    assert [sample.dts for sample in found] == [ORIGIN + 3600 * number for number in range(len(found))]
    kinds = [{nal[0] >> 1 for nal in lengths_taken_off(sample.data)} for sample in found]
    assert set().union(*kinds) <= {0, 1, 19, 20, 39}
    assert [bool({19, 20} & each) for each in kinds] == [sample.is_sync for sample in found]
    (tmp_path / "video").write_bytes(origin.mpd.joined("video"))
    assert decode_faults(tmp_path / "video", frames=len(found)) == []
    (stream,) = probe(tmp_path / "video", "stream=codec_tag_string,width,height,level,pix_fmt")["streams"]
    assert stream == {"codec_tag_string": "hvc1", "width": 160, "height": 90, "pix_fmt": "yuv420p", "level": 90}


def lengths_taken_off(sample: bytes) -> list[bytes]:
    found = []
    while sample:
        length = int.from_bytes(sample[:4], "big")
        found.append(sample[4 : 4 + length])
        sample = sample[4 + length :]
    return found


def test_samples_hold_no_parameter_sets_and_no_start_codes(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    for sample in origin.mpd.samples("video"):
        at, kinds = 0, []
        while at < len(sample.data):
            kinds.append(sample.data[at + 4] & 0x1F)
            at += 4 + int.from_bytes(sample.data[at : at + 4], "big")
        assert at == len(sample.data)
        assert set(kinds) <= {1, 5, 6} and (5 in kinds) == sample.is_sync


def test_a_restart_goes_on_in_the_same_period(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced[:25])
    before = origin.mpd.listed("video")
    origin.start()
    origin.air(spliced)
    assert len(origin.mpd.periods) == 1
    after = origin.mpd.listed("video")
    assert after[: len(before)] == before
    assert all(later.begins == earlier.begins + earlier.lasts for earlier, later in itertools.pairwise(after))


def test_another_timeline_begins_a_period_with_headers_of_its_own(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    origin.attach("t2", wall_s=WALL_S + 60)
    origin.air(spliced)
    first, second = origin.mpd.periods
    assert [each.get("start") for each in (first, second)] == ["PT1700000000.000S", "PT1700000060.000S"]
    assert int(second.attrib["id"]) > int(first.attrib["id"])
    names = {origin.mpd.template(kind, number).attrib["initialization"] for kind in ("video", "audio") for number in (0, 1)}
    assert len(names) == 4
    assert {listed.path for listed in origin.mpd.listed("video", 0)}.isdisjoint(listed.path for listed in origin.mpd.listed("video", 1))
    assert origin.mpd.samples("video", 1)[0].dts == ORIGIN


def test_a_timeline_whose_clock_went_back_begins_where_the_last_one_ended(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    begin, listed = int(origin.mpd.template("video").attrib["presentationTimeOffset"]), origin.mpd.listed("video")
    origin.attach("t2", wall_s=WALL_S - 1000)
    origin.air(spliced)
    ended = max(each.begins + each.lasts for each in origin.mpd.listed("video", 0))
    assert ended >= listed[-1].begins + listed[-1].lasts
    assert origin.mpd.periods[1].get("start") == f"PT{WALL_S + (ended - begin) / SECOND:.3f}S"


def test_a_hole_begins_a_period(origin: Origin, spliced: list[Piece]) -> None:
    """The next segment begins at the next random access point; what viewers see of the hole is its length."""
    origin.air([*spliced[:15], *spliced[20:]])
    assert len(origin.mpd.periods) == 2
    begins = int(origin.mpd.template("video", 1).attrib["presentationTimeOffset"]) - 3600
    assert origin.mpd.periods[1].get("start") == f"PT{WALL_S + (begins - ORIGIN) / SECOND:.3f}S"


def test_headers_stay_as_long_as_a_segment_needs_them_and_then_go(tmp_path: Path, spliced: list[Piece]) -> None:
    origin = Origin(tmp_path, window=3)
    origin.air(spliced)
    old = origin.mpd.template("video").attrib["initialization"]
    origin.attach("t2", wall_s=WALL_S + 60)
    origin.air(spliced[:25])
    assert len(origin.mpd.periods) == 2 and (tmp_path / "one" / old).exists()
    origin.air(spliced[25:])
    assert len(origin.mpd.periods) == 1
    origin.clock.advance(60)
    origin.store.purge()
    assert not (tmp_path / "one" / old).exists()
    needed = {
        listed.path.name
        for number in range(len(origin.mpd.periods))
        for kind in ("video", "audio")
        for listed in origin.mpd.listed(kind, number)
    }
    assert needed <= {path.name for path in (tmp_path / "one").iterdir()}


def test_a_segment_that_cannot_be_read_is_a_hole_and_the_rest_airs(origin: Origin, spliced: list[Piece]) -> None:
    broken = [Piece(b"G" + bytes(187), piece.dts, piece.duration, piece.is_random_access) for piece in spliced[10:20]]
    origin.air([*spliced[:10], *broken, *spliced[20:]])
    assert len(origin.mpd.periods) == 2


def test_a_torn_file_is_not_listed_again(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced[:40])
    before = origin.mpd.listed("video")
    before[0].path.write_bytes(before[0].path.read_bytes()[:-1])
    origin.start()
    origin.air(spliced)
    assert origin.mpd.listed("video")[: len(before) - 1] == before[1:]


def test_half_a_segment_is_never_left_behind(origin: Origin, spliced: list[Piece]) -> None:
    """The sound cannot be written: nothing of the pictures stays either, and both come when it can."""
    origin.air(spliced[:25])
    known = {path.name for path in (origin.folder / "one").iterdir()}
    begins = origin.mpd.listed("audio")[-1]
    blocked = origin.folder / "one" / f"audio-0000000000-{begins.begins + begins.lasts}.m4s.tmp"
    blocked.mkdir()
    with pytest.raises(OSError):
        origin.air(spliced[25:40])
    assert {path.name for path in (origin.folder / "one").iterdir()} == known | {blocked.name}
    blocked.rmdir()
    origin.air(spliced[40:])
    assert len(origin.mpd.periods) == 1


def test_hls_and_dash_share_a_folder_and_neither_touches_the_other(origin: Origin, spliced: list[Piece]) -> None:
    hls = Packager("one", origin.store, segment_seconds=2, window=3, clock=origin.clock)
    hls.attach({"timeline": "t1", "anchor_wall_s": WALL_S, "anchor_ticks": ORIGIN})
    for piece in spliced:
        hls.push(piece)
        while hls.flush() is not None:
            pass
    origin.air(spliced)
    origin.store.clean_channel("one", DashPacking.names, keep_s=0)
    origin.store.purge()
    assert {path.suffix for path in (origin.folder / "one").iterdir()} == {".ts", ".m3u8"}


def test_the_manifest_is_what_players_are_owed(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    root = origin.mpd.root
    assert root.tag == "{urn:mpeg:dash:schema:mpd:2011}MPD"
    assert root.get("type") == "dynamic" and root.get("availabilityStartTime") == "1970-01-01T00:00:00Z"
    owed = ("minimumUpdatePeriod", "timeShiftBufferDepth", "suggestedPresentationDelay", "minBufferTime", "maxSegmentDuration")
    assert all(re.fullmatch(r"PT\d+\.\d{3}S", root.attrib[name]) for name in owed)
    assert [child.tag.partition("}")[2] for child in root] == ["Period", "UTCTiming"]
    for kind, codec in (("video", "avc1.4d400b"), ("audio", "mp4a.40.2")):
        (chosen,) = (each for each in origin.mpd.periods[0] if each.get("contentType") == kind)
        representation = chosen.find("Representation", NAMESPACE)
        assert representation is not None and chosen.get("mimeType") == f"{kind}/mp4"
        assert representation.attrib["codecs"][:8] == codec[:8]
        longest = max(
            8 * listed.path.stat().st_size * int(origin.mpd.template(kind).attrib["timescale"]) // listed.lasts
            for listed in origin.mpd.listed(kind)
        )
        assert int(representation.attrib["bandwidth"]) == longest


def test_a_manifest_is_read_back_and_any_change_of_it_is_refused(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    text = (origin.folder / "one" / "manifest.mpd").read_bytes()
    assert render(parse(text)) == text
    for at in range(0, len(text), 37):
        with pytest.raises(ValueError):
            parse(text[:at] + b"?" + text[at + 1 :])
        with pytest.raises(ValueError):
            parse(text[:at])


def test_a_token_is_carried_by_every_address_and_by_nothing_else(origin: Origin, spliced: list[Piece]) -> None:
    origin.air(spliced)
    text = (origin.folder / "one" / "manifest.mpd").read_bytes()
    shown = with_token(text, 'a$b"<&')
    assert shown.count(b"?token=a%24b%22%3C%26") == 5
    assert shown.replace(b"?token=a%24b%22%3C%26", b"") == text
    ET.fromstring(shown)
