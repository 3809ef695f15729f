"""Marks that survive an encoder: a number in every picture, and a flash with a beep at every second.

Rule: the one who draws and the one who reads share only the layout in this module. The picture is a grid of 8 × 8 cells:
row 0 black and white in turn (calibration), rows 1–3 the 24 bits of the number, rows 4–6 their inverse, row 7 the flash
on its left half and a moving ramp on its right.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .decode import SAMPLE_RATE, Gray, Samples

CELLS = 8
NUMBER_BITS = 24
TONE_HZ, BEEP_HZ = 400, 2000
"""Both have whole periods in the 5 ms over which a beep is looked for, so the tone does not disturb."""
FIRST_MARK_S = Fraction(6, 25)
"""Marks stand at 0.24 s, 1.24 s, … (the next frame from there): away from the joins, where fades and the audio grid would blur them."""
MARK_LENGTH_S = Fraction(1, 10)

_BLACK, _WHITE = 24, 228
_BEEP_AMPLITUDE, _TONE_AMPLITUDE = 0.5, 0.1
_WINDOW = SAMPLE_RATE * 5 // 1000
_LEAST_BEEP = 0.02
_MIDDLE = np.linspace(0.3, 0.7, 5)


def mark_frames(frames: int, fps: Fraction) -> list[int]:
    """The first frame of every mark; its own time is the mark's exact instant."""
    found: list[int] = []
    while (frame := -(-(FIRST_MARK_S + len(found)) * fps // 1)) < frames:
        found.append(int(frame))
    return found


def draw(number: int, size: tuple[int, int], *, flash: bool) -> Gray:
    """One picture, width × height."""
    bits = np.array([number >> at & 1 for at in range(NUMBER_BITS - 1, -1, -1)], dtype=bool).reshape(3, CELLS)
    cells = np.zeros((CELLS, CELLS), dtype=bool)
    cells[0] = np.arange(CELLS) % 2
    cells[1:4], cells[4:7] = bits, ~bits
    cells[7, :4] = flash
    shades = np.where(cells, _WHITE, _BLACK).astype(np.uint8)
    width, height = size
    rows, columns = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    picture: Gray = shades[rows][:, columns]
    ramp = (np.arange(width) * 2 + number * 5) % 160 + 48
    corner = np.ix_(rows == CELLS - 1, columns >= CELLS // 2)
    picture[corner] = ramp[columns >= CELLS // 2]
    return picture


def pictures(frames: int, fps: Fraction, size: tuple[int, int], base: int) -> Iterator[Gray]:
    """All pictures of a clip, numbered from `base`."""
    length = max(1, int(MARK_LENGTH_S * fps))
    lit = {frame + more for frame in mark_frames(frames, fps) for more in range(length)}
    for frame in range(frames):
        yield draw(base + frame, size, flash=frame in lit)


def sound(frames: int, fps: Fraction, rate: int, *, tone_hz: int = TONE_HZ) -> NDArray[np.float32]:
    """The clip's sound: a quiet tone, with a beep from the instant of every flash. One channel, full scale 1.0."""
    time_s = np.arange(int(frames / fps * rate)) / rate
    samples = _TONE_AMPLITUDE * np.sin(2 * np.pi * tone_hz * time_s)
    for frame in mark_frames(frames, fps):
        begin = float(frame / fps)
        beeping = (time_s >= begin) & (time_s < begin + float(MARK_LENGTH_S))
        samples[beeping] += _BEEP_AMPLITUDE * np.sin(2 * np.pi * BEEP_HZ * (time_s[beeping] - begin))
    return samples.astype(np.float32)


def read_number(picture: Gray, aspect: Fraction | None = None) -> int | None:
    """The number in a picture, or None where there is none to trust. `aspect`: of the drawn area, if letterboxed or pillarboxed."""
    levels = _levels(picture, aspect)
    dark, light = levels[0, 0::2].max(), levels[0, 1::2].min()
    if light - dark < 48:
        return None
    bits, inverse = levels[1:4] > (light + dark) / 2, levels[4:7] > (light + dark) / 2
    if not np.array_equal(bits, ~inverse):
        return None
    return int("".join("1" if bit else "0" for bit in bits.flat), 2)


def has_flash(picture: Gray, aspect: Fraction | None = None) -> bool:
    """The flash of a mark is on."""
    levels = _levels(picture, aspect)
    return bool(levels[7, :4].mean() > (levels[0, 0::2].mean() + levels[0, 1::2].mean()) / 2)


def _levels(picture: Gray, aspect: Fraction | None) -> NDArray[np.float64]:
    """Mean brightness in the middle of every cell, 8 × 8."""
    height, width = picture.shape
    full = Fraction(width, height)
    shown = aspect or full
    inner_width = float(width * min(Fraction(1), shown / full))
    inner_height = float(height * min(Fraction(1), full / shown))
    places = (np.arange(CELLS)[:, None] + _MIDDLE).ravel() / CELLS
    rows = ((height - inner_height) / 2 + places * inner_height).astype(np.int64)
    columns = ((width - inner_width) / 2 + places * inner_width).astype(np.int64)
    samples = picture[rows[:, None], columns].astype(np.float64)
    levels: NDArray[np.float64] = samples.reshape(CELLS, 5, CELLS, 5).mean(axis=(1, 3))
    return levels


def flash_onsets(pictures_seen: Iterable[Gray], aspect: Fraction | None = None) -> list[int]:
    """Numbers of the pictures with which a flash begins."""
    lit = np.array([has_flash(picture, aspect) for picture in pictures_seen], dtype=bool)
    return np.flatnonzero(lit & ~np.concatenate(([False], lit[:-1]))).tolist() if len(lit) else []


def beep_onsets(samples: Samples) -> list[float]:
    """Instants at which a beep begins, in seconds from the first sample of 48 kHz."""
    mono = samples.mean(axis=1, dtype=np.float64)
    if len(mono) < 2 * _WINDOW:
        return []
    turned = mono * np.exp(-2j * np.pi * BEEP_HZ / SAMPLE_RATE * np.arange(len(mono)))
    total = np.concatenate(([0], np.cumsum(turned)))
    # Over a window centred on an instant; half of the plateau is reached exactly at the onset.
    level = 2 * np.abs(total[_WINDOW:] - total[:-_WINDOW]) / _WINDOW
    plateau = max(float(level.max()) / 2, _LEAST_BEEP)
    crossings = np.flatnonzero((level[1:] >= plateau) & (level[:-1] < plateau)) + 1
    # A beep may waver within its length, but begins once.
    again = int(SAMPLE_RATE * MARK_LENGTH_S * 3 / 2)
    crossings = crossings[np.diff(crossings, prepend=-again) >= again]
    half_mark = int(SAMPLE_RATE * MARK_LENGTH_S / 2)
    # A clip normalised to another level than its neighbours has its own plateau.
    refined = [_refine(level, at, half_mark) for at in crossings.tolist()]
    return [(at + _WINDOW / 2) / SAMPLE_RATE for at in refined]


def _refine(level: NDArray[np.float64], at: int, length: int) -> float:
    """Where the rise around `at` reaches half of its own plateau, in samples."""
    half = float(np.median(level[at + _WINDOW : at + length])) / 2 if at + length < len(level) else float(level[at])
    first = max(at - 2 * _WINDOW, 0)
    above = np.flatnonzero(level[first : at + 2 * _WINDOW] >= half)
    return first + float(above[0]) if len(above) else float(at)
