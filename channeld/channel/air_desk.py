"""A channel's air, as control has it: opened on its host, gone on with by another host, given back.

Rule: the ring outlives hosts and control. Whoever opens the air goes on from the ring that there is, and begins a new timeline
only where there is none, or where it is of other settings or too old. Control loop's thread only.

| what                   | made by                     | closed by                                  |
|------------------------|-----------------------------|--------------------------------------------|
| air                    | host, on `start`            | host, on `stop`                            |
| ring, writable         | host; kept here and by the holder | AirDesk.forget, once the air is closed |
| ring, read-only        | host; kept by the media hub | media hub                                  |
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

import structlog

from channeld.channel.continuity import Continuity
from channeld.channel.life import Life
from channeld.channel.listing import Listing
from channeld.channel.means import Means
from channeld.channel.planner import Planner
from channeld.channel.settings import ChannelSettings
from channeld.media.profile import COMPOSITION_DELAY
from channeld.ts.nal import VideoCodec

START_LEAD_S = 2.0
AIR_POLL_S = 0.05
PATIENCE_S = 2.0
MAX_LATE_S = 10.0
RING_PREFIX = "ring:"
"""A ring that stood still for longer is not gone on with: what is late would come as a flood."""
MUX_OVERHEAD = 1.35
"""Room in the ring for TS packets' stuffing, PSI and bitrate peaks."""

log = structlog.get_logger()


class AirDesk:
    """Opens and closes one channel's air. `leaves()`: what was on air is not gone on with, when another host goes on."""

    def __init__(
        self,
        settings: ChannelSettings,
        means: Means,
        planner: Planner,
        life: Life,
        continuity: Continuity,
        listing: Listing,
        *,
        leaves: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._means = means
        self._planner = planner
        self._life = life
        self._continuity = continuity
        self._listing, self._leaves = listing, leaves
        self._ring_fd: int | None = None
        self._request = self._newest_ring_id = 0

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings, that what is on air can go on with."""
        self._settings = settings

    def open(self) -> None:
        """Have the host begin, or go on; when it is away, or still clears away what a crash left, as soon as it can."""
        self._request += 1
        self._try(self._request)

    def cancel(self) -> None:
        """Open nothing more."""
        self._request += 1

    def _try(self, request: int) -> None:
        if request != self._request:
            return
        if not self._life.has_air and self._planner.filler is not None and self._means.host.is_ready(self._settings.id):
            ring = self._ring()
            # A moment's patience: clips that are prepared already would be passed over while nobody has looked for them.
            # A list that cannot be read is not waited for.
            is_faulty = self._listing.fault is not None
            if ring is not None or self._planner.rundown.is_looked_up() or is_faulty or self._life.age_s > PATIENCE_S:
                self._life.has_air = self._send_start(ring)
            if self._life.has_air:
                return
        self._means.loop.later(AIR_POLL_S, lambda: self._try(request))

    def _ring(self) -> int | None:
        """The ring there is, if any: ours, or one that an earlier control left with the holder."""
        if self._ring_fd is None:
            with contextlib.suppress(KeyError):
                self._ring_fd = self._means.holder.borrow(self._ring_name)
        return self._ring_fd

    @property
    def _ring_name(self) -> str:
        return f"{RING_PREFIX}{self._settings.id}"

    def _send_start(self, ring: int | None) -> bool:
        values = self._start_values()
        if ring is None:
            return self._means.host.send("start", sources=self._planner.open(self._continuity.resume()), **values)
        after, sources = self._planner.again()
        values |= {"adopt": True, "leave": self._leaves(), "max_late_s": MAX_LATE_S}
        return self._means.host.send("start", (ring,), after=after, sources=sources, **values)

    def _start_values(self) -> dict[str, Any]:
        settings, profile, filler = self._settings, self._settings.profile, self._planner.filler
        if filler is None:
            raise RuntimeError(f"channel {settings.id} opens without its filler")
        ring_id = time.monotonic_ns()
        return {
            "channel": settings.id,
            "ring_id": ring_id,
            "fps": [profile.fps.num, profile.fps.den],
            "composition_delay": COMPOSITION_DELAY,
            "origin": settings.origin_ticks,
            "bitrate": int((profile.video_bitrate + profile.audio_bitrate) * MUX_OVERHEAD),
            "ring_seconds": settings.ring_s,
            "start_lead_s": START_LEAD_S,
            "follows": self._newest_ring_id,
            "timeline": self._timeline(ring_id),
            "fingerprint": self.fingerprint,
            "filler": {"ts": str(filler.ts_path), "idx": str(filler.idx_path)},
        }

    def opened(self, ring_id: int) -> str:
        """It is on air with this ring, of which later ones may say that they follow it; the name of its timeline."""
        self._newest_ring_id = ring_id
        return self._timeline(ring_id)

    def _timeline(self, ring_id: int) -> str:
        return f"{self._settings.id}-{ring_id}"

    @property
    def has_ring(self) -> bool:
        """Another host could go on."""
        return self._ring_fd is not None

    @property
    def fingerprint(self) -> str:
        """Of the settings that a timeline cannot change."""
        settings = self._settings
        text = repr((settings.id, settings.profile, settings.origin_ticks, str(settings.filler), settings.ring_s, MUX_OVERHEAD))
        if settings.profile.codec is not VideoCodec.H264:  # not told otherwise: an air that a channeld before this one began goes on
            text += settings.profile.codec
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def keep(self, ring_fd: int) -> None:
        """The host's ring, writable: what another host goes on from. Owned here from now on."""
        if self._ring_fd is not None:
            os.close(self._ring_fd)
        self._ring_fd = ring_fd
        self._means.holder.keep_fd(self._ring_name, ring_fd)

    def lend(self) -> int | None:
        """A read-only descriptor of the ring there is, owned by whoever asked; None without a ring."""
        ring = self._ring()
        return os.open(f"/proc/self/fd/{ring}", os.O_RDONLY | os.O_CLOEXEC) if ring is not None else None

    def forget(self) -> None:
        """The ring is not gone on with: the next air begins a timeline."""
        if self._ring_fd is not None:
            os.close(self._ring_fd)
            self._ring_fd = None
        self._means.holder.release(self._ring_name)

    def leave(self) -> None:
        """Let go of what is ours alone; the holder keeps its own."""
        self.cancel()
        if self._ring_fd is not None:
            os.close(self._ring_fd)
            self._ring_fd = None
