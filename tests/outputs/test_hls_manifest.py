"""The manifest's text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channeld.outputs.hls_manifest import Manifest, Segment, Timeline, parse, read_timeline, render, target_seconds, with_token

TIMELINE = Timeline("t1", 1_700_000_000.25, 900)
ONE = Manifest(4, 2, (Segment(7, 360_000, 1_700_000_000.48, True), Segment(8, 180_180, 1_700_000_004.48, False)), TIMELINE, 541_080)


def test_a_manifest_reads_as_the_standard_says() -> None:
    assert render(ONE).decode().splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-MEDIA-SEQUENCE:7",
        "#EXT-X-DISCONTINUITY-SEQUENCE:2",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-CHANNELD-TIMELINE:{"timeline":"t1","anchor_wall_s":1700000000.25,"anchor_ticks":900,"end":541080}',
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.480Z",
        "#EXTINF:4.000000,",
        "segment-0000000007.ts",
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.480Z",
        "#EXTINF:2.002000,",
        "segment-0000000008.ts",
    ]


@given(
    first=st.integers(0, 9_999_999_000),
    durations=st.lists(st.integers(1, 90_000 * 60), min_size=1, max_size=20),
    discontinuity_sequence=st.integers(0, 10**9),
    end=st.integers(-(2**62), 2**62),
    wall_ms=st.integers(0, 4_000_000_000_000),
)
def test_what_is_written_reads_back_to_the_tick(
    first: int, durations: list[int], discontinuity_sequence: int, end: int, wall_ms: int
) -> None:
    segments = tuple(Segment(first + at, ticks, (wall_ms + at) / 1000, at % 3 == 1) for at, ticks in enumerate(durations))
    manifest = Manifest(60, discontinuity_sequence, segments, TIMELINE, end)
    assert parse(render(manifest)) == manifest


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: text[:-1],
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"#EXT-X-MEDIA-SEQUENCE:7", b"#EXT-X-MEDIA-SEQUENCE:6"),
        lambda text: text.replace(b"SEQUENCE:7", b"SEQUENCE:-7"),
        lambda text: text.replace(b"4.000000", b"nan"),
        lambda text: text.replace(b'"end":541080', b'"end":null'),
        lambda text: text.replace(b"1700000000.25", b"1e999"),
        lambda text: text.replace(b"2023-11-14T22:13:20", b"yesterday"),
        lambda text: text.replace(b"#EXTINF:2.002000,\n", b""),
        lambda text: text.replace(b"segment-0000000008.ts", b"../../passwd.ts"),
        lambda text: text.replace(b"t1", b"\xff\xfe"),
        lambda text: text + b"\n" * (1 << 20) + b".ts\n",
    ],
)
def test_a_torn_or_foreign_manifest_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError):
        parse(change(render(ONE)))


def test_tags_of_others_are_passed_over() -> None:
    assert parse(render(ONE).replace(b"#EXT-X-VERSION:6", b"#EXT-X-VERSION:6\n#EXT-X-SERVER-CONTROL:HOLD-BACK=12\n# hello")) == ONE


def test_a_token_goes_onto_every_segment_and_nothing_else() -> None:
    lines = with_token(render(ONE), "s e/cret").decode().splitlines()
    assert [line for line in lines if "token" in line] == [
        "segment-0000000007.ts?token=s%20e%2Fcret",
        "segment-0000000008.ts?token=s%20e%2Fcret",
    ]


def test_the_target_duration_is_the_next_whole_second() -> None:
    assert [target_seconds(value) for value in (2, 2.5, 4.0)] == [2, 3, 4]


def test_the_wall_clock_follows_the_ticks_from_the_anchor() -> None:
    assert TIMELINE.wall_s(900 + 90_000 * 10) == 1_700_000_010.25
    assert TIMELINE.wall_s(900 + 1) == 1_700_000_000.25


@pytest.mark.parametrize("wrong", [{}, {"anchor_wall_s": -1.0}, {"anchor_wall_s": float("nan")}, {"anchor_ticks": 1.5}, {"timeline": 3}])
def test_a_description_without_a_usable_timeline_is_refused(wrong: dict[str, object]) -> None:
    right = {"timeline": "t", "anchor_wall_s": 1.0, "anchor_ticks": 0}
    assert read_timeline(right) == Timeline("t", 1.0, 0)
    with pytest.raises(ValueError):
        read_timeline(right | wrong if wrong else {})
