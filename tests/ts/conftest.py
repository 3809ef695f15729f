"""What the tests of transport streams share."""

import pytest
from prepared import PreparedShelf, shelf_of


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedShelf:
    return shelf_of(tmp_path_factory.getbasetemp())
