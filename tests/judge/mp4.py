"""Reads fragmented MP4 as a viewer's demuxer would: boxes, one track's header, and the samples of its segments.

Rule: shares no code with channeld; whatever is not as ISO/IEC 14496-12 has it is an AssertionError that says what.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"mvex", b"moof", b"traf"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Times in the track's timescale."""

    dts: int
    pts: int
    duration: int
    is_sync: bool
    data: bytes


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each box's content; together they are exactly the bytes."""
    end = len(data) if end is None else end
    while start < end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        assert 8 <= size <= end - start, f"box {kind!r} of {size} bytes in {end - start}"
        yield kind, start + 8, start + size
        start += size


def tree(data: bytes, start: int = 0, end: int | None = None, path: str = "") -> dict[str, list[tuple[int, int]]]:
    """Every box by its path, such as `moov/trak/tkhd`."""
    found: dict[str, list[tuple[int, int]]] = {}
    for kind, begin, finish in boxes(data, start, end):
        name = f"{path}{kind.decode('ascii')}"
        found.setdefault(name, []).append((begin, finish))
        if kind in _CONTAINERS:
            for inner, places in tree(data, begin, finish, f"{name}/").items():
                found.setdefault(inner, []).extend(places)
    return found


def timescale(header: bytes) -> int:
    """Of the one track of an initialization segment."""
    ((begin, _),) = tree(header)["moov/trak/mdia/mdhd"]
    return int.from_bytes(header[begin + 12 : begin + 16], "big")


def samples(segment: bytes) -> list[Sample]:
    """The samples of a media segment of one fragment, whose default base is its moof."""
    places = tree(segment)
    assert [kind for kind, _, _ in boxes(segment)] == [b"styp", b"moof", b"mdat"]
    ((moof, _),), ((mdat, mdat_end),) = places["moof"], places["mdat"]
    ((tfhd, _),), ((tfdt, tfdt_end),), ((trun, trun_end),) = (places[f"moof/traf/{name}"] for name in ("tfhd", "tfdt", "trun"))
    defaults = _Words(segment, tfhd)
    flags = defaults.take() & 0xFFFFFF
    assert flags & 0x020000, "default-base-is-moof is not set"
    defaults.take()
    duration = defaults.take() if flags & 0x08 else None
    size = defaults.take() if flags & 0x10 else None
    sync = defaults.take() if flags & 0x20 else None
    assert segment[tfdt] == 1 and tfdt_end - tfdt == 12, "tfdt has not 64 bits"
    dts = int.from_bytes(segment[tfdt + 4 : tfdt_end], "big")
    rows = _Words(segment, trun)
    head, count = rows.take(), rows.take()
    at = moof - 8 + (rows.take() if head & 1 else 0)
    assert at == mdat, "the data offset does not lead to the first byte of mdat"
    found = []
    for _ in range(count):
        lasts = rows.take() if head & 0x100 else duration
        length = rows.take() if head & 0x200 else size
        how = rows.take() if head & 0x400 else sync
        offset = rows.take() if head & 0x800 else 0
        assert lasts is not None and length is not None and how is not None, "a sample without duration, size or flags"
        offset = offset - (1 << 32) if head >> 24 == 1 and offset >= 1 << 31 else offset
        found.append(Sample(dts, dts + offset, lasts, not how & 0x10000, segment[at : at + length]))
        at, dts = at + length, dts + lasts
    assert rows.at == trun_end, "trun is longer or shorter than its samples"
    assert at == mdat_end, "mdat is longer or shorter than its samples"
    return found


class _Words:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def take(self) -> int:
        self.at += 4
        return int.from_bytes(self._data[self.at - 4 : self.at], "big")
