"""A viewer of live HLS that keeps everything: polls the manifest over HTTP, fetches each segment, notes what it saw.

Rule: judges only what a viewer can see. One thread, owned by the recorder; it stops at `close` or at the manifest's end.
"""

import hashlib
import http.client
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin

from .hls import Manifest, Segment, history_faults, parse_manifest

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Poll:
    """One answer of the origin; `manifest` is None when it failed."""

    at_s: float
    """Monotonic clock."""
    status: int
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One segment on disk."""

    segment: Segment
    path: Path
    sha256: str
    at_s: float


class HlsRecorder:
    """Records a live manifest from its first listed segment on. Use as a context manager, or `start` and `close`."""

    def __init__(self, url: str, folder: Path, *, poll_s: float | None = None, recheck: bool = True) -> None:
        self.url = url
        self.folder = folder
        self.polls: list[Poll] = []
        self.fetched: dict[int, Fetched] = {}
        self.trouble: list[str] = []
        """Fetches that failed, contents that changed; in the order seen."""
        self._poll_s = poll_s
        self._rechecks: set[int] | None = set() if recheck else None
        self._stopping = threading.Event()
        self._advanced = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"viewer:{url}", daemon=True)

    def start(self) -> "HlsRecorder":
        """Begin to poll."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _TIMEOUT_S)

    def __enter__(self) -> "HlsRecorder":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def wait_for_segments(self, count: int, timeout_s: float) -> bool:
        """Wait until so many segments are on disk; False when the time is over."""
        with self._advanced:
            return self._advanced.wait_for(lambda: len(self.fetched) >= count, timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            manifest = self.poll_once()
            if manifest is not None and manifest.ended:
                return
            pause_s = self._poll_s or (max(manifest.target_duration_s, 1) / 2 if manifest and manifest.segments else 0.25)
            self._stopping.wait(pause_s)

    def poll_once(self) -> Manifest | None:
        """Read the manifest and fetch what is new in it. A manifest that is not there yet is polled again, not a fault."""
        status, body = _get(self.url)
        manifest = parse_manifest(body.decode("utf-8", "replace")) if status == 200 else None
        if manifest is None and self.fetched:
            self.trouble.append(f"manifest answers {status or 'nothing'} after it was there")
        self.polls.append(Poll(time.monotonic(), status, manifest))
        for segment in manifest.segments if manifest else ():
            if self._stopping.is_set():
                break
            if segment.sequence not in self.fetched:
                self._fetch(segment)
        if manifest is not None and manifest.segments and manifest.media_sequence:
            self._recheck(manifest.segments[0])
        return manifest

    def _fetch(self, segment: Segment) -> None:
        status, body = _get(urljoin(self.url, segment.uri))
        if status != 200:
            self.trouble.append(f"segment {segment.sequence} ({segment.uri}) answers {status or 'nothing'} while listed")
            return
        path = self.folder / f"{segment.sequence:010d}.ts"
        path.write_bytes(body)
        with self._advanced:
            self.fetched[segment.sequence] = Fetched(segment, path, hashlib.sha256(body).hexdigest(), time.monotonic())
            self._advanced.notify_all()

    def _recheck(self, segment: Segment) -> None:
        """Fetch a segment again just before it leaves the list: its bytes must be the same."""
        known = self.fetched.get(segment.sequence)
        if self._rechecks is None or known is None or segment.sequence in self._rechecks:
            return
        self._rechecks.add(segment.sequence)
        status, body = _get(urljoin(self.url, segment.uri))
        if status != 200 or hashlib.sha256(body).hexdigest() != known.sha256:
            self.trouble.append(f"segment {segment.sequence} is not the same when fetched again ({status})")

    def stalls_s(self, limit_s: float) -> list[float]:
        """Times longer than `limit_s` in which no new segment was listed, in seconds."""
        news, last = [], None
        for poll in self.polls:
            newest = poll.manifest.segments[-1].sequence if poll.manifest and poll.manifest.segments else None
            if newest is not None and newest != last:
                news.append(poll.at_s)
                last = newest
        ends = [*news[1:], self.polls[-1].at_s] if news else []
        return [end - begin for begin, end in zip(news, ends, strict=True) if end - begin > limit_s]

    def faults(self, *, discontinuities: int = 0) -> list[str]:
        """Everything a viewer would suffer from; a stall counts from three target durations, when a player's buffer is dry."""
        manifests = [poll.manifest for poll in self.polls if poll.manifest is not None]
        if not self.fetched:
            return [*self.trouble, "no segment was ever fetched"]
        found = [*self.trouble, *history_faults(manifests)]
        listed = {segment.sequence: segment for manifest in manifests for segment in manifest.segments}
        # nginx-rtmp marks the first segment of every publication; the first one seen is a join with nothing.
        joints = sum(segment.discontinuity for number, segment in listed.items() if number > min(listed))
        if joints != discontinuities:
            found.append(f"{joints} EXT-X-DISCONTINUITY instead of {discontinuities}")
        limit_s = 3 * manifests[-1].target_duration_s
        found += [f"nothing new for {stall:.1f} s" for stall in self.stalls_s(limit_s)]
        missing = sorted(set(range(min(self.fetched), max(self.fetched) + 1)) - self.fetched.keys())
        return found + [f"segment {number} was never fetched" for number in missing]

    def paths(self) -> list[Path]:
        """The segments on disk, in order."""
        return [self.fetched[number].path for number in sorted(self.fetched)]

    def sizes(self) -> tuple[int, ...]:
        """Their sizes in bytes, for `read_ts(segment_bytes=…)`."""
        return tuple(path.stat().st_size for path in self.paths())

    def concatenate(self) -> bytes:
        """All segments as one stream."""
        return b"".join(path.read_bytes() for path in self.paths())


def _get(url: str) -> tuple[int, bytes]:
    """Status and body; status 0 when there was no whole answer."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""
    except (OSError, http.client.HTTPException):
        return 0, b""
