"""What the tests of the proxy share; the small air is that of the local readers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "client"))

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
