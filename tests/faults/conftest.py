"""The stage that fault tests share, made once a session.

Rule: each test leaves the stage as it found it: every channel on air with the loop, every push up.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin, missing_parts

# A running daemon is written for the tests on air, and shared.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "on_air"))

pytest.register_assert_rewrite("stage")

from running import origin_ports  # noqa: E402  (needs the path above)
from stage import Stage  # noqa: E402


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    folder = tmp_path_factory.mktemp("stage")
    origin = NginxOrigin(folder / "origin", ports=origin_ports(), fragment_s=1)
    made = Stage(folder, origin, folder / "media")
    try:
        made.open()
        yield made
    finally:
        faults = made.close()
    assert faults == []
