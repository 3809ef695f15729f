"""Whether what a live source sends is worth airing, from what FFmpeg's detectors say of it.

Rule: freezes and silences are told when they have lasted as long as the rules say, a black picture as soon as it begins. Sans-I/O:
the caller has the clock.
"""

import re

from channeld.media.picture_rules import PictureRules
from channeld.sources.spec import Reason

# With "=": the note beside a picture. blackdetect's own line has ":", and comes when all is over.
_EVENT = re.compile(r"freezedetect\.freeze_(?P<frozen>start|end):|lavfi\.black_(?P<black>start|end)=|silence_(?P<silent>start|end):")
_REASONS = {"frozen": Reason.FROZEN, "black": Reason.BLACK, "silent": Reason.SILENT}
_DETAILS = {"frozen": "the picture stands still for {:g} s", "black": "the picture is black for {:g} s", "silent": "no sound for {:g} s"}


class PictureWatch:
    """One connection's. Not thread-safe."""

    def __init__(self, rules: PictureRules) -> None:
        self._limits_s = {"black": rules.black_s, "frozen": rules.frozen_s, "silent": rules.silent_s}
        self._since_s: dict[str, float] = {}
        self._mute_since_s: float | None = None

    def begin_mute(self, now_s: float) -> None:
        """It begins, and has no sound at all: no detector listens."""
        self._mute_since_s = now_s

    def feed(self, line: str, now_s: float) -> None:
        """Take one line of FFmpeg's stderr."""
        match = _EVENT.search(line)
        if match is None:
            return
        name = match.lastgroup or ""
        if match[name] == "start":
            self._since_s.setdefault(name, now_s)
        else:
            self._since_s.pop(name, None)

    def trouble(self, now_s: float) -> tuple[Reason, str] | None:
        """What is wrong with it now, and in words; None for nothing. A black picture stands still, too: it is called black."""
        for name, limit_s in self._limits_s.items():
            since_s = self._since_s.get(name)
            if limit_s is None or since_s is None:
                continue
            if name != "black" or now_s - since_s >= limit_s:
                return _REASONS[name], _DETAILS[name].format(limit_s)
        limit_s = self._limits_s["silent"]
        if self._mute_since_s is not None and limit_s is not None and now_s - self._mute_since_s >= limit_s:
            return Reason.SILENT, _DETAILS["silent"].format(limit_s)
        return None
