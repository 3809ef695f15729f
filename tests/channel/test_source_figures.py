"""How far the air and the newest segment are behind a live source, from what its process and the host tell."""

import pytest

from channeld.base.units import FrameRate
from channeld.channel.source_figures import SourceFigures

FPS = FrameRate(25, 1)
S = 1_000_000_000


def figures(**air: object) -> SourceFigures:
    """250 pictures came until second 100; picture 225, which came at 99.04 s, is due at 100.5 s."""
    made = SourceFigures()
    made.told("cam", {"mark": ["cam-7-1", 250, 100 * S], "reconnects": 2, "jitter_ms": 3.5, "bits_per_s": 800, "losses": {"rtp_lost": 4}})
    made.aired({"live_clip": "/run/sources/one/cam/cam-7-1.ts", "frames": 225, "due_ns": 100 * S + S // 2, "drift_ms": -1.5} | air)
    return made


def test_the_delay_is_from_a_pictures_arrival_to_its_release_and_its_segment() -> None:
    assert figures().described("cam", FPS, 4.25) == {
        "bits_per_s": 800,
        "losses": {"rtp_lost": 4},
        "jitter_ms": 3.5,
        "reconnects": 2,
        "air_delay_s": pytest.approx(1.46),
        "segment_delay_s": pytest.approx(5.71),
        "drift_ms": -1.5,
    }


@pytest.mark.parametrize("air", [{"live_clip": None, "drift_ms": None}, {"live_clip": "/run/sources/one/spare/spare-9-1.ts"}])
def test_what_is_not_on_air_has_no_delay_and_no_drift(air: dict[str, object]) -> None:
    told = figures(**air).described("cam", FPS, 4.25)
    assert told is not None and told["reconnects"] == 2
    assert (told["air_delay_s"], told["segment_delay_s"], told["drift_ms"]) == (None, None, None)


def test_without_hls_there_is_no_delay_of_segments_and_without_a_report_no_figures() -> None:
    told = figures().described("cam", FPS, None)
    assert told is not None and told["air_delay_s"] is not None and told["segment_delay_s"] is None
    assert SourceFigures().described("cam", FPS, None) is None
