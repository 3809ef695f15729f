"""What the probe says of real files."""

import os
from pathlib import Path

import clips
import pytest

from channeld.base.errors import ProbeError
from channeld.media.facts import choose_audio
from channeld.media.probe import probe
from channeld.media.tools import Tools


def test_ends_of_tracks_are_what_their_packets_reach(shelf):
    span = probe(shelf.get("a.mkv", clips.numbered_clip, frames=50)).video.span
    assert span.end_s - span.start_s == pytest.approx(2.0, abs=0.002)


def test_an_empty_file_is_named_so(tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ProbeError, match="empty"):
        probe(tmp_path / "empty.mp4")


def test_a_missing_file_is_named_so(tmp_path: Path):
    with pytest.raises(ProbeError, match="No such file"):
        probe(tmp_path / "gone.mp4")


def test_text_under_the_name_of_a_film_is_not_media(shelf):
    with pytest.raises(ProbeError, match="not readable as media"):
        probe(shelf.get("text.mp4", clips.text_file))


def test_a_pipe_is_not_a_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ProbeError, match="not a file"):
        probe(tmp_path / "pipe.mp4")


def test_a_list_of_other_files_is_refused_even_when_renamed(tmp_path: Path, shelf):
    """FFmpeg's concat demuxer would open what the list names."""
    clip = shelf.get("a.mkv", clips.numbered_clip, frames=50)
    disguised = tmp_path / "innocent.mp4"
    disguised.write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    with pytest.raises(ProbeError):
        probe(disguised)


def test_a_file_whose_name_begins_with_a_dash_is_no_option(media_dir: Path):
    assert probe(media_dir / "-video-with-dash-.mp4").video.picture.width == 1


def test_hdr_variable_rate_rotation_and_fields_are_seen(shelf):
    assert probe(shelf.get("hdr.mkv", clips.hdr_clip)).video.colour.is_hdr
    assert probe(shelf.get("vfr.mp4", clips.vfr_clip)).video.is_vfr
    assert probe(shelf.get("rotated.mp4", clips.rotated_clip)).video.picture.rotation in (90, 270)
    assert probe(shelf.get("fields.mkv", clips.interlaced_clip)).video.picture.field_order in ("tt", "tb")


def test_the_wanted_language_is_chosen_and_the_others_are_named(shelf, tmp_path: Path, ffmpeg: str):
    clip = shelf.get("a.mkv", clips.numbered_clip, frames=50)
    two = tmp_path / "two.mkv"
    languages = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger"]
    clips._make(two, ["-i", f"file:{clip}", "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", *languages])
    facts = probe(two)
    assert choose_audio(facts, "de").index == 2
    assert choose_audio(facts, None).index == 1
    assert facts.dropped_tracks(choose_audio(facts, "de")) == ("audio 1 (aac, eng)",)


@pytest.mark.parametrize("name", ["bbb.flv", "prores_422.mov", "bear-vp9-odd-dimensions.webm", "vtest-5s.avi", "ocean.ogv"])
def test_without_ffprobe_the_banner_tells_the_same(media_dir: Path, tools: Tools, name: str):
    whole, banner = probe(media_dir / name, tools=tools), probe(media_dir / name, tools=Tools(tools.ffmpeg, None))
    for one in (whole, banner):
        assert one.video is not None
    assert (banner.video.codec, banner.video.picture.width, banner.video.picture.sar) == (
        whole.video.codec,
        whole.video.picture.width,
        whole.video.picture.sar,
    )
    assert banner.video.span.end_s == whole.video.span.end_s
    assert [track.codec for track in banner.audio] == [track.codec for track in whole.audio]


def test_a_picture_whose_name_is_a_pattern_is_one_picture(shelf, tmp_path: Path):
    """FFmpeg would look for a sequence of files."""
    odd = tmp_path / "still%03d*.jpg"
    odd.write_bytes(shelf.get("still.jpg", clips.still_image, number=77).read_bytes())
    assert probe(odd).is_image


def test_a_picture_under_the_wrong_suffix_is_still_one(shelf, tmp_path: Path):
    odd = tmp_path / "still.mp4"
    odd.write_bytes(shelf.get("still.png", clips.still_image, number=77).read_bytes())
    assert probe(odd).is_image
