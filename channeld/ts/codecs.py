"""What access units of H.264 and AAC say of themselves, for containers that keep it apart from the units.

Rule: pure; reads only what such a container has to name, refuses what it cannot read, and trusts no length.
Sources: ISO/IEC 14496-10, 7.3 and annex B (H.264), ISO/IEC 14496-3, 1.A.2.2 (ADTS).
"""

from dataclasses import dataclass

from channeld.base.errors import StreamError

_START_CODE = b"\x00\x00\x01"
_SPS, _PPS = 7, 8
_APART = frozenset({_SPS, _PPS, 9, 12})
"""NAL units that a sample of `avc1` goes without: parameter sets, which stand in its header, access unit delimiters, filler."""
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_ADTS_BYTES = 7
_SAMPLE_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_MAX_GOLOMB_BITS = 32


@dataclass(frozen=True, slots=True)
class AvcFormat:
    """The parameter sets of a stream, without start codes, and the size of its picture in pixels, as it is shown."""

    sps: bytes
    pps: bytes
    width: int
    height: int

    @property
    def codec(self) -> str:
        """Its name in RFC 6381: profile, constraints and level."""
        return f"avc1.{self.sps[1:4].hex()}"


@dataclass(frozen=True, slots=True)
class AacFormat:
    """MPEG-4 audio object type, index of the sample rate, and channel configuration, as ADTS names them."""

    object_type: int
    rate_index: int
    channels: int

    @property
    def codec(self) -> str:
        """Its name in RFC 6381."""
        return f"mp4a.40.{self.object_type}"

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return _SAMPLE_RATES[self.rate_index]

    @property
    def specific_config(self) -> bytes:
        """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
        return (self.object_type << 11 | self.rate_index << 7 | self.channels << 3).to_bytes(2, "big")


def nal_units(unit: bytes) -> list[bytes]:
    """The NAL units of an access unit in annex B. A NAL unit never ends with a zero byte: those belong to the next start code."""
    return [nal for part in unit.split(_START_CODE)[1:] if (nal := part.rstrip(b"\x00"))]


def avc_sample(nals: list[bytes]) -> bytes:
    """An access unit as a sample of `avc1`: each NAL unit behind its length in four bytes."""
    return b"".join([piece for nal in nals if nal[0] & 0x1F not in _APART for piece in (len(nal).to_bytes(4, "big"), nal)])


def avc_format(nals: list[bytes]) -> AvcFormat:
    """What a random access unit says. Raises StreamError where it has not one SPS and one PPS, or its SPS cannot be read."""
    sps, pps = ([nal for nal in nals if nal[0] & 0x1F == kind] for kind in (_SPS, _PPS))
    if len(sps) != 1 or len(pps) != 1 or len(sps[0]) < 4:
        raise StreamError("a random access picture without exactly one SPS and one PPS")
    width, height = _size(sps[0])
    return AvcFormat(sps[0], pps[0], width, height)


def aac_frame(unit: bytes) -> tuple[AacFormat, bytes]:
    """The format and the raw frame of an access unit that is one ADTS frame. Raises StreamError where it is not."""
    if len(unit) < _ADTS_BYTES or unit[0] != 0xFF or unit[1] & 0xF6 != 0xF0:
        raise StreamError("an audio unit without ADTS header")
    length = (unit[3] & 0x03) << 11 | unit[4] << 3 | unit[5] >> 5
    header = _ADTS_BYTES if unit[1] & 0x01 else _ADTS_BYTES + 2
    rate_index = unit[2] >> 2 & 0x0F
    if length != len(unit) or length < header or unit[6] & 0x03 or rate_index >= len(_SAMPLE_RATES):
        raise StreamError("an audio unit that is not exactly one ADTS frame")
    return AacFormat((unit[2] >> 6) + 1, rate_index, (unit[2] & 0x01) << 2 | unit[3] >> 6), unit[header:]


class Bits:
    """Reads the bits of a NAL unit, without its emulation prevention bytes (7.4.1)."""

    def __init__(self, nal: bytes) -> None:
        payload = nal.replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits = f"{int.from_bytes(payload, 'big'):0{8 * len(payload)}b}"
        self._at = 0

    def take(self, count: int) -> int:
        end = self._at + count
        if end > len(self._bits):
            raise StreamError("an SPS that ends too early")
        found, self._at = self._bits[self._at : end], end
        return int(found, 2) if found else 0

    def unsigned(self) -> int:
        """ue(v), 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MAX_GOLOMB_BITS:
                raise StreamError("an SPS with a number that is too large")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v), 9.1.1."""
        value = self.unsigned()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _size(sps: bytes) -> tuple[int, int]:
    """Width and height in pixels after cropping (7.3.2.1.1)."""
    bits = Bits(sps)
    bits.take(8)
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    chroma = _skip_high_profile(bits) if profile in _HIGH_PROFILES else 1
    bits.unsigned()  # log2_max_frame_num
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.take(1)
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    is_progressive = bits.take(1)
    if not is_progressive:
        height *= 2
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        unit_x, unit_y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (1 if is_progressive else 2)
        width, height = width - unit_x * (left + right), height - unit_y * (top + bottom)
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        raise StreamError("an SPS with a picture of no size")
    return width, height


def _skip_high_profile(bits: Bits) -> int:
    """What only the high profiles have; gives chroma_format_idc."""
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take(1)
    bits.unsigned()
    bits.unsigned()
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
