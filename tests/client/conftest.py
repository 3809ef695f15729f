"""What the tests of local readers share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_air import SmallAir


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can walk through, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def air(tmp_path: Path) -> Iterator[SmallAir]:
    made = SmallAir(tmp_path)
    yield made
    made.close()
