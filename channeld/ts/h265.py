"""What access units of H.265 say of themselves, for containers that keep it apart from the units.

Rule: as in `codecs`: pure; reads only what such a container has to name, refuses what it cannot read, and trusts no length.
Sources: ISO/IEC 23008-2, 7.3.2.2, 7.3.3 and table 7-1 (H.265); ISO/IEC 14496-15, 8.3.3 and annex E.
"""

from dataclasses import dataclass

from channeld.base.errors import StreamError
from channeld.ts.codecs import Bits
from channeld.ts.nal import VideoCodec, nal_kind

_VPS, _SPS, _PPS = 32, 33, 34
_APART = frozenset({_VPS, _SPS, _PPS, 35, 38})
"""NAL units that a sample of `hvc1` goes without: parameter sets, which stand in its header, access unit delimiters, filler."""
_PROFILE_TIER_LEVEL_BITS = 96
_MOST_DEPTH = 8


@dataclass(frozen=True, slots=True)
class H265Format:
    """The parameter sets of a stream, without start codes, and what a header repeats of its SPS. Size in pixels, as it is shown."""

    vps: bytes
    sps: bytes
    pps: bytes
    width: int
    height: int
    profile_tier_level: bytes
    """Its general part, twelve bytes."""
    chroma: int
    depths: tuple[int, int]
    """Bits of luma and chroma beyond eight."""
    temporal_layers: int
    is_nested: bool

    @property
    def codec(self) -> str:
        """Its name in RFC 6381: profile, compatibility, tier, level and constraints."""
        told = self.profile_tier_level
        space, tier, profile = ("", "A", "B", "C")[told[0] >> 6], "LH"[told[0] >> 5 & 1], told[0] & 0x1F
        compatible = int(f"{int.from_bytes(told[1:5], 'big'):032b}"[::-1], 2)
        constraints = "".join(f".{byte:X}" for byte in told[5:11].rstrip(b"\x00"))
        return f"hvc1.{space}{profile}.{compatible:X}.{tier}{told[11]}{constraints}"

    @property
    def sets(self) -> tuple[tuple[int, bytes], ...]:
        """Each parameter set behind its nal_unit_type."""
        return (_VPS, self.vps), (_SPS, self.sps), (_PPS, self.pps)


def h265_sample(nals: list[bytes]) -> bytes:
    """An access unit as a sample of `hvc1`: each NAL unit behind its length in four bytes."""
    kept = [nal for nal in nals if nal_kind(nal, VideoCodec.H265) not in _APART]
    return b"".join([piece for nal in kept for piece in (len(nal).to_bytes(4, "big"), nal)])


def h265_format(nals: list[bytes]) -> H265Format:
    """What a random access unit says; a parameter set may stand there twice.

    Raises StreamError where it has not one of each, or its SPS cannot be read.
    """
    distinct = dict.fromkeys(nals)
    vps, sps, pps = ([nal for nal in distinct if nal_kind(nal, VideoCodec.H265) == kind] for kind in (_VPS, _SPS, _PPS))
    if not len(vps) == len(sps) == len(pps) == 1:
        raise StreamError("a random access picture without exactly one VPS, one SPS and one PPS")
    bits = Bits(sps[0])
    bits.take(16 + 4)
    layers, is_nested = bits.take(3) + 1, bool(bits.take(1))
    told = bits.take(_PROFILE_TIER_LEVEL_BITS).to_bytes(_PROFILE_TIER_LEVEL_BITS // 8, "big")
    _skip_sub_layers(bits, layers - 1)
    bits.unsigned()  # sps_seq_parameter_set_id
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take(1)
    width, height = bits.unsigned(), bits.unsigned()
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (2 if chroma in (1, 2) else 1) * (left + right)
        height -= (2 if chroma == 1 else 1) * (top + bottom)
    depths = bits.unsigned(), bits.unsigned()
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16) or chroma > 3 or max(depths) >= _MOST_DEPTH:
        raise StreamError("an SPS with a picture of no size, or of no kind that there is")
    return H265Format(vps[0], sps[0], pps[0], width, height, told, chroma, depths, layers, is_nested)


def _skip_sub_layers(bits: Bits, count: int) -> None:
    """Profile and level of temporal layers below the highest (7.3.3)."""
    present = [(bits.take(1), bits.take(1)) for _ in range(count)]
    if count:
        bits.take(2 * (8 - count))
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)
