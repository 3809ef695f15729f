"""What tests of media share: real clips, a small profile, a cache that already holds the profile's reference."""

from pathlib import Path

import pytest
from clips import ClipShelf

from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_reference
from channeld.media.profile import Profile
from channeld.media.tools import Tools, find_tools

CAP_BYTES = 1 << 30


@pytest.fixture(scope="session")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="session")
def small() -> Profile:
    """320×180 at 25 fps, key frames every second: quick to encode."""
    return Profile("small", 320, 180, FrameRate(25, 1), 400_000, 64_000, gop_seconds=1.0)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> ClipShelf:
    return ClipShelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory, small: Profile, tools: Tools) -> ClipCache:
    """One cache for tests that only add to it."""
    cache = ClipCache(tmp_path_factory.mktemp("cache"), CAP_BYTES)
    ensure_reference(cache, small, tools)
    return cache


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    """An empty cache of this test alone."""
    return ClipCache(tmp_path / "cache", CAP_BYTES)
