"""Where a prepared clip is silent and where its picture stands still, heard and seen while it is prepared.

Rule: measured behind all other filters, so it is what airs; told in seconds from the clip's start, rounded, and never more than
MAX_SPANS of each, however often a speaker pauses. Sans-I/O; read back by the watch on what is on air.

A silence here is louder (-45 dB) and a still picture less still (0.2 %) than what counts on air (-55 dB, 0.1 %): what lies between is
nobody's fault.
"""

import itertools
import re

MAX_SPANS = 400
LEAST_S = 0.4
"""Half of what counts as silence in the shortest segment, of a second: a clip that beeps once a second is silent in most of each."""
SILENCE_FILTER = f"silencedetect=n=-45dB:d={LEAST_S:g}"
STILL_FILTER = f"freezedetect=n=0.002:d={LEAST_S:g}"
_EVENT = re.compile(r"(silence|freezedetect\.freeze)_(start|end): (-?\d{1,15}(?:\.\d+)?)")
_NAMES = {"silence": "silent", "freezedetect.freeze": "still"}

Spans = list[list[float]]


class StillnessLog:
    """Takes FFmpeg's lines as they come. Not thread-safe."""

    def __init__(self) -> None:
        self._spans: dict[str, Spans] = {name: [] for name in _NAMES.values()}
        self._begun: dict[str, float] = {}

    def feed(self, line: str) -> None:
        """Take one line of FFmpeg's stderr."""
        match = _EVENT.search(line)
        if match is None:
            return
        name, at_s = _NAMES[match[1]], max(0.0, float(match[3]))
        if match[2] == "start":
            self._begun[name] = at_s
        elif name in self._begun:
            self._spans[name].append([self._begun.pop(name), at_s])

    def facts(self, length_s: float) -> dict[str, Spans]:
        """`silent` and `still`, in seconds within a clip of this length; what has not ended lasts to its end."""
        found = {}
        for name, spans in self._spans.items():
            ended = [*spans, *([[self._begun[name], length_s]] if name in self._begun else [])]
            within = [[round(begin, 2), round(min(end, length_s), 2)] for begin, end in ended if begin < length_s]
            found[name] = _fewer(within)
        return found


def _fewer(spans: Spans) -> Spans:
    """At most MAX_SPANS: the shortest gaps between them are closed, so that too much is called quiet rather than too little."""
    if len(spans) <= MAX_SPANS:
        return spans
    gaps = sorted(after[0] - before[1] for before, after in itertools.pairwise(spans))
    closed_s = gaps[len(spans) - MAX_SPANS - 1]
    merged = [list(spans[0])]
    for begin, end in spans[1:]:
        if begin - merged[-1][1] <= closed_s:
            merged[-1][1] = end
        else:
            merged.append([begin, end])
    return merged
