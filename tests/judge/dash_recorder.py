"""A viewer of live DASH that keeps everything: polls the MPD over HTTP, fetches each segment of both tracks, notes what it saw.

Rule: judges only what a viewer can see; shares no code with channeld. One thread, owned by the recorder; it stops at `close`.
"""

import http.client
import subprocess
import threading
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin

from .mp4 import samples

KINDS = ("video", "audio")
_TIMEOUT_S = 20.0
_NAMESPACE = {"": "urn:mpeg:dash:schema:mpd:2011"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """One segment: when it begins and how long it lasts as listed, in its own timescale, and its bytes."""

    begins: int
    lasts: int
    data: bytes


class DashRecorder:
    """Records a live MPD of one Period from its first listed segment on. Use as a context manager."""

    def __init__(self, url: str, *, poll_s: float = 0.5) -> None:
        self.url = url
        self.fetched: dict[str, list[Fetched]] = {kind: [] for kind in KINDS}
        self.headers: dict[str, bytes] = {}
        self.trouble: list[str] = []
        """Fetches that failed and lists that went back; in the order seen."""
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"viewer:{url}", daemon=True)

    def __enter__(self) -> "DashRecorder":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(2 * _TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            manifest = _get(self.url)
            if manifest is not None:
                self._follow(ET.fromstring(manifest))
            elif self.headers:
                self.trouble.append("the manifest is gone")
            self._stopping.wait(self._poll_s)

    def _follow(self, root: ET.Element) -> None:
        periods = root.findall("Period", _NAMESPACE)
        if len(periods) != 1:
            self.trouble.append(f"{len(periods)} Periods instead of one")
        for chosen in periods[-1].findall("AdaptationSet", _NAMESPACE):
            kind, template = chosen.attrib["contentType"], chosen.find("SegmentTemplate", _NAMESPACE)
            assert template is not None
            if kind not in self.headers:
                self.headers[kind] = self._fetch(template.attrib["initialization"])
            known = self.fetched[kind]
            for begins, lasts in _listed(template):
                if known and begins < known[-1].begins + known[-1].lasts:
                    continue
                known.append(Fetched(begins, lasts, self._fetch(template.attrib["media"].replace("$Time$", str(begins)))))

    def _fetch(self, name: str) -> bytes:
        found = _get(urljoin(self.url, name))
        if found is None:
            self.trouble.append(f"{name} is listed and not there")
        return found or b""

    def faults(self) -> list[str]:
        """Everything a viewer would suffer from: what is missing, listed otherwise than it is, or not exactly behind what came before."""
        found = list(self.trouble)
        for kind in KINDS:
            end = None
            for each in self.fetched[kind]:
                inside = samples(each.data)
                if (min(sample.pts for sample in inside), sum(sample.duration for sample in inside)) != (each.begins, each.lasts):
                    found.append(f"{kind} segment {each.begins} is not what is listed")
                if end not in (None, inside[0].dts):
                    found.append(f"{kind} segment {each.begins} does not begin where the one before it ends")
                end = inside[-1].dts + inside[-1].duration
        return found

    def join(self, folder: Path, ffmpeg: str) -> Path:
        """Both tracks in one file, with the times that they have."""
        folder.mkdir(parents=True, exist_ok=True)
        sources = []
        for kind in KINDS:
            path = folder / f"{kind}.mp4"
            path.write_bytes(self.headers[kind] + b"".join(each.data for each in self.fetched[kind]))
            sources += ["-i", str(path)]
        joined = folder / "joined.nut"
        line = [
            ffmpeg,
            "-nostdin",
            "-v",
            "error",
            "-copyts",
            *sources,
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c",
            "copy",
            "-f",
            "nut",
            str(joined),
        ]
        subprocess.run(line, check=True, timeout=120)
        return joined


def _listed(template: ET.Element) -> Iterator[tuple[int, int]]:
    at = 0
    for element in template.findall("SegmentTimeline/S", _NAMESPACE):
        at, lasts = int(element.get("t", at)), int(element.attrib["d"])
        for _ in range(int(element.get("r", 0)) + 1):
            yield at, lasts
            at += lasts


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, http.client.HTTPException):
        return None
