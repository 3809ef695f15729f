"""Parameter sets of clips, as tests of live sources compare them."""

import subprocess

from channeld.ts.index import Block
from channeld.ts.nal import ParameterSets


def sets_of(blocks: list[Block]) -> set[bytes]:
    """Every different SPS and PPS of a clip, as FFmpeg's demuxer hands the pictures on."""
    argv = ["ffmpeg", "-v", "error", "-f", "mpegts", "-i", "-", "-map", "0:v", "-c", "copy", "-f", "h264", "-"]
    ts = b"".join(block.packets.tobytes() for block in blocks)
    pictures = subprocess.run(argv, input=ts, capture_output=True, timeout=60, check=True).stdout
    return {unit.rstrip(b"\0") for unit in pictures.split(b"\0\0\1") if unit and unit[0] & 31 in (7, 8)}


def reference_of(sets: set[bytes]) -> ParameterSets:
    sps, pps = sorted(sets)  # 0x67, 0x68
    return ParameterSets(sps, pps)
