"""What is inside the video's access units: NAL units, parameter sets, picture order.

Rule: ITU-T H.264, 7.3; picture order count tells the frame a slice shows, so a frame lost, repeated or restamped is
found even where all timestamps are right.
"""

from dataclasses import dataclass

import numpy as np

from .steps import Ints, listing
from .ts_packets import Bytes, Flags
from .ts_pes import Units

_SLICE_BYTES = 16
_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 138, 139, 134, 135, 244}


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a slice header needs from its SPS (7.3.2.1)."""

    frame_number_bits: int
    order_type: int
    order_bits: int
    frames_only: bool


@dataclass(frozen=True, slots=True)
class VideoContent:
    """Facts of the whole track."""

    sps: tuple[bytes, ...]
    """The distinct sequence parameter sets, in order of appearance."""
    pps: tuple[bytes, ...]
    key_frames: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Nals:
    at: Ints
    """Offset of the NAL header byte in the track's content."""
    ends: Ints
    kind: Bytes
    unit: Ints


def read_video(units: Units, *, open_end: bool) -> VideoContent:
    """Judge the NAL units of a track with at least one access unit."""
    nals = _find_nals(units)
    sps, pps = _distinct(units.content, nals, 7), _distinct(units.content, nals, 8)
    per_unit = {kind: np.bincount(nals.unit[nals.kind == kind], minlength=len(units)) for kind in (5, 7, 8, 9)}
    faults = _structure_faults(units, nals, per_unit)
    if len(sps) > 1 or len(pps) > 1:
        faults.append(f"parameter sets change within the stream ({len(sps)} SPS, {len(pps)} PPS)")
    if len(sps) == 1:
        faults += _picture_faults(units, nals, sps[0], open_end)
    return VideoContent(sps, pps, int((per_unit[5] > 0).sum()), tuple(faults))


def _find_nals(units: Units) -> _Nals:
    content = units.content
    ones = np.flatnonzero(content[2:] == 1)
    at = ones[(content[ones] == 0) & (content[ones + 1] == 0)] + 3
    unit = np.searchsorted(units.begins, at, side="right") - 1
    inside = (unit >= 0) & (at < units.ends[unit.clip(0)])
    at, unit = at[inside], unit[inside]
    # The next start code ends a NAL; the zero byte of a four-byte code, and trailing zeros, fall to rstrip where bytes matter.
    ends = np.minimum(np.append(at[1:] - 3, len(content)), units.ends[unit])
    return _Nals(at, ends, content[at] & 31, unit)


def _distinct(content: Bytes, nals: _Nals, kind: int) -> tuple[bytes, ...]:
    wanted = np.flatnonzero(nals.kind == kind)
    return tuple(dict.fromkeys(content[nals.at[i] : nals.ends[i]].tobytes().rstrip(b"\0") for i in wanted.tolist()))


def _structure_faults(units: Units, nals: _Nals, per_unit: dict[int, Ints]) -> list[str]:
    first = np.searchsorted(nals.unit, np.arange(len(units)))
    kinds = np.append(nals.kind, 0)[first]
    is_key = per_unit[5] > 0
    # 7.3.3: first_mb_in_slice is ue(v); its first bit is set where it is 0, that is where a picture begins.
    opening = ((nals.kind == 1) | (nals.kind == 5)) & (np.append(units.content, 0)[nals.at + 1] >= 0x80)
    pictures = np.bincount(nals.unit[opening], minlength=len(units))
    named = {
        "access unit does not begin with an access unit delimiter": kinds != 9,
        "access unit has more than one delimiter": per_unit[9] > 1,
        "access unit has not exactly one picture": pictures != 1,
        "random access indicator without an IDR picture": units.is_random_access & ~is_key,
        "IDR picture without random access indicator": is_key & ~units.is_random_access,
        "IDR picture without its SPS and PPS": is_key & ((per_unit[7] == 0) | (per_unit[8] == 0)),
    }
    return [f"{name}: unit {listing(np.flatnonzero(where).tolist())}" for name, where in named.items() if where.any()]


def _picture_faults(units: Units, nals: _Nals, sps: bytes, open_end: bool) -> list[str]:
    """Compare the order of pictures with the order of PTS, within each coded video sequence."""
    rules = parse_sps(sps)
    slices = np.flatnonzero((nals.kind == 1) | (nals.kind == 5))
    firsts = slices[np.append(True, np.diff(nals.unit[slices]) > 0)] if len(slices) else slices
    if len(firsts) != len(units) or rules.order_type == 1:
        return []
    is_key = nals.kind[firsts] == 5
    sequence = np.cumsum(is_key)
    if rules.order_type == 2:
        order = np.arange(len(units))
    else:
        order = _unwrapped_order(_slice_orders(units.content, nals.at[firsts], rules), is_key, rules.order_bits)
    shown = units.pts <= units.dts[-1] if open_end else np.ones(len(units), dtype=bool)
    sorting = np.lexsort((order, sequence))
    sorting = sorting[shown[sorting]]
    return _order_faults(units.pts[sorting], order[sorting], sequence[sorting], sorting)


def _order_faults(pts: Ints, order: Ints, sequence: Ints, number: Ints) -> list[str]:
    faults = []
    back = np.flatnonzero(np.diff(pts) <= 0) + 1
    if len(back):
        faults.append(f"PTS order is not picture order: unit {listing(number[back].tolist())}")
    same = sequence[1:] == sequence[:-1]
    steps = np.diff(order)
    if same.any():
        unit_step = int(np.median(steps[same]))
        for name, where in (("repeated", same & (steps <= 0)), ("missing", same & (steps > unit_step))):
            if where.any():
                faults.append(f"picture {name} (by picture order count) at unit {listing(number[1:][where].tolist())}")
    return faults


def _unwrapped_order(low: Ints, is_key: Ints, bits: int) -> Ints:
    """Picture order counts from their low bits: each taken as nearest to its predecessor in decoding order (8.2.1.1)."""
    cycle = 1 << bits
    moves = (np.diff(low, prepend=low[:1]) + cycle // 2) % cycle - cycle // 2
    total = np.cumsum(moves)
    starts = np.flatnonzero(is_key)
    if not len(starts):
        return total
    run = np.searchsorted(starts, np.arange(len(low)), side="right") - 1
    return total - np.where(run >= 0, (total - low)[starts[run.clip(0)]], 0)


def _slice_orders(content: Bytes, at: Ints, rules: SequenceParameters) -> Ints:
    """pic_order_cnt_lsb of slices, all at once (7.3.3)."""
    padded = np.append(content, np.zeros(_SLICE_BYTES + 1, dtype=np.uint8))
    is_key = padded[at] & 31 == 5
    raw = padded[at[:, None] + 1 + np.arange(_SLICE_BYTES)]
    escaped = (raw[:, 2:] == 3) & (raw[:, 1:-1] == 0) & (raw[:, :-2] == 0)
    for row in np.flatnonzero(escaped.any(axis=1)).tolist():
        plain = raw[row].tobytes().replace(b"\0\0\3", b"\0\0")
        raw[row] = np.frombuffer(plain.ljust(_SLICE_BYTES, b"\0"), dtype=np.uint8)
    bits = _BitColumns(raw)
    for _ in range(3):
        bits.exp_golomb()  # first_mb_in_slice, slice_type, pic_parameter_set_id
    bits.fixed(rules.frame_number_bits)
    if not rules.frames_only:
        field = bits.fixed(1)
        bits.position += field  # bottom_field_flag
    before = bits.position.copy()
    bits.exp_golomb()  # idr_pic_id, in IDR pictures only
    bits.position = np.where(is_key, bits.position, before)
    return bits.fixed(rules.order_bits)


class _BitColumns:
    """Many bit strings read in step; each has its own position."""

    def __init__(self, raw: Bytes) -> None:
        self._bits = np.pad(np.unpackbits(raw, axis=1), ((0, 0), (0, 32)))
        self._rows = np.arange(len(raw))
        self.position = np.zeros(len(raw), dtype=np.int64)

    def fixed(self, count: int) -> Ints:
        value = np.zeros(len(self._rows), dtype=np.int64)
        for _ in range(count):
            value = value << 1 | self._take()
        return value

    def exp_golomb(self) -> Ints:
        """ue(v), 9.1, for values below 2**16."""
        zeros = np.zeros(len(self._rows), dtype=np.int64)
        counting = self._take() == 0
        while counting.any() and zeros.max() < 16:
            zeros += counting
            bit = self._take(counting)
            counting &= bit == 0
        value = np.ones(len(self._rows), dtype=np.int64)
        for step in range(int(zeros.max(initial=0))):
            reading = step < zeros
            value = np.where(reading, value << 1 | self._take(reading), value)
        return value - 1

    def _take(self, which: Flags | bool = True) -> Ints:
        bit: Ints = self._bits[self._rows, self.position.clip(0, self._bits.shape[1] - 1)].astype(np.int64)
        self.position = self.position + which
        return bit


def parse_sps(sps: bytes) -> SequenceParameters:
    """Read an SPS NAL (with its header byte) as far as slices need it."""
    raw = np.frombuffer(sps.replace(b"\0\0\3", b"\0\0").ljust(64, b"\0"), dtype=np.uint8)
    bits = _BitColumns(raw[None, :])
    bits.position += 32  # NAL header, profile, constraints, level
    bits.exp_golomb()
    if sps[1] in _HIGH_PROFILES:
        _skip_high_fields(bits)
    frame_number_bits = int(bits.exp_golomb()[0]) + 4
    order_type = int(bits.exp_golomb()[0])
    order_bits = int(bits.exp_golomb()[0]) + 4 if order_type == 0 else 0
    if order_type == 1:
        return SequenceParameters(frame_number_bits, order_type, 0, True)
    bits.exp_golomb()  # max_num_ref_frames
    bits.fixed(1)
    bits.exp_golomb()  # width, height in macroblocks
    bits.exp_golomb()
    return SequenceParameters(frame_number_bits, order_type, order_bits, bool(bits.fixed(1)[0]))


def _skip_high_fields(bits: _BitColumns) -> None:
    if int(bits.exp_golomb()[0]) == 3:
        bits.fixed(1)
    bits.exp_golomb()
    bits.exp_golomb()
    bits.fixed(1)
    if int(bits.fixed(1)[0]):
        raise ValueError("this judge does not read scaling matrices in an SPS")
