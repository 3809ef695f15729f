"""What the tests of the soak share: its clips, made once, and a stream that nothing is wrong with."""

import gc
from collections.abc import Iterator

import pytest
from prepared import PreparedShelf, blocks_of, feed_of, shelf_of, stream_format

from channeld.media.profile import COMPOSITION_DELAY
from channeld.soak.stock import Stock, make_stock
from channeld.soak.stream_judge import Piece, StreamFacts
from channeld.ts.splicer import Splicer, SplicerState

WRAP = 1 << 33


@pytest.fixture(scope="module", autouse=True)
def only_its_own_garbage() -> Iterator[None]:
    """A soak collects garbage for each of its samples; what other tests hold, by the million objects, is not looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """The clips of a soak."""
    return make_stock(tmp_path_factory.mktemp("soak"))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> PreparedShelf:
    return shelf_of(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def facts() -> StreamFacts:
    """25 pictures a second, the 33-bit wrap among the first."""
    return StreamFacts(25, 1, WRAP - 90_000, COMPOSITION_DELAY)


@pytest.fixture(scope="session")
def stream(shelf: PreparedShelf, facts: StreamFacts) -> list[Piece]:
    """Two clips joined, in slices."""
    splicer = Splicer(stream_format(), SplicerState(origin=facts.origin))
    pieces = []
    for clip in (shelf.numbered(50), shelf.numbered(12, base=500)):
        feed = feed_of(blocks_of(clip))
        splicer.join(feed)
        while feed.frames_ready:
            piece = splicer.next_slice(feed, 5)
            assert piece is not None
            pieces.append(Piece(piece.packets.tobytes(), piece.dts, piece.duration, piece.is_random_access))
    return pieces
