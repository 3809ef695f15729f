"""Boxes of fragmented MP4 (CMAF): the header of one track, and its segments.

Rule: bytes in, bytes out; whoever calls decides what is a sample and when it is shown. One track for each file, as players of
DASH expect. Times are unbounded in 64 bits, so that no wrap of the transport stream's clock is ever seen.
Sources: ISO/IEC 14496-12 (boxes), 14496-14 (esds), 14496-15 (avcC, hvcC), 23000-19 (CMAF).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from channeld.ts.codecs import AacFormat, AvcFormat
from channeld.ts.h265 import H265Format
from channeld.ts.packet import Ints

VIDEO_TRACK, AUDIO_TRACK = 1, 2
SYNC, NOT_SYNC = 0x0200_0000, 0x0101_0000
"""sample_depends_on and sample_is_non_sync_sample (8.8.3.1)."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
_UNDETERMINED = 0x55C4
"""The language `und`, five bits a letter."""
_DEFAULT_BASE_IS_MOOF, _DEFAULT_DURATION, _DEFAULT_FLAGS = 0x02_0000, 0x08, 0x20
_DATA_OFFSET, _DURATIONS, _SIZES, _FLAGS, _OFFSETS = 0x001, 0x100, 0x200, 0x400, 0x800
_BOX_HEAD = 8


@dataclass(frozen=True, slots=True)
class Samples:
    """One track's samples in order of decoding. `begins_at` is the first one's time, in the track's own ticks like all others.

    `offsets`: presentation minus decoding; `flags`: SYNC or NOT_SYNC. Without them, each sample is shown when it is decoded, and
    a random access point. `durations` may be one for all.
    """

    begins_at: int
    payloads: Sequence[bytes]
    durations: Ints | int
    offsets: Ints | None = None
    flags: Ints | None = None


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of these parts (4.2)."""
    return struct.pack(">I4s", _BOX_HEAD + sum(map(len, parts)), kind) + b"".join(parts)


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def video_header(video: AvcFormat | H265Format, timescale: int) -> bytes:
    """The initialization segment of a track of H.264 or H.265."""
    looks = struct.pack(">16xHHIIIH32xHh", video.width, video.height, 0x48_0000, 0x48_0000, 0, 1, 0x18, -1)
    kind, record = (b"avc1", _avc_record(video)) if isinstance(video, AvcFormat) else (b"hvc1", _h265_record(video))
    entry = box(kind, struct.pack(">6xH", 1), looks, record)
    size = video.width << 16, video.height << 16
    return _header(VIDEO_TRACK, timescale, b"vide", _full(b"vmhd", 0, 1, bytes(8)), entry, size, volume=0)


def _avc_record(video: AvcFormat) -> bytes:
    sps, pps = video.sps, video.pps
    record = struct.pack(">B3sBBH", 1, sps[1:4], 0xFF, 0xE1, len(sps)) + sps + struct.pack(">BH", 1, len(pps)) + pps
    if sps[1] in (100, 110, 122, 144):
        # chroma 4:2:0 and 8 bits, as house formats are; the array of SPS extensions is empty (14496-15, 5.3.3.1.2).
        record += bytes((0xFD, 0xF8, 0xF8, 0))
    return box(b"avcC", record)


def _h265_record(video: H265Format) -> bytes:
    """Unknown are the least size of a slice, how decoding may be shared out, and the average frame rate (14496-15, 8.3.3.1.3)."""
    shape = bytes((0xFC | video.chroma, 0xF8 | video.depths[0], 0xF8 | video.depths[1]))
    layers = video.temporal_layers << 3 | video.is_nested << 2 | 3
    record = b"\x01" + video.profile_tier_level + b"\xf0\x00\xfc" + shape + struct.pack(">HBB", 0, layers, len(video.sets))
    return box(b"hvcC", record, *(struct.pack(">BHH", 0x80 | kind, 1, len(nal)) + nal for kind, nal in video.sets))


def audio_header(audio: AacFormat, timescale: int) -> bytes:
    """The initialization segment of a track of AAC."""
    config = _descriptor(0x05, audio.specific_config)
    decoder = _descriptor(0x04, struct.pack(">BBxHII", 0x40, 0x15, 0, 0, 0), config)
    esds = _full(b"esds", 0, 0, _descriptor(0x03, struct.pack(">HB", 0, 0), decoder, _descriptor(0x06, b"\x02")))
    rate = audio.sample_rate if audio.sample_rate < 1 << 16 else 0  # the field has 16 bits; `esds` has the truth
    sound = struct.pack(">8xHHIHxx", audio.channels, 16, 0, rate)
    entry = box(b"mp4a", struct.pack(">6xH", 1), sound, esds)
    return _header(AUDIO_TRACK, timescale, b"soun", _full(b"smhd", 0, 0, bytes(4)), entry, (0, 0), volume=0x0100)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """A descriptor of MPEG-4 systems; ours are all shorter than 128 bytes (14496-1, 8.3.3)."""
    return bytes((tag, sum(map(len, parts)))) + b"".join(parts)


def _header(track: int, timescale: int, kind: bytes, media: bytes, entry: bytes, size: tuple[int, int], *, volume: int) -> bytes:
    nothing = bytes(4)
    tables = (_full(name, 0, 0, nothing) for name in (b"stts", b"stsc", b"stco"))
    samples = box(b"stbl", _full(b"stsd", 0, 0, struct.pack(">I", 1), entry), *tables, _full(b"stsz", 0, 0, bytes(8)))
    here = box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
    handler = _full(b"hdlr", 0, 0, nothing, kind, bytes(12), b"\x00")
    clock = _full(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, timescale, 0, _UNDETERMINED, 0))
    place = struct.pack(">IIII", 0, 0, track, 0) + struct.pack(">IIIHHHH", 0, 0, 0, 0, 0, volume, 0) + _MATRIX + struct.pack(">II", *size)
    trak = box(b"trak", _full(b"tkhd", 0, 7, place), box(b"mdia", clock, handler, box(b"minf", media, here, samples)))
    movie = struct.pack(">IIIIIH", 0, 0, timescale, 0, 0x10000, 0x0100) + bytes(10) + _MATRIX + bytes(24) + struct.pack(">I", track + 1)
    extends = box(b"mvex", _full(b"trex", 0, 0, struct.pack(">IIIII", track, 1, 0, 0, 0)))
    brands = box(b"ftyp", b"iso6", nothing, b"iso6", b"cmfc", b"dash", b"mp41")
    return brands + box(b"moov", _full(b"mvhd", 0, 0, movie), trak, extends)


def segment(track: int, sequence: int, samples: Samples) -> list[bytes]:
    """A media segment of one fragment, in pieces to be written one after the other. `sequence` counts fragments."""
    sizes = np.fromiter(map(len, samples.payloads), dtype=np.int64, count=len(samples.payloads))
    total = int(sizes.sum())
    columns, flags = [sizes], _DATA_OFFSET | _SIZES
    defaults, fixed = _DEFAULT_BASE_IS_MOOF, b""
    if isinstance(samples.durations, int):
        defaults, fixed = defaults | _DEFAULT_DURATION, struct.pack(">I", samples.durations)
    else:
        columns, flags = [samples.durations, *columns], flags | _DURATIONS
    if samples.flags is None:
        defaults, fixed = defaults | _DEFAULT_FLAGS, fixed + struct.pack(">I", SYNC)
    else:
        columns, flags = [*columns, samples.flags], flags | _FLAGS
    if samples.offsets is not None:
        columns, flags = [*columns, samples.offsets], flags | _OFFSETS
    table = np.stack(columns, axis=1).astype(">u4").tobytes()
    head = _full(b"tfhd", 0, defaults, struct.pack(">I", track), fixed)
    time = _full(b"tfdt", 1, 0, struct.pack(">Q", samples.begins_at))

    def moof(data_at: int) -> bytes:
        # Version 1: composition offsets are signed (8.8.8.1).
        run = _full(b"trun", 1, flags, struct.pack(">II", len(sizes), data_at), table)
        return box(b"moof", _full(b"mfhd", 0, 0, struct.pack(">I", sequence & 0xFFFF_FFFF)), box(b"traf", head, time, run))

    begin = moof(len(moof(0)) + _BOX_HEAD)
    styp = box(b"styp", b"msdh", bytes(4), b"msdh", b"cmfs")
    return [styp + begin + struct.pack(">I4s", _BOX_HEAD + total, b"mdat"), *samples.payloads]
