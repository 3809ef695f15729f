"""The judges of a soak see what is wrong, and nothing where nothing is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channeld.base.clock import FakeClock
from channeld.outputs.hls import Packager
from channeld.outputs.hls_store import SegmentStore
from channeld.soak.ledger import Ledger
from channeld.soak.manifest_judge import BusMemory, ManifestJudge
from channeld.soak.stream_judge import Piece, StreamFacts, StreamJudge

Told = list[tuple[str, str]]


def judged(facts: StreamFacts, pieces: list[Piece]) -> set[str]:
    """Kinds of complaints about a stream."""
    told: Told = []
    judge = StreamJudge(facts, lambda kind, text: told.append((kind, text)))
    for piece in pieces:
        judge.feed(piece)
    judge.settle()
    return {kind for kind, _ in told}


def test_a_sound_stream_is_complained_of_by_nobody(facts: StreamFacts, stream: list[Piece]):
    assert judged(facts, stream) == set()


def rows_of(piece: Piece) -> Any:
    return np.frombuffer(piece.data, dtype=np.uint8).reshape(-1, 188).copy()


def changed(piece: Piece, where: Callable[[Any], Any], column: int, change: Callable[[int], int]) -> Piece:
    """The slice with one byte changed in the first packet for which `where` holds."""
    rows = rows_of(piece)
    row = int(np.flatnonzero(where(rows))[0])
    rows[row, column] = change(int(rows[row, column])) & 0xFF
    return replace(piece, data=rows.tobytes())


def is_video(rows: Any) -> Any:
    return ((rows[:, 1] & 0x1F) == 1) & (rows[:, 2] == 0)


def is_audio(rows: Any) -> Any:
    return ((rows[:, 1] & 0x1F) == 1) & (rows[:, 2] == 1)


def starts(rows: Any) -> Any:
    return rows[:, 1] & 0x40 != 0


def has_pcr(rows: Any) -> Any:
    return (rows[:, 3] & 0x20 != 0) & (rows[:, 4] > 0) & (rows[:, 5] & 0x10 != 0)


def moved_sound(piece: Piece) -> Piece:
    rows = rows_of(piece)
    row = rows[int(np.flatnonzero(is_audio(rows) & starts(rows))[0])]
    row[4 + 1 + row[4] + 12] ^= 2  # behind the adaptation field, in the PES header: a bit of the PTS
    return replace(piece, data=rows.tobytes())


def without(piece: Piece, gone: Callable[[Any], Any]) -> Piece:
    rows = rows_of(piece)
    return replace(piece, data=rows[~gone(rows)].tobytes())


FAULTS: dict[str, tuple[str, Callable[[Piece], Piece]]] = {
    "a counter that jumps": ("continuity", lambda piece: changed(piece, is_video, 3, lambda byte: byte ^ 1)),
    "a lost audio packet": ("continuity", lambda piece: without(piece, lambda rows: is_audio(rows) & starts(rows))),
    "a foreign PID": ("packets", lambda piece: changed(piece, is_audio, 2, lambda byte: byte + 7)),
    "a packet without its sync byte": ("packets", lambda piece: changed(piece, is_audio, 0, lambda _: 0)),
    "another PAT": ("tables", lambda piece: changed(piece, starts, 10, lambda byte: byte + 1)),
    "a slice without tables": ("tables", lambda piece: replace(piece, data=piece.data[2 * 188 :])),
    "a PCR that runs away": ("pcr", lambda piece: changed(piece, has_pcr, 8, lambda byte: byte + 40)),
    "an audio PTS off its grid": ("audio", moved_sound),
    "a wrong DTS on the bus": ("slices", lambda piece: replace(piece, dts=piece.dts + 1)),
    "half a packet": ("packets", lambda piece: replace(piece, data=piece.data[:-1])),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_stream_is_seen(facts: StreamFacts, stream: list[Piece], fault: str):
    kind, spoil = FAULTS[fault]
    at = next(index for index in range(3, len(stream)) if not stream[index].is_random_access)
    assert kind in judged(facts, [*stream[:at], spoil(stream[at]), *stream[at + 1 :]])


def test_a_lost_or_repeated_slice_is_seen(facts: StreamFacts, stream: list[Piece]):
    assert {"continuity", "dts", "pts"} <= judged(facts, [*stream[:4], *stream[5:]])
    assert {"continuity", "dts"} <= judged(facts, [*stream[:4], stream[3], *stream[4:]])


def test_a_random_access_point_that_is_none_is_seen(facts: StreamFacts, stream: list[Piece]):
    at = next(index for index, piece in enumerate(stream) if not piece.is_random_access)
    assert judged(facts, [*stream[:at], replace(stream[at], is_random_access=True), *stream[at + 1 :]]) == {"slices"}


# -- as-run -----------------------------------------------------------------------------------------------------

CLIPS = {None: [900, 901, 902], "a": [1, 2, 3, 4], "b": [5, 6]}


def told_of(story: list[tuple[str | None, int, str]], pictures: list[int], on_air: int = 0) -> set[str]:
    """What a ledger complains of, given airings (name, frames, reason) and the pictures on the wire."""
    told: Told = []
    ledger = Ledger(lambda dts: dts, lambda airing: CLIPS[airing], lambda kind, text: told.append((kind, text)))
    dts = 0
    for serial, (airing, frames, reason) in enumerate(story, 1):
        ledger.started({"serial": serial, "dts": dts, "airing": airing})
        dts += frames
        if serial < len(story):
            said = frames % 3 if airing is None else frames
            ledger.ended({"serial": serial, "frames": said, "reason": reason})
    ledger.see(pictures)
    ledger.close(on_air, len(pictures))
    return {kind for kind, _ in told}


def test_a_ledger_that_adds_up_is_complained_of_by_nobody():
    story = [("a", 4, "end"), (None, 7, "cut"), ("b", 1, "cut"), ("a", 2, "")]
    assert told_of(story, [1, 2, 3, 4, 900, 901, 902, 900, 901, 902, 900, 5, 1, 2], on_air=2) == set()


@pytest.mark.parametrize(
    ("story", "pictures", "kind"),
    [
        ([("a", 4, "end"), ("b", 2, "")], [1, 2, 4, 3, 5, 6], "pictures"),
        ([("a", 4, "end"), ("b", 2, "")], [1, 2, 3, 4, 1, 2], "pictures"),
        ([("a", 3, "end"), ("b", 2, "")], [1, 2, 3, 5, 6], "as-run"),
        ([("a", 5, "cut"), ("b", 2, "")], [1, 2, 3, 4, 4, 5, 6], "as-run"),
        ([("a", 4, "end"), ("b", 2, "")], [1, 2, 3, 4, 5], "as-run"),
    ],
)
def test_a_picture_in_the_wrong_place_and_a_wrong_sum_are_seen(story: list[Any], pictures: list[int], kind: str):
    assert kind in told_of(story, pictures, on_air=2)


# -- what is published ------------------------------------------------------------------------------------------


def publish(folder: Path, stream: list[Piece], meddle: Callable[[Path], None] = lambda _: None) -> set[str]:
    """Package a stream of two and a half seconds in segments of one, and have each publication judged."""
    told: Told = []
    bus = BusMemory()
    judge = ManifestJudge(folder / "one", 1.0, bus, lambda kind, text: told.append((kind, text)))
    packager = Packager("one", SegmentStore(folder, None, FakeClock()), segment_seconds=1, window=3, clock=FakeClock())
    packager.attach({"timeline": "t", "anchor_wall_s": 1_700_000_000.0, "anchor_ticks": stream[0].dts})
    for piece in stream:
        bus.keep(piece)
        packager.push(piece)
        while packager.flush() is not None:
            meddle(folder / "one")
            judge.look()
    return {kind for kind, _ in told}


def edit(old: str, new: str) -> Callable[[Path], None]:
    """Change the manifest's text."""

    def meddle(folder: Path) -> None:
        path = folder / "index.m3u8"
        path.write_text(path.read_text().replace(old, new))

    return meddle


def garble(folder: Path) -> None:
    newest = max(folder.glob("segment-*.ts"))
    newest.write_bytes(newest.read_bytes()[:-188])


def remove(folder: Path) -> None:
    max(folder.glob("segment-*.ts")).unlink()


def test_a_sound_manifest_is_complained_of_by_nobody(tmp_path: Path, stream: list[Piece]):
    assert publish(tmp_path, stream) == set()


@pytest.mark.parametrize(
    ("meddle", "kind"),
    [
        (edit("TARGETDURATION:1", "TARGETDURATION:9"), "manifest"),
        (edit("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1"), "manifest"),
        (edit("segment-0000000001", "segment-0000000007"), "manifest"),
        (edit("#EXTINF:1.0", "#EXTINF:0.7"), "segments"),
        (edit("#EXTM3U", "#EXTM"), "manifest"),
        (garble, "segments"),
        (remove, "segments"),
    ],
)
def test_what_is_wrong_with_a_manifest_or_segment_is_seen(tmp_path: Path, stream: list[Piece], meddle: Callable[[Path], None], kind: str):
    assert kind in publish(tmp_path, stream, meddle)


def test_a_discontinuity_that_is_none_is_seen(tmp_path: Path, stream: list[Piece]):
    def lie(folder: Path) -> None:
        path = folder / "index.m3u8"
        head, *segments = path.read_text().split("#EXT-X-PROGRAM-DATE-TIME")
        path.write_text(head + "".join(f"#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME{text}" for text in segments))

    assert "manifest" in publish(tmp_path, stream, lie)
