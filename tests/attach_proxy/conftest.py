"""What the tests of the proxy share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Papers, make_papers
from small_air import SmallAir


@pytest.fixture
def air(tmp_path: Path) -> Iterator[SmallAir]:
    made = SmallAir(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("0123456789abcdef" * 4 + "\n")
    return path
