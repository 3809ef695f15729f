"""The NAL units of a random access unit, of H.264 or H.265: its parameter sets, and whether decoding may begin with it.

Rule: pure; only the first bytes of a unit are looked at, and no length is trusted.
Sources: ISO/IEC 14496-10, 7.3.1 and table 7-1 (H.264); ISO/IEC 23008-2, 7.3.1.2 and table 7-1 (H.265).
"""

from dataclasses import dataclass
from enum import StrEnum

from channeld.base.errors import StreamError
from channeld.ts import packet as tsp
from channeld.ts.packet import VIDEO_PID, Packets

_START_CODE = b"\x00\x00\x01"
_H264_SETS, _H264_PICTURES = {7: "SPS", 8: "PPS"}, frozenset((1, 5))
_H265_SETS, _H265_PICTURES = {32: "VPS", 33: "SPS", 34: "PPS"}, frozenset(range(32))
H265_IDR = frozenset((19, 20))
"""IDR_W_RADL and IDR_N_LP. Not CRA and BLA: pictures that are shown before them may need what came before the splice."""
_H264_LOOKED_AT = 4
_H265_LOOKED_AT = 32
"""Packets of a unit up to its first slice. Encoders of H.265 like to put kilobytes of words about themselves in front of it."""


class VideoCodec(StrEnum):
    """What the pictures of a channel are."""

    H264 = "h264"
    H265 = "h265"


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Those of a profile, NAL units without start codes. H.265 has a `vps`, too."""

    sps: bytes
    pps: bytes
    vps: bytes = b""


def nal_kind(nal: bytes, codec: VideoCodec) -> int:
    """Its nal_unit_type."""
    return nal[0] & 0x1F if codec is VideoCodec.H264 else nal[0] >> 1 & 0x3F


def parameter_sets(packets: Packets, codec: VideoCodec) -> ParameterSets:
    """Those of a random access unit. Raises StreamError when it carries not exactly one of each, in front of its first slice.

    Of H.265, also when that slice is none of an IDR picture; the same set may stand there twice, as what comes over RTSP has them.
    """
    is_h264 = codec is VideoCodec.H264
    sets, pictures = (_H264_SETS, _H264_PICTURES) if is_h264 else (_H265_SETS, _H265_PICTURES)
    found: dict[int, list[bytes]] = {kind: [] for kind in sets}
    picture: int | None = None
    for unit in _elementary(packets[: _H264_LOOKED_AT if is_h264 else _H265_LOOKED_AT]).split(_START_CODE)[1:]:
        kind = nal_kind(unit, codec) if unit else 0
        if unit and kind in pictures:
            picture = kind
            break
        if kind in found and (is_h264 or unit.rstrip(b"\x00") not in found[kind]):
            found[kind].append(unit.rstrip(b"\x00"))
    if any(len(units) != 1 for units in found.values()):
        *first, last = (f"one {name}" for name in sets.values())
        raise StreamError(f"a key frame without exactly {', '.join(first)} and {last}", pid=VIDEO_PID)
    if not is_h264 and picture not in H265_IDR:
        raise StreamError("a key frame that is no IDR picture: its GOPs are open", pid=VIDEO_PID)
    (sps,), (pps,), *vps = (found[kind] for kind in ((7, 8) if is_h264 else (33, 34, 32)))
    return ParameterSets(sps, pps, *vps[0]) if vps else ParameterSets(sps, pps)


def _elementary(packets: Packets) -> bytes:
    """The payload of a PES packet's first transport packets."""
    offsets = tsp.payload_offsets(packets)
    pes = bytearray().join(packets[row, offset:].tobytes() for row, offset in enumerate(offsets))
    return bytes(pes[9 + pes[8] :])
