"""The H.265 inside a track: parameter sets, and key frames that a decoder can begin with.

Rule: ITU-T H.265, 7.3.1 and table 7-1. That every picture is there once and in order is seen by decoding it.
"""

from .h264 import VideoContent
from .steps import listing
from .ts_pes import Units

VPS, SPS, PPS, AUD = 32, 33, 34, 35
_IDR = (19, 20)
_FIRST_SLICE = 0x80
"""first_slice_segment_in_pic_flag, the first bit behind the header of two bytes."""


def nal_units(content: bytes) -> list[bytes]:
    """Without start codes."""
    return [part.rstrip(b"\0") for part in content.split(b"\0\0\1")[1:]]


def kind_of(nal: bytes) -> int:
    """nal_unit_type."""
    return nal[0] >> 1 & 0x3F


def read_h265(units: Units, *, open_end: bool) -> VideoContent:
    """Judge the NAL units of a track with at least one access unit. `sps` holds VPS and SPS, as neither goes without the other."""
    faults: list[str] = []
    sets: tuple[list[bytes], list[bytes]] = [], []
    keys = 0
    wrong: dict[str, list[int]] = {"have no picture, or more than one": [], "are marked as random access without being one": []}
    wrong |= {"have no parameter sets in front of their IDR picture": [], "are IDR pictures without a mark": []}
    last = len(units) - 1
    for number, (begin, end) in enumerate(zip(units.begins.tolist(), units.ends.tolist(), strict=True)):
        nals = nal_units(units.content[begin:end].tobytes())
        kinds = [kind_of(nal) for nal in nals]
        pictures = [nal for nal, kind in zip(nals, kinds, strict=True) if kind < 32 and nal[2] & _FIRST_SLICE]
        if len(pictures) != 1:
            if not (open_end and number == last):
                wrong["have no picture, or more than one"].append(number)
            continue
        is_key, is_marked = kind_of(pictures[0]) in _IDR, bool(units.is_random_access[number])
        keys += is_key
        if is_marked and not is_key:
            wrong["are marked as random access without being one"].append(number)
        if is_key and not is_marked:
            wrong["are IDR pictures without a mark"].append(number)
        if is_key and [kind for kind in kinds if kind in (VPS, SPS, PPS)] != [VPS, SPS, PPS]:
            wrong["have no parameter sets in front of their IDR picture"].append(number)
        sets[0].extend(nal for nal, kind in zip(nals, kinds, strict=True) if kind in (VPS, SPS) and nal not in sets[0])
        sets[1].extend(nal for nal, kind in zip(nals, kinds, strict=True) if kind == PPS and nal not in sets[1])
    faults += [f"access units {listing(numbers)} {what}" for what, numbers in wrong.items() if numbers]
    if len(sets[0]) > 2 or len(sets[1]) > 1:
        faults.append(f"parameter sets change within the stream ({len(sets[0])} VPS and SPS, {len(sets[1])} PPS)")
    return VideoContent(tuple(sets[0]), tuple(sets[1]), keys, tuple(faults))
