"""How loud a clip is, measured, and the one gain that brings it to the profile's loudness.

Rule: one linear gain for the whole clip (dynamics stay), capped, and a limiter only where the gain would clip; silence is left alone.
Source: EBU R 128 (integrated loudness, true peak). Blocking; run by prepare jobs.
"""

import contextlib
import math
import re
from dataclasses import dataclass, replace

from channeld.base.errors import ChildExited, ChildKilled
from channeld.media import child
from channeld.media.ffmpeg_args import Sound, Voice, measure_args
from channeld.media.tools import Tools

SILENCE_LUFS = -70.0
MAX_GAIN_DB = 20.0
PEAK_DBTP = -1.0
SAMPLED_FROM_S = 300.0
WINDOWS = 6
WINDOW_S = 4.0
STALL_S = 30.0

_LUFS = re.compile(r"^\s*I:\s+(-?\d{1,9}(?:\.\d+)?|-?inf|nan) LUFS")
_PEAK = re.compile(r"^\s*Peak:\s+(-?\d{1,9}(?:\.\d+)?|-?inf|nan) dBFS")


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP; `is_sampled` when only windows of a long clip were heard.

    `has_changed`: the sound has more than one sample rate, or number of channels, and the loudness is that of its last part.
    """

    lufs: float
    peak_dbtp: float
    is_sampled: bool = False
    has_changed: bool = False


def measure(voice: Voice, length_s: float, tools: Tools, *, urgent: bool = False, should_stop: child.Stop = child.never) -> Loudness:
    """Loudness of the clip as planned. An urgent clip over five minutes is heard in windows, so that it may air within seconds."""
    if not urgent or length_s <= SAMPLED_FROM_S or voice.plan.jump_s is not None:  # behind a jump no moment is found by its time
        return _hear(voice, length_s, tools, should_stop)
    windows = []
    for number in range(WINDOWS):
        at_s = voice.plan.origin_s + (number + 0.5) * length_s / WINDOWS
        window = replace(voice, plan=replace(voice.plan, origin_s=at_s, seek_s=max(0.0, at_s - 1.0)))
        windows.append(_hear(window, WINDOW_S, tools, should_stop))
    return combine(windows)


def combine(windows: list[Loudness]) -> Loudness:
    """Energy mean of windows, without those more than 10 LU below the mean, as R 128 gates."""
    heard = [window.lufs for window in windows if window.lufs > SILENCE_LUFS]
    if not heard:
        return Loudness(SILENCE_LUFS, max(window.peak_dbtp for window in windows), True)
    mean = _energy_mean(heard)
    return Loudness(_energy_mean([lufs for lufs in heard if lufs >= mean - 10.0]), max(window.peak_dbtp for window in windows), True)


def level(loudness: Loudness, target_lufs: float) -> Sound:
    """The gain to the target, and whether a limiter must catch peaks above -1 dBTP."""
    if loudness.lufs <= SILENCE_LUFS:
        return Sound()
    gain_db = round(min(MAX_GAIN_DB, target_lufs - loudness.lufs), 2)
    # Between the windows of a sampled clip there may be any peak.
    return Sound(gain_db, loudness.is_sampled or loudness.peak_dbtp + gain_db > PEAK_DBTP)


def _energy_mean(levels: list[float]) -> float:
    return 10 * math.log10(sum(10 ** (value / 10) for value in levels) / len(levels))


def _hear(voice: Voice, length_s: float, tools: Tools, should_stop: child.Stop) -> Loudness:
    return child.twice(lambda: _hear_once(voice, length_s, tools, should_stop))


def _hear_once(voice: Voice, length_s: float, tools: Tools, should_stop: child.Stop) -> Loudness:
    found = {"lufs": SILENCE_LUFS, "peak": -120.0, "parts": 0.0}

    def take(line: str) -> None:
        if match := _LUFS.match(line):
            found["lufs"] = _finite(match[1], SILENCE_LUFS)
            found["parts"] += 1  # the filter sums up each time it is begun anew
        elif match := _PEAK.match(line):
            found["peak"] = _finite(match[1], -120.0)

    argv = measure_args(voice, length_s, tools)
    alive = child.stream(argv, on_line=take, stall_s=STALL_S, should_stop=should_stop)
    # An exit status here means that no sample decoded: silence to us, and prepare judges it.
    try:
        with contextlib.closing(alive):
            for _ in alive:
                pass
    except ChildKilled:
        raise
    except ChildExited:
        pass
    return Loudness(found["lufs"], found["peak"], has_changed=found["parts"] > 1)


def _finite(text: str, fallback: float) -> float:
    value = float(text)
    return value if math.isfinite(value) else fallback
