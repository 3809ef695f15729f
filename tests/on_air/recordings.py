"""What viewers of a channel keep: the spliced stream over HTTP, and the RTMP stream as nginx records it.

Rule: recorders only watch; each owns its thread and ends at `close`. HLS is kept by judge.hls_recorder.
"""

import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from judge.hls_recorder import HlsRecorder
from nginx_origin import NginxOrigin

PACKET_BYTES = 188
_CHUNK_BYTES = 64 * 1024
_TIMEOUT_S = 20.0
_RETRY_S = 0.1


class TsRecorder:
    """Keeps a channel's endless transport stream in one file, from when it is there until it ends or `close`."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path
        self.trouble: list[str] = []
        self._stopping = threading.Event()
        self._is_cut = False
        self._thread = threading.Thread(target=self._run, name=f"viewer:{url}", daemon=True)

    def start(self) -> "TsRecorder":
        """Begin to watch."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, wait for the thread, and cut the file where the last tables begin: a decoder complains of half a frame."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _TIMEOUT_S)
        if not self._is_cut and self.path.exists():
            self._is_cut = True
            with self.path.open("r+b") as file:
                file.truncate(_last_tables(file.read()))

    def __enter__(self) -> "TsRecorder":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping.is_set() and not self._watch():
            self._stopping.wait(_RETRY_S)

    def _watch(self) -> bool:
        """Watch until the end; False when the stream is not there yet."""
        try:
            with urllib.request.urlopen(self.url, timeout=_TIMEOUT_S) as answer, self.path.open("wb") as file:
                while not self._stopping.is_set() and (piece := answer.read1(_CHUNK_BYTES)):
                    file.write(piece)
                    file.flush()
        except (urllib.error.URLError, ConnectionError) as error:
            if not self.path.exists():
                return False
            self.trouble.append(f"{self.url}: {error}")
        return True


def _last_tables(stream: bytes) -> int:
    """Where the last PAT begins: packets of PID 0 (ISO/IEC 13818-1, 2.4.4.3); tables stand between access units only."""
    for at in range(len(stream) // PACKET_BYTES * PACKET_BYTES - PACKET_BYTES, 0, -PACKET_BYTES):
        if stream[at] == 0x47 and stream[at + 1] & 0x1F == 0 and stream[at + 2] == 0:
            return at
    return 0


def whole_gops(stream: bytes) -> bytes:
    """Up to the last tables that stand before a key frame: what comes behind them may end with a picture whose neighbours never came."""
    tables = cut = 0
    for at in range(0, len(stream) // PACKET_BYTES * PACKET_BYTES, PACKET_BYTES):
        pid = (stream[at + 1] & 0x1F) << 8 | stream[at + 2]
        if pid == 0:
            tables = at
        # A unit's start with an adaptation field that says random access (ISO/IEC 13818-1, 2.4.3.5), of a picture: sound may say it, too.
        elif stream[at + 1] & 0x40 and stream[at + 3] & 0x20 and stream[at + 4] and stream[at + 5] & 0x40:
            cut = tables if stream[at + 8 + stream[at + 4]] & 0xF0 == 0xE0 else cut
    return stream[:cut]


class RecordingOrigin(NginxOrigin):
    """The delivered configuration, with nginx's own recorder on: every publication becomes one FLV file."""

    @property
    def recordings(self) -> Path:
        """Folder of the FLV files."""
        return self.prefix / "recorded"

    def render(self) -> None:
        super().render()
        # The workers may run as another user, who must be able to write there.
        self.recordings.mkdir(exist_ok=True)
        self.recordings.chmod(0o777)
        text = self.config.read_text(encoding="utf-8")
        wanted = f"record all; record_path {self.recordings}; record_unique on; record_suffix .flv;"
        if "record off;" not in text:
            raise RuntimeError("the delivered configuration says nothing about recording any more")
        self.config.write_text(text.replace("record off;", wanted), encoding="utf-8")

    def recorded(self, name: str) -> list[Path]:
        """The stream's FLV files, one for each time it was published, oldest first."""
        return sorted(self.recordings.glob(f"{name}-*.flv"), key=lambda path: path.stat().st_mtime_ns)


_NGINXS_OWN = (
    "target_duration_s changes",  # it writes the longest segment that is listed now
    "discontinuity sequence is 0 instead of 1",  # it has no such tag, and marks the first segment of a publication
)


def nginx_faults(recorder: HlsRecorder) -> list[str]:
    """Faults of nginx's manifest, but for those that every manifest of its muxer has."""
    return [fault for fault in recorder.faults(discontinuities=0) if not fault.startswith(_NGINXS_OWN)]
