"""The library's threads with real clips: what is needed soonest comes first, and every end is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import clips
import pytest

from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.clip_state import ClipState, Stage
from channeld.media.library import ClipLibrary
from channeld.media.prepare import PrepareRequest

DEADLINE_S = 60.0


class Listener:
    """Keeps what the library tells, and waits for it."""

    def __init__(self) -> None:
        self._heard = threading.Condition()
        self.told: list[tuple[str, ClipState]] = []

    def hear(self, entry: str, state: ClipState) -> None:
        with self._heard:
            self.told.append((entry, state))
            self._heard.notify_all()

    def wait_for(self, done: Callable[[], bool]) -> None:
        with self._heard:
            assert self._heard.wait_for(done, DEADLINE_S), self.told

    def order_ready(self) -> list[str]:
        return [entry for entry, state in self.told if state.stage is Stage.READY]


@contextmanager
def running(cache: ClipCache, listener: Listener) -> Iterator[ClipLibrary]:
    library = ClipLibrary(cache, listener.hear, jobs=1)
    library.start()
    try:
        yield library
    finally:
        library.close()


def stages(library: ClipLibrary, *entries: str) -> set[Stage | None]:
    return {state.stage if (state := library.state(entry)) else None for entry in entries}


def test_the_clip_needed_soonest_is_prepared_first(cache, small, shelf):
    listener = Listener()
    library = ClipLibrary(cache, listener.hear, jobs=1)
    for number, needed_in_s in ((1, 900.0), (2, 30.0), (3, 400.0)):
        source = shelf.get(f"order-{number}.mkv", clips.numbered_clip, frames=25, base=number * 100)
        library.request(f"e{number}", PrepareRequest(source, small), needed_in_s=needed_in_s)
    library.start()
    try:
        listener.wait_for(lambda: len(listener.order_ready()) == 3)
    finally:
        library.close()
    order = listener.order_ready()
    # The thread may have taken the first that was looked up before the others were.
    assert order.index("e2") < order.index("e3") or order[0] == "e3"
    assert order[-1] == "e1" or order[0] == "e1"


def test_a_clip_that_stands_twice_is_prepared_once_and_both_are_told(cache, small, shelf):
    listener = Listener()
    source = shelf.get("a.mkv", clips.numbered_clip, frames=50)
    with running(cache, listener) as library:
        for entry in ("first", "second"):
            library.request(entry, PrepareRequest(source, small), needed_in_s=60.0)
        listener.wait_for(lambda: {"first", "second"} <= set(listener.order_ready()))
        assert library.state("first").clip == library.state("second").clip
        assert library.totals().ready_s == pytest.approx(library.totals().needed_s) == pytest.approx(4.0)
        assert library.totals().eta_s == 0.0


def test_a_broken_clip_is_refused_once_and_for_all_until_it_changes(cache, small, shelf, tmp_path: Path):
    listener = Listener()
    film = tmp_path / "film.mkv"
    film.write_bytes(shelf.get("cut.mkv", clips.truncated_clip).read_bytes())
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(film, small), needed_in_s=10.0)
        listener.wait_for(lambda: stages(library, "e") == {Stage.REFUSED})
        assert "cut short" in library.state("e").reason
    with running(ClipCache(tmp_path / "cache", 1 << 30), listener) as library:
        library.request("e", PrepareRequest(film, small), needed_in_s=10.0)
        listener.wait_for(lambda: stages(library, "e") == {Stage.REFUSED})
        film.write_bytes(shelf.get("a.mkv", clips.numbered_clip, frames=50).read_bytes())
        library.request("e", PrepareRequest(film, small), needed_in_s=10.0)
        listener.wait_for(lambda: stages(library, "e") == {Stage.READY})


def test_a_missing_file_is_told_as_such(cache, small, tmp_path: Path):
    listener = Listener()
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(tmp_path / "gone.mp4", small), needed_in_s=10.0)
        listener.wait_for(lambda: bool(listener.told))
        assert library.state("e") == ClipState(Stage.REFUSED, reason="No such file or directory")


def test_what_was_prepared_is_ready_at_once_after_a_restart(cache, small, shelf, tmp_path: Path):
    source, listener = shelf.get("a.mkv", clips.numbered_clip, frames=50), Listener()
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(source, small), needed_in_s=10.0)
        listener.wait_for(lambda: listener.order_ready() == ["e"])
    again = Listener()
    with running(ClipCache(tmp_path / "cache", 1 << 30), again) as library:
        library.request("e", PrepareRequest(source, small), needed_in_s=10.0)
        again.wait_for(lambda: bool(again.told))
        assert [state.stage for _, state in again.told] == [Stage.READY]


def test_a_growing_clip_is_told_with_its_progress(cache, small, shelf):
    listener = Listener()
    source = shelf.get("half-minute.mp4", clips.numbered_clip, frames=750)
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(source, small), needed_in_s=5.0)
        listener.wait_for(lambda: listener.order_ready() == ["e"])
    growth = [state.prepared_s for _, state in listener.told if state.stage is Stage.PREPARING]
    assert growth == sorted(growth) and growth[-1] < 30.0


def test_a_full_cache_keeps_what_airs_sooner(cache, small, shelf, tmp_path: Path):
    listener = Listener()
    first, second = (shelf.get(f"room-{number}.mkv", clips.numbered_clip, frames=250, base=number) for number in (1, 2))
    with running(cache, listener) as library:
        library.request("soon", PrepareRequest(first, small), needed_in_s=10.0)
        listener.wait_for(lambda: listener.order_ready() == ["soon"])
    card = next(path for path in (tmp_path / "cache").glob("*/*.ts") if path.stem != library.state("soon").clip.key)
    # Room for the card and one such clip, as long as it is not two.
    full = ClipCache(tmp_path / "cache", cache.find(card.stem).bytes + 10 * small.bytes_per_second + 10_000)
    full.pin(card.stem)
    with running(full, listener) as library:
        library.request("soon", PrepareRequest(first, small), needed_in_s=10.0)
        library.request("late", PrepareRequest(second, small), needed_in_s=500.0)
        listener.wait_for(lambda: any(entry == "late" and state.reason for entry, state in listener.told))
        assert library.state("late").reason == "the cache is full of clips that air sooner"
        assert stages(library, "soon") == {Stage.READY}
        assert library.totals().needed_s == pytest.approx(20.0)
        library.set_order([("soon", 900.0), ("late", 20.0)])
        listener.wait_for(lambda: stages(library, "late") == {Stage.READY})
        assert stages(library, "soon") == {Stage.PENDING}


def test_closing_stops_a_job_under_way(cache, small, shelf, tmp_path: Path):
    listener = Listener()
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(shelf.get("half-minute.mp4", clips.numbered_clip, frames=750), small), needed_in_s=5.0)
        listener.wait_for(lambda: bool(listener.told))
    assert not list(tmp_path.glob("cache/*/*.part"))


def test_a_damaged_clip_is_prepared_again(cache, small, shelf):
    listener = Listener()
    with running(cache, listener) as library:
        library.request("e", PrepareRequest(shelf.get("a.mkv", clips.numbered_clip, frames=50), small), needed_in_s=5.0)
        listener.wait_for(lambda: listener.order_ready() == ["e"])
        library.invalidate(library.state("e").clip.key)
        listener.wait_for(lambda: listener.order_ready() == ["e", "e"])


@pytest.mark.parametrize(
    ("prepared_s", "speed", "is_usable"), [(8.0, 9.0, False), (20.0, 1.4, True), (20.0, 1.1, False), (90.0, 1.0, False), (550.0, 0.9, True)]
)
def test_a_growing_clip_airs_when_it_will_never_be_caught_up_with(prepared_s, speed, is_usable, tmp_path: Path):
    assert not ClipState(Stage.PREPARING, None, "", prepared_s, 600.0, speed).is_usable, "nothing is there yet"
    clip = PreparedClip("k", "p", tmp_path / "k.ts.part", tmp_path / "k.idx.part", 250, prepared_s, 1000, growing=True)
    assert ClipState(Stage.PREPARING, clip, "", prepared_s, 600.0, speed).is_usable is is_usable
