"""Parameter sets of random access units, of both codecs, and what H.265 says of itself; no bytes do more than be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channeld.base.errors import StreamError
from channeld.ts.h265 import h265_format, h265_sample
from channeld.ts.nal import ParameterSets, VideoCodec, parameter_sets
from channeld.ts.packet import Packets, as_packets

H264, H265 = VideoCodec.H264, VideoCodec.H265
SPS4, PPS4, IDR4 = b"\x67\x64\x00\x1e\x80", b"\x68\xee\x80", b"\x65\x88\x80"
# 320x180 at 25 frames per second, level 2.1, as x265 3.5 writes them.
VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003f911409")
SPS = bytes.fromhex("42010101600000030090000003000003003fa00a080c1f3e591152930bc05a808080f080000003008000000c84")
PPS = bytes.fromhex("4401c073c089")
IDR, CRA, AUD, SEI = b"\x28\x01\xaf\x80", b"\x2a\x01\xaf\x80", b"\x46\x01\x50", b"\x4e\x01" + b"\x05" * 400 + b"\x80"
SETS = ParameterSets(SPS, PPS, VPS)
NALS = st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([SPS4, PPS4, IDR4, VPS, SPS, PPS, IDR, CRA, AUD, SEI]), max_size=9)


def unit(*nals: bytes) -> Packets:
    """A PES packet of these NAL units, in transport packets filled up with zeros."""
    stream = b"\0\0\1\xe0\0\0\x80\x80\5" + bytes(5) + b"".join(b"\0\0\0\1" + nal for nal in nals)
    pieces = [stream[at : at + 184].ljust(184, b"\0") for at in range(0, len(stream), 184)]
    return as_packets(b"".join(bytes((0x47, 0x41 if not number else 0x01, 0, 0x10)) + piece for number, piece in enumerate(pieces)))


@pytest.mark.parametrize(
    ("codec", "nals", "found"),
    [
        (H264, (b"\x09\xf0", SPS4, PPS4, IDR4), ParameterSets(SPS4, PPS4)),
        (H265, (AUD, VPS, SPS, PPS, IDR), SETS),
        (H265, (AUD, VPS, SPS, PPS, SEI, SEI, IDR), SETS),
        (H265, (VPS, SPS, PPS, SEI, VPS, SPS, PPS, IDR), SETS),  # as over RTSP
    ],
)
def test_parameter_sets_in_front_of_a_picture_are_found(codec: VideoCodec, nals: tuple[bytes, ...], found: ParameterSets) -> None:
    assert parameter_sets(unit(*nals), codec) == found


@pytest.mark.parametrize(
    ("codec", "nals", "reason"),
    [
        (H264, (SPS4, IDR4), "without exactly one SPS and one PPS"),
        (H264, (SPS4, SPS4, PPS4, IDR4), "without exactly one SPS and one PPS"),
        (H264, (IDR4, SPS4, PPS4), "without exactly"),
        (H265, (SPS, PPS, IDR), "without exactly one VPS, one SPS and one PPS"),
        (H265, (VPS, SPS, SPS[:-1] + b"\x11", PPS, IDR), "without exactly"),
        (H265, (VPS, SPS, PPS, CRA), "its GOPs are open"),
        (H265, (VPS, SPS, PPS, *[SEI] * 20, IDR), "no IDR picture"),
        (H265, (b"",), "without exactly"),
    ],
)
def test_a_unit_that_nobody_could_begin_with_is_refused(codec: VideoCodec, nals: tuple[bytes, ...], reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        parameter_sets(unit(*nals), codec)


@given(NALS, st.sampled_from(VideoCodec))
def test_any_unit_has_its_parameter_sets_or_is_refused(nals: list[bytes], codec: VideoCodec) -> None:
    try:
        found = parameter_sets(unit(*nals), codec)
    except StreamError:
        return
    assert found.sps and found.pps and bool(found.vps) == (codec is H265)


def test_what_h265_says_of_itself_is_read() -> None:
    made = h265_format([AUD, VPS, SPS, PPS, IDR])
    assert (made.width, made.height, made.chroma, made.depths, made.temporal_layers, made.is_nested) == (320, 180, 1, (0, 0), 1, True)
    assert made.codec == "hvc1.1.6.L63.90"
    assert [kind for kind, _ in made.sets] == [32, 33, 34]
    assert h265_sample([AUD, VPS, SPS, PPS, SEI, IDR]) == len(SEI).to_bytes(4, "big") + SEI + b"\0\0\0\4" + IDR


class Written:
    """Bits of an SPS, as annex 9.1 has them."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> None:
        self.bits += f"{value:0{count}b}"

    def unsigned(self, *values: int) -> None:
        for value in values:
            self.bits += "0" * (len(f"{value + 1:b}") - 1) + f"{value + 1:b}"

    @property
    def nal(self) -> bytes:
        bits = self.bits + "1"
        return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big").replace(b"\0\0", b"\0\0\3")


@pytest.mark.parametrize("layers", [1, 2, 7])
@pytest.mark.parametrize(("chroma", "size"), [(1, (1906, 1078)), (2, (1906, 1079)), (3, (1913, 1079))])
def test_layers_crops_and_depths_are_understood(layers: int, chroma: int, size: tuple[int, int]) -> None:
    sps = Written()
    sps.put(0x4201, 16)
    sps.put(0, 4)
    sps.put(layers - 1, 3)
    sps.put(0, 1)
    sps.put(0x22 << 88 | 0x2000_0000 << 56 | 0xB0 << 48 | 120, 96)
    for number in range(layers - 1):
        sps.put(2 if number % 2 else 3, 2)
    if layers > 1:
        sps.put(0, 2 * (9 - layers))
    for number in range(layers - 1):
        sps.put((1 << 88) - 1, 88)
        if not number % 2:
            sps.put(90, 8)
    sps.unsigned(0, chroma)
    if chroma == 3:
        sps.put(0, 1)
    sps.unsigned(1920, 1080)
    sps.put(1, 1)
    sps.unsigned(3, 4, 0, 1)
    sps.unsigned(2, 2, 4)
    made = h265_format([VPS, sps.nal, PPS])
    assert ((made.width, made.height), made.chroma, made.depths, made.temporal_layers, made.is_nested) == (
        size,
        chroma,
        (2, 2),
        layers,
        False,
    )
    assert made.codec.startswith("hvc1.2.4.H120.B0")


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_h265_does_more_than_be_refused(nals: list[bytes]) -> None:
    for sps in (b"\x42\x01" + b"".join(nals), SPS[:20] + b"".join(nals)):
        try:
            made = h265_format([VPS, sps, PPS])
        except StreamError:
            continue
        assert 0 < made.width < 1 << 16 and 0 < made.height < 1 << 16 and made.codec.startswith("hvc1.")
    with pytest.raises(StreamError, match="without exactly"):
        h265_format([nal for nal in nals if nal])
