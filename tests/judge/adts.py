"""What is inside the audio's PES packets: ADTS frames of AAC.

Rule: ISO/IEC 13818-7, 6.2: every frame 1024 samples, 48 kHz, stereo; nothing before, between or after the frames.
"""

import numpy as np

from .steps import Ints, listing
from .ts_pes import Units

_RATE_48K = 3
_HEADER_BYTES = 7


def read_audio(units: Units, *, one_frame_each: bool) -> tuple[Ints, list[str]]:
    """Number of ADTS frames in each unit, and the faults."""
    padded = np.append(units.content, np.zeros(_HEADER_BYTES, dtype=np.uint8))
    at, frames = units.begins.copy(), np.zeros(len(units), dtype=np.int64)
    wrong: dict[str, list[int]] = {}
    left = np.flatnonzero(at < units.ends)
    while len(left):
        header = padded[at[left, None] + np.arange(_HEADER_BYTES)].astype(np.int64)
        length = ((header[:, 3] & 3) << 11) | (header[:, 4] << 3) | (header[:, 5] >> 5)
        named = {
            "no ADTS header": (header[:, 0] != 0xFF) | (header[:, 1] & 0xF6 != 0xF0) | (length < _HEADER_BYTES),
            "audio is not 48 kHz": (header[:, 2] >> 2 & 15) != _RATE_48K,
            "audio is not stereo": ((header[:, 2] & 1) << 2 | header[:, 3] >> 6) != 2,
            "ADTS frame has more than 1024 samples": header[:, 6] & 3 != 0,
            "ADTS frame reaches beyond its unit": at[left] + length > units.ends[left],
        }
        for name, where in named.items():
            if where.any():
                wrong.setdefault(name, []).extend(left[where].tolist())
        usable = ~named["no ADTS header"] & ~named["ADTS frame reaches beyond its unit"]
        left, length = left[usable], length[usable]
        frames[left] += 1
        at[left] += length
        left = left[at[left] < units.ends[left]]
    if one_frame_each and (frames != 1).any():
        wrong["unit has not exactly one ADTS frame"] = np.flatnonzero(frames != 1).tolist()
    return frames, [f"{name}: unit {listing(places)}" for name, places in wrong.items()]
