"""What of a profile's chain of filters acts before the house format is made.

Rule: the house's own chain works on pictures in memory, so that pictures go to the hardware only where a filter of it wants them, and come
back behind it; what would change the time of a live source is left out. Pure.
"""

import re
from dataclasses import dataclass

from channeld.relay.effect_table import CARRIERS, HARDWARE_FILTERS, TIMELESS
from channeld.relay.filtergraph import filters_of

_HARDWARE = re.compile("nvenc|cuvid|cuda|vaapi|qsv")
_HARDWARE_FORMATS = frozenset(("cuda", "vaapi", "qsv"))
_BACK = "hwdownload,format=nv12"
_MEMORY = "the house format is made in memory, and channeld takes its pictures to the encoder"


@dataclass(frozen=True, slots=True)
class Chain:
    """What is left of a chain, whether it works on the hardware, and what was left out, with the reason."""

    text: str
    is_on_hardware: bool
    left_out: tuple[tuple[str, str], ...]


def hardware_words(text: str) -> bool:
    """Whether it names hardware."""
    return _HARDWARE.search(text) is not None


def said_chain(text: str, medium: str, *, has_hardware: bool, absent: str = "there is no hardware in this profile") -> Chain:
    """What of it acts. `absent`: why hardware is not there, where it is not."""
    said = [(one.partition("=")[0], one) for one in filters_of(text, medium)]
    left_out = [(name, TIMELESS[name]) for name, _ in said if name in TIMELESS]
    said = [(name, one) for name, one in said if name not in TIMELESS]
    places = [name for name, _ in said if name in HARDWARE_FILTERS | CARRIERS]
    if has_hardware and HARDWARE_FILTERS & set(places):
        kept = [one for _, one in said] + ([_BACK] if places[-1] != "hwdownload" else [])
        return Chain(",".join(kept), True, tuple(left_out))
    kept = []
    for name, one in said:
        if name in HARDWARE_FILTERS or name in CARRIERS:
            left_out.append((name, absent if name in HARDWARE_FILTERS or not has_hardware else _MEMORY))
        elif name == "format":
            kept += _in_memory(one)
        else:
            kept.append(one)
    return Chain(",".join(kept), False, tuple(left_out))


def _in_memory(one: str) -> list[str]:
    """A format without those of hardware."""
    name, _, formats = one.partition("=pix_fmts=")
    left = [each for each in formats.split("|") if each not in _HARDWARE_FORMATS]
    return [f"{name}=pix_fmts={'|'.join(left)}"] if left else []
