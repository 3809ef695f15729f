"""Pictures of what is on air, out of a real channel's ring."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from station import Station, settings, until

from channeld.channel import pictures as module
from channeld.channel.pictures import FRESH_S, NoPicture, Pictures, Ring
from channeld.control_pictures import ring_lender
from channeld.media.still import stills
from channeld.ts.elementary import first_random_access_unit

OpenStation = Callable[..., Station]


def is_jpeg_of(width: int, jpeg: bytes, ffmpeg: str) -> bool:
    """Decodes to one picture of this width."""
    line = [ffmpeg, "-nostdin", "-v", "error", "-f", "mjpeg", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]
    done = subprocess.run(line, input=jpeg, capture_output=True, timeout=30, check=True)
    return len(done.stdout) == width * (width * 9 // 16) and not done.stderr


@pytest.fixture
def pictures_of(station_of: OpenStation, shelf: Path, ffmpeg: str) -> Iterator[Callable[[], Pictures]]:
    (shelf / "list.txt").write_text("a.mp4\nb.mp4\n")
    made: list[Pictures] = []

    def open_desk() -> Pictures:
        station = station_of(settings(shelf / "list.txt"), settings(shelf / "list.txt", "two"))
        until(lambda: {shown["state"] for shown in station.loop.call(station.registry.describe)} == {"on_air"}, "both on air")
        made.append(Pictures(ring_lender(station.loop, station.registry), ffmpeg))
        made[-1].start()
        return made[-1]

    yield open_desk
    for each in made:
        each.close()


def test_a_picture_of_what_is_on_air_comes_in_the_width_asked_for(pictures_of: Callable[[], Pictures], ffmpeg: str) -> None:
    pictures = pictures_of()
    for width in (160, 320):
        assert is_jpeg_of(width, pictures.ask("one", width).result(20).jpeg, ffmpeg)


def test_a_fresh_picture_is_given_again_and_channels_are_decoded_together(pictures_of: Callable[[], Pictures]) -> None:
    pictures = pictures_of()
    asked = [pictures.ask(channel, 160) for channel in ("one", "two", "one")]
    first = [each.result(20) for each in asked]
    assert first[0] is first[2] and first[1] is not first[0]
    assert pictures.ask("one", 160).result(0) is first[0]


def test_who_is_unknown_has_no_picture(pictures_of: Callable[[], Pictures]) -> None:
    pictures = pictures_of()
    with pytest.raises(NoPicture, match="gone"):
        pictures.ask("nobody", 160).result(20)


def test_the_more_is_asked_for_the_older_a_picture_may_be(ffmpeg: str) -> None:
    def no_ring(channel: str) -> Ring:
        raise NoPicture("none here")

    pictures = Pictures(no_ring, ffmpeg)
    assert pictures.fresh_s() == FRESH_S
    for number in range(200):
        pictures.ask(f"channel{number}", 320)
    assert pictures.fresh_s() == pytest.approx(200 * module.FIRST_GUESS_S / module.SHARE)
    pictures.start()
    try:
        with pytest.raises(NoPicture):
            pictures.ask("channel7", 320).result(20)
    finally:
        pictures.close()


def test_a_damaged_picture_costs_only_itself(pictures_of: Callable[[], Pictures], prepared_folder: Path, ffmpeg: str) -> None:
    clip = next(prepared_folder.glob("*/*.ts")).read_bytes()
    unit = first_random_access_unit(clip[: len(clip) // 188 * 188])
    assert unit is not None
    taken = stills([unit, b"\0\0\1\x65" + os.urandom(500), unit], 160, ffmpeg)
    whole, damaged, again = taken.jpegs
    assert taken.cpu_s > 0
    assert whole is not None and whole == again
    assert damaged is None or damaged != whole


def test_a_desk_that_ends_tells_who_waits(ffmpeg: str) -> None:
    def no_ring(channel: str) -> Ring:
        raise NoPicture("none here")

    pictures = Pictures(no_ring, ffmpeg)
    asked = pictures.ask("one", 320)
    pictures.start()
    pictures.close()
    with pytest.raises(NoPicture):
        asked.result(5)
