"""Figures of a channel's live sources, and how far behind them the air and the newest HLS segment are.

Rule: a delay is told only for what can be measured here: from the moment at which a picture's block came from the process that takes the
source in. What happened to it before (camera, network, FFmpeg) no upstream tells in a way that FFmpeg passes on. All moments are of the
machine's monotonic clock, which its processes share. Control loop's thread.
"""

from pathlib import Path
from typing import Any

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import FrameRate
from channeld.channel.means import Means
from channeld.channel.settings import ChannelSettings, ServedTarget


class SourceFigures:
    """Of one channel's sources: the newest that each of them told, and the newest of the air."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}
        self._air: dict[str, Any] = {}

    def told(self, name: str, progress: dict[str, Any]) -> None:
        """A source's process told its figures."""
        self._told[name] = progress

    def aired(self, progress: dict[str, Any]) -> None:
        """The host told how far the air is."""
        self._air = progress

    def of(self, name: str) -> dict[str, Any]:
        """What a source's process told last; empty before it did."""
        return self._told.get(name, {})

    def described(self, name: str, fps: FrameRate, segment_wait_s: float | None) -> dict[str, Any] | None:
        """As people see it; None before anything was told. Delays and drift only of what airs now."""
        told = self._told.get(name)
        if told is None:
            return None
        delay_s = self._air_delay_s(told, fps)
        has_segments = delay_s is not None and segment_wait_s is not None
        return {
            "bits_per_s": told.get("bits_per_s"),
            "losses": told.get("losses") or {},
            "jitter_ms": told.get("jitter_ms"),
            "reconnects": told.get("reconnects", 0),
            "air_delay_s": None if delay_s is None else round(delay_s, 3),
            "segment_delay_s": round((delay_s or 0.0) + (segment_wait_s or 0.0), 3) if has_segments else None,
            "drift_ms": self._air.get("drift_ms") if delay_s is not None else None,
        }

    def _air_delay_s(self, told: dict[str, Any], fps: FrameRate) -> float | None:
        """From the arrival of the picture that is due next to its release; pictures come at their rate. None for what is not on air."""
        mark, clip = told.get("mark"), self._air.get("live_clip")
        if mark is None or clip is None or Path(clip).stem != mark[0]:
            return None
        newest = int(mark[1]) - 1
        came_s = int(mark[2]) / NS_PER_SECOND - float(fps.seconds(newest - int(self._air["frames"])))
        return max(0.0, int(self._air["due_ns"]) / NS_PER_SECOND - came_s)


def segment_wait_s(settings: ChannelSettings, means: Means) -> float | None:
    """How long the first picture of the newest segment waited, from its release to the manifest that names it; None without HLS."""
    targets = (each for each in settings.targets if isinstance(each, ServedTarget) and each.type == "hls" and each.enabled)
    first = next(targets, None)
    waited_s = means.media.state(settings.id, first.name).get("segment_wait_s") if first is not None else None
    return None if waited_s is None else float(waited_s)
