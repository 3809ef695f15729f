"""What the tests of the viewer share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_air import SmallAir


@pytest.fixture
def air(tmp_path: Path) -> Iterator[SmallAir]:
    made = SmallAir(tmp_path)
    yield made
    made.close()
