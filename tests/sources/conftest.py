"""What tests of live sources share: blocks of a real clip, and its header."""

import pytest
from prepared import PreparedShelf, blocks_of, shelf_of

from channeld.media.clip import PreparedClip
from channeld.ts.index import Block


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedShelf:
    return shelf_of(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def clip(prepared: PreparedShelf) -> PreparedClip:
    """Nine seconds in three blocks."""
    return prepared.numbered(225, base=200)


@pytest.fixture(scope="session")
def blocks(clip: PreparedClip) -> list[Block]:
    return list(blocks_of(clip))
