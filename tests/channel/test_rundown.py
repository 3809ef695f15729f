"""What was promised to the host, what it made of it, and when things air: with the real queue, clips as plain values."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from channeld.base.clock import NS_PER_SECOND
from channeld.channel import rundown as module
from channeld.channel.preparation import Prepared
from channeld.channel.rundown import Planned, Rundown
from channeld.channel.tag import Tag
from channeld.media.clip import PreparedClip
from channeld.playlist.locate import PathRules
from channeld.playlist.model import Entry, Playlist, Readiness
from channeld.playlist.parse import parse
from channeld.playlist.queue import Queue

WALL_S = 1_700_000_000.0
CLIP_S = 10.0


def clip(name: str, *, duration_s: float = CLIP_S, growing: bool = False) -> PreparedClip:
    suffix = ".part" if growing else ""
    ts, idx = Path(f"/cache/p/{name}.ts{suffix}"), Path(f"/cache/p/{name}.idx{suffix}")
    return PreparedClip(f"{name}-key", "p", ts, idx, int(25 * duration_s), duration_s, 1000, growing=growing)


class Shelf:
    """How far each clip is, by its file's name; ready where nothing else is said."""

    def __init__(self) -> None:
        self.standings: dict[str, Prepared] = {}

    def look_up(self, entry: Entry) -> Prepared:
        name = Path(entry.locator).name
        return self.standings.get(name, Prepared(Readiness.READY, clip(name), length_s=CLIP_S))

    def refuse(self, *names: str) -> None:
        for name in names:
            self.standings[name] = Prepared(Readiness.REFUSED, reason="no frame decodes")

    def delay(self, *names: str, length_s: float | None = None) -> None:
        for name in names:
            self.standings[name] = Prepared(Readiness.PENDING, length_s=length_s)


def listed(tmp_path: Path, names: Iterable[str]) -> Playlist:
    written = list(names)
    for name in written:
        if not name.startswith("missing"):
            (tmp_path / name).touch()
    return parse("\n".join(written).encode(), source=tmp_path / "list.txt", rules=PathRules((tmp_path,), (), False))


def rundown_of(tmp_path: Path, *names: str) -> tuple[Rundown, Shelf]:
    shelf = Shelf()
    made = Rundown(Queue("sequential", 0), shelf.look_up)
    take(made, listed(tmp_path, names))
    return made, shelf


def take(rundown: Rundown, playlist: Playlist) -> None:
    """An edit: what is wanted is told, and only of that a plan is made."""
    rundown.apply(playlist)
    rundown.wants(0)


def air(rundown: Rundown, planned: Planned, *, at_s: float = 0.0) -> list[str]:
    """The host begins an airing; gives what was passed over."""
    passed = rundown.started(rundown.now.serial + 1, planned.airing, started_ns=int(at_s * NS_PER_SECOND), started_wall_s=WALL_S + at_s)
    return [entry.locator for entry in passed]


def names(planned: Iterable[Planned]) -> list[str]:
    return [each.entry.locator for each in planned]


def test_a_plan_made_again_promises_the_same_airings(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b")
    assert [each.airing for each in rundown.plan()] == [each.airing for each in rundown.plan()]


def test_one_clip_that_airs_twice_in_a_plan_is_two_airings(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a")
    planned = rundown.plan()
    assert names(planned) == ["a"] * module.PLANNED_AIRINGS
    assert len({each.airing for each in planned}) == len(planned)


def test_an_airing_of_any_plan_of_a_storm_of_edits_is_understood(tmp_path: Path) -> None:
    """The host refuses plans within half a second of a boundary, and then airs what an old one promised."""
    rundown, _ = rundown_of(tmp_path, "a", "b", "c")
    old = rundown.plan()[0]
    for number in range(500):
        take(rundown, listed(tmp_path, ["a", "b", "c", f"x{number}"]))
        rundown.plan()
    air(rundown, old)
    assert rundown.now.planned is not None and rundown.now.planned.entry.locator == "a"
    assert names(rundown.plan())[:3] == ["b", "c", "x499"]


def test_the_rest_of_a_plan_is_understood_while_no_new_one_reaches_the_host(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b", "c")
    promised = rundown.plan()
    for planned in promised:
        air(rundown, planned)
        rundown.plan()
        assert rundown.now.planned is not None and rundown.now.planned.entry == planned.entry


def test_promises_do_not_pile_up(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b", "c")
    for _ in range(200):
        air(rundown, rundown.plan()[0])
    assert len(rundown._promised) <= (module.PLANNED_AIRINGS + 1) * module.PLANNED_AIRINGS


def test_what_was_removed_in_two_edits_and_airs_all_the_same_stops_nothing(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b", "c", "d")
    air(rundown, rundown.plan()[0])
    promised = rundown.plan()
    take(rundown, listed(tmp_path, ["a", "d"]))
    air(rundown, promised[0])
    air(rundown, promised[1])
    assert rundown.now.planned is not None and rundown.now.planned.entry.locator == "c"
    assert names(rundown.plan())[:2] == ["d", "a"]


def test_an_airing_of_nobodys_plan_is_taken_for_the_filler(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a")
    rundown.started(1, "never promised", started_ns=0, started_wall_s=WALL_S)
    assert rundown.now.planned is None
    assert rundown.describe_now(0) is None


def test_an_entry_not_ready_at_its_turn_is_passed_over_and_airs_when_it_is(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b", "c")
    shelf.delay("b")
    air(rundown, rundown.plan()[0])
    assert names(rundown.plan())[:2] == ["c", "a"]
    assert air(rundown, rundown.plan()[0]) == ["b"]
    del shelf.standings["b"]
    assert names(rundown.plan())[:3] == ["b", "a", "b"]


def test_repeats_air_in_a_row_and_are_shown_so(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b")
    playlist = listed(tmp_path, ["a", "b"])
    take(rundown, replace(playlist, entries=(replace(playlist.entries[0], repeat=2), playlist.entries[1])))
    assert names(rundown.plan())[:4] == ["a", "a", "b", "a"]
    air(rundown, rundown.plan()[0])
    assert names(rundown.plan())[:3] == ["a", "b", "a"]
    shown = [each["path"] for each in rundown.describe_next(3, now_ns=0, wall_s=WALL_S)]
    assert shown == ["a", "b", "a"]


def test_a_jump_of_the_wall_clock_moves_labels_but_not_the_position(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b")
    air(rundown, rundown.plan()[0], at_s=5)
    now_ns = 9 * NS_PER_SECOND
    shown = rundown.describe_now(now_ns)
    assert shown is not None and shown["position_s"] == 4.0
    assert rundown.ends_in_s(now_ns) == 6.0
    before, after = (rundown.describe_next(1, now_ns=now_ns, wall_s=wall_s)[0]["starts_at"] for wall_s in (WALL_S, WALL_S + 3600))
    assert (before[11:19], after[11:19]) == ("22:13:26", "23:13:26")


def test_a_position_never_leaves_its_clip(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a")
    air(rundown, rundown.plan()[0], at_s=5)
    early, late = rundown.describe_now(0), rundown.describe_now(100 * NS_PER_SECOND)
    assert early is not None and late is not None
    assert (early["position_s"], late["position_s"]) == (0.0, CLIP_S)
    assert rundown.ends_in_s(100 * NS_PER_SECOND) == 0.0


def test_next_shows_as_many_as_it_should_whatever_is_refused(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, *(f"x{number:02}" for number in range(40)))
    shelf.refuse(*(f"x{number:02}" for number in range(30)))
    shown = rundown.describe_next(8, now_ns=0, wall_s=WALL_S)
    assert [each["path"] for each in shown] == [f"x{number}" for number in range(30, 38)]


def test_times_of_what_is_next_end_behind_an_unknown_length(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b", "c", "d")
    shelf.delay("c")
    air(rundown, rundown.plan()[0])
    shown = rundown.describe_next(3, now_ns=0, wall_s=WALL_S)
    assert [(each["path"], each["ready"], each["starts_at"] is not None) for each in shown] == [
        ("b", True, True),
        ("c", False, True),
        ("d", True, False),
    ]


def test_the_same_id_stands_in_now_next_skipped_and_the_list(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b")
    take(rundown, listed(tmp_path, ["z", "a", "b"]))
    shelf.refuse("b")
    of_list = {entry.locator: entry.id for entry in rundown.listed()}
    skipped = rundown.describe_skipped({entry.content: "no frame decodes" for entry in rundown.listed() if entry.locator == "b"})
    assert [(each["entry"], each["path"]) for each in skipped] == [(of_list["b"], "b")]
    assert {each["path"]: each["entry"] for each in rundown.describe_next(2, now_ns=0, wall_s=WALL_S)} == {
        name: of_list[name] for name in ("z", "a")
    }


def test_skipped_names_missing_files_and_is_bounded(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", *(f"missing{number}" for number in range(200)))
    skipped = rundown.describe_skipped({})
    assert len(skipped) == module.SHOWN_SKIPPED
    assert skipped[0]["path"] == "missing0" and "no such file" in skipped[0]["reason"]


def test_wants_are_due_one_after_the_other_and_refused_ones_take_no_time(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b", "c", "d")
    shelf.refuse("c")
    air(rundown, rundown.plan()[0])
    wants = rundown.wants(4 * NS_PER_SECOND)
    assert [(want.entry.locator, want.due_s) for want in wants] == [("b", 6.0), ("c", 16.0), ("d", 16.0), ("a", 26.0)]


def test_a_clip_that_airs_while_it_grows_is_wanted_first_and_counts_with_its_whole_length(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b")
    shelf.standings["a"] = Prepared(Readiness.READY, clip("a", duration_s=20.0, growing=True), length_s=5400.0)
    air(rundown, rundown.plan()[0])
    wants = rundown.wants(10 * NS_PER_SECOND)
    assert [(want.entry.locator, want.due_s) for want in wants] == [("a", 0.0), ("b", 5390.0), ("a", 5400.0)]


def test_whatever_is_refused_clips_behind_it_are_wanted(tmp_path: Path) -> None:
    count = module.WANTED_ENTRIES + 100
    rundown, shelf = rundown_of(tmp_path, *(f"x{number:05}" for number in range(count)), "good")
    shelf.refuse(*(f"x{number:05}" for number in range(count)))
    assert "good" in [want.entry.locator for want in rundown.wants(0)]


def test_a_list_of_ready_clips_never_runs_dry(tmp_path: Path) -> None:
    rundown, shelf = rundown_of(tmp_path, "a", "b", "c")
    assert rundown.dry_in_s(0) is None
    shelf.refuse("b")
    assert rundown.dry_in_s(0) is None
    shelf.delay("c", length_s=30.0)
    air(rundown, rundown.plan()[0])
    assert rundown.dry_in_s(4 * NS_PER_SECOND) == 6.0


def test_secrets_of_a_url_are_not_shown(tmp_path: Path) -> None:
    shelf = Shelf()
    rundown = Rundown(Queue("sequential", 0), shelf.look_up)
    text = b"https://user:hunter2@example.org/film.mp4?token=s3cret\n"
    take(rundown, parse(text, source=tmp_path / "list.txt", rules=PathRules((tmp_path,), ("https",), False)))
    air(rundown, rundown.plan()[0])
    shown = str([rundown.describe_now(0), rundown.describe_next(2, now_ns=0, wall_s=WALL_S)])
    assert "example.org/film.mp4" in shown
    assert "hunter2" not in shown and "s3cret" not in shown


def test_a_plan_of_a_long_list_asks_only_for_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    asked: list[str] = []

    def look_up(entry: Entry) -> Prepared:
        asked.append(entry.id)
        return Prepared(Readiness.PENDING)

    rundown = Rundown(Queue("sequential", 0), look_up)
    text = b"a\n" * (5 * module.WANTED_ENTRIES)
    take(rundown, parse(text, source=tmp_path / "list.txt", rules=PathRules((tmp_path,), (), False)))
    asked.clear()
    assert rundown.plan() == []
    assert len(asked) == module.WANTED_ENTRIES


def test_what_comes_after_many_repeats_is_wanted_and_due_when_they_are_over(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path, "a", "b")
    playlist = listed(tmp_path, ["a", "b"])
    take(rundown, replace(playlist, entries=(replace(playlist.entries[0], repeat=1_000_000), playlist.entries[1])))
    assert [(want.entry.locator, want.due_s) for want in rundown.wants(0)] == [("a", 0.0), ("b", 1_000_000 * CLIP_S)]


def test_what_is_put_in_between_airs_although_the_list_is_empty(tmp_path: Path) -> None:
    rundown, _ = rundown_of(tmp_path)
    inserted = rundown.queue.play_next(listed(tmp_path, ["a.mp4"]).entries[0])
    assert [want.entry for want in rundown.wants(0)] == [inserted]
    assert [planned.entry for planned in rundown.plan()] == [inserted]


def test_what_began_before_the_list_was_read_has_had_its_turn(tmp_path: Path) -> None:
    before, shelf = rundown_of(tmp_path, "a", "b", "c", "d")
    shelf.delay("b", "c", "d")
    before.plan()  # found pending, and waited for from now on
    shelf.standings.clear()
    planned = before.plan()
    air(before, planned[0])
    promised = before.plan()
    # Control begins anew, and is so slow that two more begin before it has read its list.
    after = Rundown(Queue("sequential", 0), shelf.look_up)
    after.queue.restore(before.queue.memory())
    tag = Tag.read(planned[0].tag)
    assert tag is not None
    after.take_up(1, after.learn(planned[0].airing, tag, 1), started_ns=0, started_wall_s=WALL_S)
    for serial, each in enumerate(promised[:2], 2):
        told = Tag.read(each.tag)
        assert told is not None
        after.learn(each.airing, told, serial)
        assert after.started(serial, each.airing, started_ns=0, started_wall_s=WALL_S) == []
    take(after, listed(tmp_path, ("a", "b", "c", "d")))
    assert after.catch_up() == promised[1].entry.id
    take(after, listed(tmp_path, ("a", "b", "c", "d")))
    assert names(after.plan())[:5] == ["d", "a", "b", "c", "d"]
    assert after.catch_up() is None


def test_what_was_taken_up_and_was_not_written_down_has_had_its_turn(tmp_path: Path) -> None:
    before, shelf = rundown_of(tmp_path, "a", "b", "c", "d")
    shelf.delay("b", "c", "d")
    before.plan()  # found pending, and waited for from now on
    shelf.standings.clear()
    air(before, before.plan()[0])
    promised = before.plan()
    after = Rundown(Queue("sequential", 0), shelf.look_up)
    after.queue.restore(before.queue.memory())
    b, c = (Tag.read(each.tag) for each in promised[:2])
    assert b is not None
    assert c is not None
    after.take_up(2, after.learn(promised[0].airing, b, 2), started_ns=0, started_wall_s=WALL_S, is_known=False)
    after.learn(promised[1].airing, c, 3)
    after.started(3, promised[1].airing, started_ns=0, started_wall_s=WALL_S)
    assert after.is_behind
    after.apply(listed(tmp_path, ("a", "b", "c", "d")))
    after.catch_up()
    after.wants(0)
    assert names(after.plan())[:4] == ["d", "a", "b", "c"]
    assert not after.is_behind


def test_what_is_put_in_between_without_a_list_airs_once(tmp_path: Path) -> None:
    of_list, shelf = rundown_of(tmp_path, "a", "b")
    made = Rundown(Queue("sequential", 0), shelf.look_up)
    made.queue.play_next(of_list.listed()[0])
    made.wants(0)
    air(made, made.plan()[0])
    assert made.plan() == []
    assert not made.is_behind
