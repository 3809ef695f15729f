"""Is a series of timestamps a constant-rate grid, to the tick?

Rule: judged against the whole series, so that a drift of less than a tick a step is found as well as a jump.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SHOWN = 5


def listing(places: Sequence[object]) -> str:
    """The first few places and how many more there are, for a sentence."""
    shown = ", ".join(str(place) for place in places[:_SHOWN])
    return shown if len(places) <= _SHOWN else f"{shown} and {len(places) - _SHOWN} more"


def grid_faults(ticks: Ints, step: Fraction, *, what: str, slack: int = 0, index: Ints | None = None) -> list[str]:
    """Sentences on where `ticks` is not floor(phase + index × step) for any one phase.

    `ticks` and `step` share a unit. `index` (default 0, 1, 2 …) counts the steps before each value. `slack` is how far
    a muxer's rounding may spread the values, peak to peak, in the same unit; 0 accepts the exact pattern only (where a
    half may have gone up or down).
    """
    if len(ticks) < 2:
        return []
    count = np.arange(len(ticks), dtype=np.int64) if index is None else index.astype(np.int64)
    # Scaled by the denominator the pattern of a rational rate stays in whole numbers.
    scaled = (ticks - ticks[0]) * step.denominator - (count - count[0]) * step.numerator
    # One part more for fractional steps: muxers round a half away from zero, so up at positive and down at negative times.
    limit = step.denominator * (1 + slack) + (step.denominator > 1)
    wrong = np.flatnonzero(np.abs(np.diff(scaled)) >= limit)
    if len(wrong):
        steps = np.diff(ticks)
        places = [f"unit {at + 1} by {steps[at]}" for at in wrong.tolist()]
        return [f"{what} does not step by {_shown(step)}: {listing(places)}"]
    spread = np.maximum.accumulate(scaled) - np.minimum.accumulate(scaled)
    late = np.flatnonzero(spread >= limit)
    if len(late):
        return [f"{what} leaves its grid of {_shown(step)} at unit {late[0]}, by {float(spread[-1]) / step.denominator:.2f} in the end"]
    return []


def _shown(step: Fraction) -> str:
    return str(step.numerator) if step.denominator == 1 else f"{float(step):.3f}"


def unwrap(values: Ints, bits: int, *, near: int | None = None) -> Ints:
    """Undo wrapping at 2**bits, taking each step as the nearest; the first value is put next to `near` if given."""
    if not len(values):
        return values
    cycle = 1 << bits
    start = int(values[0])
    if near is not None:
        start = near + (start - near + cycle // 2) % cycle - cycle // 2
    moves = (np.diff(values) + cycle // 2) % cycle - cycle // 2
    return np.concatenate(([start], start + np.cumsum(moves))).astype(np.int64)
