"""Faults as they are written, when they come, and what they make of a picture."""

from itertools import islice

import pytest

from channeld.base.errors import ConfigError
from channeld.mock.faults import Fault, parse_fault, picture_of, schedule
from channeld.mock.wanted import Stream


def test_a_fault_is_read_as_it_is_written():
    assert parse_fault("at=20s,kind=stop,for=5s", "ts") == Fault("stop", (20.0, 20.0), 5.0)
    assert parse_fault("kind=slow,rate=0.25,at=500ms..2m,for=1s,every=1h", "udp") == Fault("slow", (0.5, 120.0), 1.0, 3600.0, 0.25)
    assert parse_fault("kind=size,to=320x180", "rtsp") == Fault("size", to="320x180")


@pytest.mark.parametrize(
    ("text", "protocol", "reason"),
    [
        ("", "ts", "''"),
        ("at=20s", "ts", "kind is one of"),
        ("kind=explode", "ts", "kind is one of"),
        ("kind=stop,kind=black", "ts", "at most once"),
        ("kind=stop,colour=red", "ts", "'colour=red'"),
        ("kind=stop,at", "ts", "'at'"),
        ("kind=stop,at=-1s", "ts", "no time"),
        ("kind=stop,at=1e9s", "ts", "no time"),
        ("kind=stop,at=99999999h", "ts", "no time"),
        ("kind=stop,for=soon", "ts", "no time"),
        ("kind=stop,at=9s..3s", "ts", "backwards"),
        ("kind=stop,every=5s", "ts", "every must be longer"),
        ("kind=stop,every=5s,for=5s", "ts", "every must be longer"),
        ("kind=stop,at=0s..3s,every=5s,for=2s", "ts", "every must be longer"),
        ("kind=stop,rate=0.5", "ts", "kind=slow"),
        ("kind=slow,rate=2", "ts", "share of real time"),
        ("kind=slow,rate=0.0", "ts", "share of real time"),
        ("kind=size,to=wide", "ts", "even numbers"),
        ("kind=size,to=321x181", "ts", "even numbers"),
        ("kind=codec,to=av1", "ts", "mpeg2video"),
        ("kind=black,to=hevc", "ts", "kind=codec"),
        ("kind=size,to=movie=/etc/passwd", "ts", "even numbers"),
        ("kind=codec", "rtmp", "h264 only"),
        ("kind=slow", "rtsp", "real time"),
        ("kind=password", "srt", "has no password"),
        ("kind=stop," + "x" * 300, "ts", "longer than"),
    ],
)
def test_what_is_no_fault_is_refused_with_the_reason(text: str, protocol: str, reason: str):
    with pytest.raises(ConfigError, match="--fault") as refused:
        parse_fault(text, protocol)
    assert reason in str(refused.value)


def test_a_codec_that_a_stream_cannot_have_is_refused():
    with pytest.raises(ConfigError, match="rtsp serves h264 and hevc"):
        parse_fault("kind=codec,to=mpeg2video", "rtsp")
    assert parse_fault("kind=codec,to=mpeg2video", "srt").to == "mpeg2video"


def test_the_same_seed_is_the_same_schedule_and_another_one_is_not():
    faults = [parse_fault("at=5s..50s,kind=stop,for=5s,every=60s", "ts"), parse_fault("at=70s,kind=black", "ts")]
    first, again, other = ([at for at, _ in islice(schedule(faults, seed), 9)] for seed in (3, 3, 4))
    assert first == again != other
    assert first == sorted(first)


def test_a_repeated_fault_begins_once_in_each_of_its_turns():
    (fault,) = faults = [parse_fault("at=5s..50s,kind=stop,for=5s,every=60s", "ts")]
    for turn, (at_s, begun) in enumerate(islice(schedule(faults, 1), 5)):
        assert begun is fault and 5 <= at_s - 60 * turn <= 50


def test_what_is_on_air_is_what_all_faults_together_make():
    stream = Stream(640, 360)
    picture = picture_of(
        stream, [Fault("black"), Fault("silence"), Fault("size"), Fault("codec"), Fault("slow", rate=0.3), Fault("password")]
    )
    assert picture.is_locked and not picture.is_closed
    assert (picture.is_black, picture.is_silent, picture.is_still, picture.is_stopped, picture.rate) == (True, True, False, False, 0.3)
    assert (picture.stream.width, picture.stream.height, picture.stream.vcodec) == (320, 180, "hevc")
    assert picture_of(stream, []).stream == stream


def test_half_of_an_odd_size_is_one_that_can_be_encoded():
    stream = picture_of(Stream(26, 18), [Fault("size")]).stream
    assert (stream.width, stream.height) == (16, 16)
