"""What every test may ask for; packages add their own fixtures in a conftest.py of their folder.

Rule: nothing here replaces a part of the world. A test whose program is missing is skipped with the name of it.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings


class DescriptorLogger:
    """Writes lines to the descriptor: pytest swaps and reads `sys.stdout` between tests, and a thread that wrote to it just then ended the
    whole process (a segmentation fault in TextIOWrapper, once)."""

    def msg(self, message: str) -> None:
        os.write(1, f"{message}\n".encode(errors="replace"))

    log = debug = info = warning = warn = error = err = critical = fatal = exception = failure = msg


# Where nothing is configured, tracebacks are drawn with the variables of every frame: ten seconds for a store that fails on purpose.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN], logger_factory=lambda *_: DescriptorLogger())

REPOSITORY = Path(__file__).resolve().parent.parent
# Helpers that several packages share stand in tests/ itself; each folder of tests finds them by this.
sys.path.insert(0, str(Path(__file__).parent))

from nginx_origin import NginxOrigin, missing_parts  # noqa: E402  (needs the path above)
from peers.fixtures import (  # noqa: E402, F401  (fixtures for all)
    hls_server,
    http_ts_server,
    rtmp_origin,
    rtmp_server,
    rtsp_server,
    srt_sender,
    udp_sender,
)

# A fuzzed example may take as long as it takes: how busy the machine is, is no fault.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# A shell's background job begins with SIGINT ignored, and so would all that is started here: then nothing ends by asking.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long as well; they take minutes")


@pytest.fixture(autouse=True)
def as_logs_were() -> Iterator[None]:
    """Logs go where they went before the test: what it configured writes to streams that end with it."""
    root, kept = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**kept)


PACED = ("on_air", "web", "security")
"""Folders whose tests hold real daemons against real time: a few at a time, a file in each process."""
ALONE = ("faults",)
"""Folders whose tests measure who is late, and want the machine for themselves; the others share it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = _folder(item)
        for kind, folders in (("paced", PACED), ("alone", ALONE)):
            if folder in folders:
                item.add_marker(kind)
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))
    # The stage of the fault tests plays until the session ends: nothing comes after it.
    items.sort(key=lambda item: _folder(item) in ALONE)


def _folder(item: pytest.Item) -> str:
    """The folder of `tests` that an item is in; for one right in `tests`, its file."""
    return item.path.relative_to(REPOSITORY / "tests").parts[0]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """The clips that come with the project; see LICENSES.md there."""
    return REPOSITORY / "playlists" / "media"


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of the ffmpeg program: the system's, else the bundled one."""
    found = shutil.which("ffmpeg")
    if found is None:
        imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg on this machine")
        found = imageio_ffmpeg.get_ffmpeg_exe()
    return str(found)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives TCP ports of 127.0.0.1 that nobody listened on a moment ago, each another one."""
    given: set[int] = set()

    def take() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return take


@pytest.fixture
def nginx_rtmp(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[NginxOrigin]:
    """A running nginx with its RTMP module, of this test alone; segments of 1 s."""
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    origin = NginxOrigin(tmp_path / "origin", ports=(free_port(), free_port(), free_port()), fragment_s=1)
    origin.start()
    try:
        yield origin
    finally:
        origin.stop()


@pytest.fixture(scope="session")
def house_clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str, media_dir: Path) -> Path:
    """Four seconds of real film and sound as H.264 (closed GOPs of 1 s, 25 fps) and AAC 48 kHz, for pushing and looping."""
    path = tmp_path_factory.mktemp("house") / "clip.mp4"
    video = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-r",
        "25",
        "-g",
        "25",
        "-sc_threshold",
        "0",
        "-pix_fmt",
        "yuv420p",
        "-threads",
        "1",
    ]
    audio = ["-c:a", "aac", "-ar", "48000", "-ac", "2"]
    source = ["-nostdin", "-v", "error", "-i", str(media_dir / "ocean.ogv"), "-t", "4"]
    subprocess.run([ffmpeg, *source, *video, *audio, str(path)], check=True, timeout=60)
    return path
