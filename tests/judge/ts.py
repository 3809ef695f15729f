"""The judge of transport streams: reads one from its bytes and says what is wrong with it.

Rule: strict unless told otherwise; what a foreign muxer may do is named in `Allowances`, never guessed.
Usage: `assert read_ts(path, fps=Fraction(25)).faults() == []`.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from .adts import read_audio
from .h264 import VideoContent, read_video
from .h265 import read_h265
from .steps import Ints, grid_faults, listing, unwrap
from .ts_packets import Counters, Packets, PcrReport, check_counters, packets_by_pid, read_pcr, split_packets
from .ts_pes import AccessUnit, Units, read_units
from .ts_psi import PsiReport, read_psi

H264, H265, AAC = 0x1B, 0x24, 0x0F
VIDEO = (H264, H265)
AAC_FRAME = Fraction(1920)
_TICKS = 90_000


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the muxer that wrote a stream may do. The defaults are the strictest: a spliced stream."""

    rounding_ticks: int = 0
    """How far rounding may spread timestamps from their grid, peak to peak."""
    max_pcr_step_ms: float | None = 40.0
    min_lead_ms: float | None = 0.0
    """Least time from a unit's last byte (by PCR) to its DTS."""
    max_lead_ms: float | None = 1000.0
    max_psi_step_ms: float | None = 500.0
    counters_restart: bool = False
    """Continuity counters begin anew at each of the stream's segments."""
    many_frames_per_pes: bool = False
    open_start: bool = False
    """The stream was cut out of a longer one: a part of a unit at its start is no fault."""
    open_end: bool = False


SPLICED = Allowances()
FFMPEG_FILE = Allowances(max_pcr_step_ms=100.0, min_lead_ms=None, max_lead_ms=None)
NGINX_HLS = Allowances(
    rounding_ticks=90,
    max_pcr_step_ms=None,
    min_lead_ms=None,
    max_lead_ms=None,
    max_psi_step_ms=None,
    counters_restart=True,
    many_frames_per_pes=True,
)


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream."""

    pid: int
    stream_type: int
    units: Units
    frames: Ints
    """Frames in each unit: 1 for video, the number of ADTS frames for audio."""
    video: VideoContent | None
    content_faults: tuple[str, ...]

    def listed(self) -> list[AccessUnit]:
        """The access units one by one."""
        return self.units.listed()


@dataclass(frozen=True)
class TsReport:
    """Everything read from a stream; `faults` is the verdict."""

    packets: Packets
    psi: PsiReport
    counters: dict[int, Counters]
    pcr: PcrReport
    tracks: dict[int, Track]
    segment_packets: Ints
    """Packet numbers at which the stream's segments begin; the first is 0."""
    fps: Fraction | None
    allowances: Allowances

    @property
    def video(self) -> Track | None:
        """The first track of pictures."""
        return next((track for track in self.tracks.values() if track.stream_type in VIDEO), None)

    @property
    def audio(self) -> Track | None:
        """The first AAC track."""
        return next((track for track in self.tracks.values() if track.stream_type == AAC), None)

    def video_steps(self, fps: Fraction) -> list[str]:
        """Is every DTS, and every PTS in order of time, exactly one frame after the one before?"""
        if self.video is None:
            return ["there is no video track"]
        units, step, slack = self.video.units, _TICKS / fps, self.allowances.rounding_ticks
        shown = np.sort(units.pts)
        if self.allowances.open_end and len(shown):
            shown = shown[shown <= units.dts[-1]]  # later ones may wait for frames beyond the cut
        return grid_faults(units.dts, step, what="video DTS", slack=slack) + grid_faults(shown, step, what="video PTS", slack=slack)

    def audio_steps(self) -> list[str]:
        """Is every audio frame exactly 1920 ticks after the one before?"""
        if self.audio is None:
            return ["there is no AAC track"]
        index = np.cumsum(self.audio.frames) - self.audio.frames
        return grid_faults(self.audio.units.pts, AAC_FRAME, what="audio PTS", slack=self.allowances.rounding_ticks, index=index)

    @cached_property
    def leads_ms(self) -> dict[int, tuple[float, float]]:
        """Least and greatest DTS − PCR of each track, at the last byte of its units, in ms."""
        if not len(self.pcr.values):
            return {}
        return {pid: self._lead(track.units) for pid, track in self.tracks.items() if len(track.units)}

    def _lead(self, units: Units) -> tuple[float, float]:
        last = np.searchsorted(self.pcr.packets, units.last_packet, side="right") - 1
        leads = (units.dts - self.pcr.values[last.clip(0)] / 300) / 90
        return float(leads.min()), float(leads.max())

    def psi_step_ms(self, numbers: Ints) -> float:
        """Longest time from one of these packets to the next, or to the end, by the PCR."""
        if not len(numbers) or not len(self.pcr.values):
            return 0.0
        at = np.append(numbers, len(self.packets.pid) - 1)
        times = self.pcr.values[(np.searchsorted(self.pcr.packets, at, side="right") - 1).clip(0)]
        return float(np.diff(times).max()) / 27_000

    def faults(self) -> list[str]:
        """Everything wrong with the stream, a sentence each; empty when it is clean."""
        found = [*self.packets.faults, *self.psi.faults, *self._counter_faults(), *self._pcr_faults(), *self._psi_faults()]
        for track in self.tracks.values():
            found += [f"PID {track.pid:#x}: {fault}" for fault in (*track.units.faults, *track.content_faults)]
        fps = self.fps or self._likely_fps()
        found += ["there is no frame rate to be seen"] if fps is None else self.video_steps(fps)
        return found + self.audio_steps() + self._segment_faults()

    def _counter_faults(self) -> list[str]:
        found = []
        for pid, counters in self.counters.items():
            if counters.faults:
                found.append(f"PID {pid:#x}: {len(counters.faults)} continuity errors: packet {listing(counters.faults)}")
            if counters.discontinuities:
                found.append(f"PID {pid:#x}: discontinuity indicator: packet {listing(counters.discontinuities)}")
        return found

    def _pcr_faults(self) -> list[str]:
        rules, found = self.allowances, []
        if not len(self.pcr.values):
            return ["there is no PCR"]
        if not self.pcr.is_monotonic:
            found.append(f"PCR goes back: packet {listing(self.pcr.packets[1:][np.diff(self.pcr.values) <= 0].tolist())}")
        if rules.max_pcr_step_ms is not None and self.pcr.max_step_ms > rules.max_pcr_step_ms:
            found.append(f"PCRs are up to {self.pcr.max_step_ms:.1f} ms apart")
        for pid, (least, most) in self.leads_ms.items():
            if rules.min_lead_ms is not None and least < rules.min_lead_ms:
                found.append(f"PID {pid:#x}: a unit arrives {-least:.1f} ms after its DTS by PCR")
            if rules.max_lead_ms is not None and most > rules.max_lead_ms:
                found.append(f"PID {pid:#x}: a unit arrives {most:.1f} ms before its DTS by PCR")
        return found

    def _psi_faults(self) -> list[str]:
        limit = self.allowances.max_psi_step_ms
        steps = {"PAT": self.psi_step_ms(self.psi.pat_packets), "PMT": self.psi_step_ms(self.psi.pmt_packets)}
        return [f"{name}s are up to {step:.0f} ms apart" for name, step in steps.items() if limit is not None and step > limit]

    def _segment_faults(self) -> list[str]:
        """Each segment must play alone: PAT, PMT and a random access point come before anything else."""
        found = []
        if not len(self.packets.pid):
            return ["there are no packets"]
        streams = np.isin(self.packets.pid, list(self.tracks))
        for number, begin in enumerate(self.segment_packets.tolist()):
            media = begin + int(np.argmax(streams[begin:]))
            for name, tables in (("PAT", self.psi.pat_packets), ("PMT", self.psi.pmt_packets)):
                if not ((tables >= begin) & (tables < media)).any():
                    found.append(f"segment {number} does not begin with a {name}")
            units = self.video.units if self.video else None
            if units is not None:
                first = int(np.searchsorted(units.first_packet, begin))
                if first < len(units) and not units.is_random_access[first]:
                    found.append(f"segment {number} does not begin with a random access point")
        return found

    def _likely_fps(self) -> Fraction | None:
        """The known frame rate nearest to the typical distance of frames."""
        pts = np.sort(self.video.units.pts) if self.video else np.empty(0)
        if len(pts) < 9:
            return None
        step = float(np.median(pts[8:] - pts[:-8])) / 8
        whole = [Fraction(rate) for rate in range(1, 121)]
        broadcast = [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)]
        return min(whole + broadcast, key=lambda fps: abs(float(_TICKS / fps) - step))


def read_ts(
    source: Path | bytes, *, fps: Fraction | None = None, allowances: Allowances = SPLICED, segment_bytes: tuple[int, ...] = ()
) -> TsReport:
    """Read a stream from a file or from bytes. `segment_bytes`: sizes of the files it was joined from, in order."""
    packets = split_packets(source if isinstance(source, bytes) else source.read_bytes())
    by_pid = packets_by_pid(packets)
    begins = np.cumsum([0, *segment_bytes[:-1]]).astype(np.int64) // 188
    counters, kept = {}, {}
    for pid, numbers in by_pid.items():
        counters[pid], kept[pid] = check_counters(packets, numbers, begins if allowances.counters_restart else begins[:0])
    psi = read_psi(packets, kept)
    tracks = _read_tracks(packets, kept, psi, allowances)
    return TsReport(packets, psi, counters, _read_pcr(packets, kept, psi.pcr_pid, tracks), tracks, begins, fps, allowances)


def _read_tracks(packets: Packets, by_pid: dict[int, Ints], psi: PsiReport, allowances: Allowances) -> dict[int, Track]:
    tracks: dict[int, Track] = {}
    near: int | None = None
    # Video first: the other tracks are unwrapped next to it.
    for pid, kind in sorted(psi.streams.items(), key=lambda stream: stream[1] not in VIDEO):
        numbers = by_pid.get(pid, np.empty(0, dtype=np.int64))
        units = read_units(packets, numbers, near=near, open_start=allowances.open_start, open_end=allowances.open_end)
        near = int(units.dts[0]) if near is None and len(units) else near
        tracks[pid] = _read_track(pid, kind, units, allowances)
    return tracks


def _read_track(pid: int, kind: int, units: Units, allowances: Allowances) -> Track:
    once = np.ones(len(units), dtype=np.int64)
    if not len(units):
        return Track(pid, kind, units, once, None, ("there are no access units",))
    if kind == H264:
        video = read_video(units, open_end=allowances.open_end)
        return Track(pid, kind, units, once, video, video.faults)
    if kind == H265:
        video = read_h265(units, open_end=allowances.open_end)
        return Track(pid, kind, units, once, video, video.faults)
    if kind == AAC:
        frames, faults = read_audio(units, one_frame_each=not allowances.many_frames_per_pes)
        return Track(pid, kind, units, frames, None, tuple(faults))
    return Track(pid, kind, units, once, None, (f"stream type {kind:#x} is none of H.264, H.265 and AAC",))


def _read_pcr(packets: Packets, by_pid: dict[int, Ints], pid: int, tracks: dict[int, Track]) -> PcrReport:
    base, extension, numbers = read_pcr(packets, by_pid.get(pid, np.empty(0, dtype=np.int64)))
    near = next((int(track.units.dts[0]) for track in tracks.values() if len(track.units)), None)
    return PcrReport(unwrap(base, 33, near=near) * 300 + extension, numbers)
