"""The folder of prepared clips, with real files."""

from pathlib import Path

import numpy as np
import pytest

from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache, clip_key
from channeld.media.clip import PreparedClip
from channeld.media.plan import Trim
from channeld.ts.index import AUDIO_AU, VIDEO_AU, Block, ClipHeader, Totals

FOLDER = "feedbeef"
TS_BYTES = 188 * 100


def add(cache: ClipCache, key: str) -> PreparedClip:
    """A clip of one block."""
    part = cache.part(key, ClipHeader(FOLDER, FrameRate(25, 1), 25, 1, {"source": key}))
    part.append(Block(0, b"G" * TS_BYTES, np.zeros(25, VIDEO_AU), np.zeros(50, AUDIO_AU), -1920))
    return cache.commit(part, Totals(25, 50, {"ts_bytes": part.ts_bytes}))


def test_a_clip_is_found_after_a_restart_with_what_was_known(tmp_path: Path):
    clip = add(ClipCache(tmp_path, 1 << 20), "aa")
    assert ClipCache(tmp_path, 1 << 20).find("aa") == clip
    assert (clip.frames, clip.duration_s, clip.facts["source"]) == (25, 1.0, "aa")


def test_a_folder_carried_elsewhere_is_found(tmp_path: Path):
    add(ClipCache(tmp_path / "here", 1 << 20), "aa")
    (tmp_path / "here").rename(tmp_path / "there")
    found = ClipCache(tmp_path / "there", 1 << 20).find("aa")
    assert found is not None and found.ts_path.parent.parent == tmp_path / "there"


def test_a_clip_copied_in_while_running_is_found(tmp_path: Path):
    add(ClipCache(tmp_path / "big", 1 << 20), "aa")
    here = ClipCache(tmp_path / "here", 1 << 20)
    assert here.find("aa") is None
    (tmp_path / "big" / FOLDER).rename(tmp_path / "here" / FOLDER)
    assert here.find("aa") is not None


@pytest.mark.parametrize("damage", ["cut", "flip", "short_ts", "no_ts"])
def test_a_damaged_clip_is_missing_and_noted(tmp_path: Path, damage: str):
    clip = add(ClipCache(tmp_path, 1 << 20), "aa")
    index = clip.idx_path.read_bytes()
    if damage == "cut":
        clip.idx_path.write_bytes(index[:-5])
    elif damage == "flip":
        clip.idx_path.write_bytes(index[:20] + bytes([index[20] ^ 1]) + index[21:])
    elif damage == "short_ts":
        clip.ts_path.write_bytes(b"G" * 188)
    else:
        clip.ts_path.unlink()
    again = ClipCache(tmp_path, 1 << 20)
    assert again.find("aa") is None
    assert len(again.notes) == 1
    assert not list(tmp_path.glob("*/aa.*"))


def test_the_clip_that_airs_last_gives_way_first(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    airing: dict[str, float | None] = {"aa": 10.0, "bb": 500.0, "cc": 100.0}
    for key in airing:
        add(cache, key)
    needed = (1 << 20) - cache.bytes_total + 1
    assert cache.evict(needed, airing.get) == ["bb"]
    assert cache.find("bb") is None and not list(tmp_path.glob("*/bb.*"))


def test_a_clip_that_no_queue_holds_goes_before_all_and_a_pinned_one_never(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    for key in ("aa", "bb", "cc"):
        add(cache, key)
    cache.pin("aa")
    assert cache.evict(1 << 20, {"bb": 5.0}.get) is None
    assert cache.evict((1 << 20) - TS_BYTES - 3000, {"bb": 5.0}.get) == ["cc", "bb"]


def test_nothing_that_airs_sooner_is_given_up_for_a_later_clip(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    for key in ("aa", "bb"):
        add(cache, key)
    assert cache.evict(1 << 20, {"aa": 5.0, "bb": 6.0}.get, airs_in_s=60.0) is None
    assert cache.find("aa") is not None and cache.find("bb") is not None


def test_a_disk_that_lacks_room_gets_it_from_the_clips_that_air_last_but_never_from_pinned_ones(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    for key in ("aa", "bb", "cc"):
        add(cache, key)
    cache.pin("cc")
    airing = {"aa": 5.0, "bb": 6.0, "cc": 900.0}
    assert cache.give_up(0, airing.get) == []
    assert cache.give_up(1, airing.get) == ["bb"]
    assert cache.give_up(1 << 30, airing.get) == ["aa"]
    assert cache.find("cc") is not None


def test_while_room_is_low_a_clip_takes_the_place_of_one_that_airs_later(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    for key in ("aa", "bb"):
        add(cache, key)
    airing = {"aa": 5.0, "bb": 600.0}
    cache.leave_room(-100)
    assert cache.evict(0, airing.get, airs_in_s=700.0) is None
    assert cache.evict(TS_BYTES // 2, airing.get, airs_in_s=10.0) == ["bb"]
    cache.leave_room(None)
    assert cache.evict(TS_BYTES, airing.get, airs_in_s=700.0) == []


@pytest.mark.parametrize(
    "written", ['{"aa": "damaged"}', '{"rules": 1, "refused": {"aa": "damaged"}}', "[]", '{"rules": 2, "refused": []}']
)
def test_what_other_rules_refused_is_tried_again(tmp_path: Path, written: str):
    (tmp_path / "refusals.json").write_text(written)
    assert ClipCache(tmp_path, 1 << 20).refusal("aa") is None


def test_refusals_are_remembered_over_a_restart_by_content(tmp_path: Path):
    ClipCache(tmp_path, 1 << 20).refuse("aa", "damaged")
    again = ClipCache(tmp_path, 1 << 20)
    assert (again.refusal("aa"), again.refusal("bb")) == ("damaged", None)


def test_leftovers_of_dead_runs_are_removed_but_not_what_is_being_written(tmp_path: Path):
    cache = ClipCache(tmp_path, 1 << 20)
    add(cache, "aa")
    living = cache.part("bb", ClipHeader(FOLDER, FrameRate(25, 1), 25, 1))
    dead = cache.part("cc", ClipHeader(FOLDER, FrameRate(25, 1), 25, 1))
    dead.close()
    (tmp_path / FOLDER / "dd.ts").write_bytes(b"G" * 188)
    ClipCache(tmp_path, 1 << 20).clean()
    left = {path.name for path in (tmp_path / FOLDER).iterdir()}
    assert left == {"aa.ts", "aa.idx", "bb.ts.part", "bb.idx.part"}
    with pytest.raises(BlockingIOError):
        cache.part("bb", ClipHeader(FOLDER, FrameRate(25, 1), 25, 1))
    living.abort()


def test_the_fingerprint_follows_the_content_not_the_name(tmp_path: Path):
    cache = ClipCache(tmp_path / "cache", 1 << 20)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 100)
    two.write_bytes(b"x" * 100)
    first = cache.fingerprints.of(one)
    assert cache.fingerprints.of(two) == first
    one.write_bytes(b"x" * 99 + b"y")
    assert cache.fingerprints.of(one) != first
    assert clip_key(first, "p", Trim()) != clip_key(first, "p", Trim(1.0))
