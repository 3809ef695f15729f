"""The stage that fault tests share, made once a session.

Rule: each test leaves the stage as it found it: every channel on air with the loop, every push up.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_origin import NginxOrigin, missing_parts

# A running daemon is written for the tests on air, and shared.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "on_air"))

pytest.register_assert_rewrite("stage")

from far_network import far_network  # noqa: E402  (needs the path above)
from running import RunningDaemon, origin_ports  # noqa: E402
from solo import make_clips, prepared_cache, solo, write_list  # noqa: E402
from stage import Stage, state_disk  # noqa: E402

SoloDaemon = Callable[..., RunningDaemon]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    folder = tmp_path_factory.mktemp("stage")
    origin = NginxOrigin(folder / "origin", ports=origin_ports(), fragment_s=1)
    with far_network() as far, state_disk(made := Stage(folder, origin, far)):
        try:
            made.open()
            yield made
        finally:
            faults = made.close()
    assert faults == []


@pytest.fixture(scope="session")
def solo_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips for daemons of one test alone."""
    return make_clips(tmp_path_factory.mktemp("solo_clips"))


@pytest.fixture(scope="session")
def solo_cache(solo_clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, prepared."""
    return prepared_cache(tmp_path_factory.mktemp("solo") / "prepared", solo_clips)


@pytest.fixture
def solo_daemon(tmp_path: Path, solo_clips: list[Path], solo_cache: Path) -> Iterator[SoloDaemon]:
    """Makes daemons with one channel, `one`, whose clips are prepared; each ends with the test and must leave nothing."""
    made: list[RunningDaemon] = []

    def make(*outputs: dict[str, Any], name: str = "daemon") -> RunningDaemon:
        (tmp_path / name).mkdir()
        playlist = write_list(tmp_path / name / "one.txt", solo_clips)
        made.append(solo(tmp_path / name, playlist, solo_cache, solo_clips[0].parent, *outputs))
        return made[-1]

    yield make
    assert [fault for daemon in made for fault in daemon.stop()] == []
