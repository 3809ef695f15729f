"""Playlists over the daemon's own control: edits end up in the file, in its format, and nobody's work is lost."""

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from station import Station, settings, until
from test_control import control_of

from channeld.api.control import Invalid, Refused, Stale
from channeld.control import DaemonControl
from channeld.playlist.locate import PathRules
from channeld.playlist.orders import AddEntry, ChangeEntry, MoveEntry, Order, RemoveEntry
from channeld.playlist.parse import parse

NAMES = [f"{letter}.mp4" for letter in "abcdefgh"]


@pytest.fixture(params=[".yaml"])
def playlist(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A list with comments; its clips are files that are no media, so nothing of it airs."""
    path = tmp_path / "media" / f"list{request.param}"
    path.parent.mkdir()
    for name in NAMES:
        (path.parent / name).write_bytes(b"no film")
    start = "- " if request.param == ".yaml" else ""
    path.write_text(f"# the morning\n{start}a.mp4\n# the evening\n{start}b.mp4\n{start}c.mp4\n")
    return path


@pytest.fixture
def station(tmp_path: Path, playlist: Path) -> Iterator[Station]:
    with Station(tmp_path, [settings(playlist)]) as opened:
        until(lambda: opened.shown()["revision"] == 1, "the first revision")
        yield opened


@pytest.fixture
def control(station: Station) -> DaemonControl:
    return control_of(station)


def tags(control: DaemonControl) -> frozenset[str]:
    return frozenset({control.read_playlist("one").tag})


def paths(control: DaemonControl) -> list[str]:
    return [entry["path"] for entry in control.read_playlist("one").entries]


def entry_of(control: DaemonControl, path: str) -> str:
    return next(str(entry["entry"]) for entry in control.read_playlist("one").entries if entry["path"] == path)


def test_single_entries_are_edited_in_the_file_and_the_rest_of_it_stays(control: DaemonControl, playlist: Path) -> None:
    added = control.edit_playlist(
        "one", AddEntry({"path": "d.mp4", "title": "Dee", "duration": "5"}, before=entry_of(control, "b.mp4")), if_match=tags(control)
    )
    assert (added.revision, added.changed, added.entry) == (2, True, entry_of(control, "d.mp4"))
    assert [entry["path"] for entry in added.diff["added"]] == ["d.mp4"]
    assert control.edit_playlist("one", MoveEntry(entry_of(control, "c.mp4"), to_index=0), if_match=tags(control)).revision == 3
    assert control.edit_playlist("one", ChangeEntry(entry_of(control, "b.mp4"), {"title": "Bee"}), if_match=tags(control)).revision == 4
    removed = control.edit_playlist("one", RemoveEntry(entry_of(control, "a.mp4")), if_match=tags(control))
    assert [entry["path"] for entry in removed.diff["removed"]] == ["a.mp4"]
    written = "# the morning\n- c.mp4\n# the evening\n- path: d.mp4\n  title: Dee\n  duration: 5\n- path: b.mp4\n  title: Bee\n"
    assert playlist.read_text() == written
    assert paths(control) == ["c.mp4", "d.mp4", "b.mp4"]
    assert sorted(each.name for each in playlist.parent.iterdir()) == [*NAMES, "list.yaml"]


def test_a_dry_run_tells_what_would_come_and_changes_nothing(control: DaemonControl, station: Station, playlist: Path) -> None:
    before, tag = playlist.read_bytes(), tags(control)
    order = RemoveEntry(entry_of(control, "b.mp4"))
    foreseen = control.edit_playlist("one", order, if_match=tag, dry_run=True)
    assert (foreseen.revision, foreseen.changed, frozenset({foreseen.tag})) == (1, True, tag)
    assert playlist.read_bytes() == before and station.shown()["revision"] == 1
    done = control.edit_playlist("one", order, if_match=tag)
    assert done.diff == foreseen.diff


def test_an_edit_of_a_list_that_was_not_read_loses_nothing(control: DaemonControl, playlist: Path) -> None:
    tag, order = tags(control), RemoveEntry(entry_of(control, "a.mp4"))
    control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=tag)
    written = playlist.read_bytes()
    with pytest.raises(Stale) as stale:
        control.edit_playlist("one", order, if_match=tag)
    assert stale.value.revision == 2 and playlist.read_bytes() == written


def test_a_file_that_changed_unheard_is_never_overwritten(control: DaemonControl, station: Station, playlist: Path) -> None:
    """Whether the watcher has told of it or not; a comment counts as much as an entry."""
    tag = tags(control)
    for text in ("# a word from elsewhere\n- a.mp4\n- b.mp4\n- c.mp4\n", "- e.mp4\n"):
        playlist.write_text(text)
        for dry_run in (True, False):
            with pytest.raises(Stale):
                control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=tag, dry_run=dry_run)
            with pytest.raises(Stale):
                control.write_playlist("one", text="- f.mp4\n", entries=None, if_match=tag, dry_run=dry_run)
        assert playlist.read_text() == text
    until(lambda: station.shown()["revision"] == 2, "the list from elsewhere")
    control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=tags(control))
    assert playlist.read_text() == "- e.mp4\n- d.mp4\n"


def test_a_broken_file_is_repaired_as_text_by_who_has_seen_it_and_by_nobody_else(
    control: DaemonControl, station: Station, playlist: Path
) -> None:
    tag, entry = tags(control), entry_of(control, "a.mp4")
    playlist.write_text("- a.mp4\n- {nonsense: 1}\n")
    until(lambda: station.shown()["edit_error"], "the fault")
    with pytest.raises(Stale):
        control.write_playlist("one", text="- a.mp4\n", entries=None, if_match=tag)
    with pytest.raises(Invalid) as invalid:
        control.edit_playlist("one", RemoveEntry(entry), if_match=None)
    assert invalid.value.line == 2
    control.write_playlist("one", text="- a.mp4\n", entries=None, if_match=tags(control))
    assert paths(control) == ["a.mp4"] and station.shown()["edit_error"] is None


def test_what_cannot_air_or_cannot_be_written_changes_nothing(control: DaemonControl, station: Station, playlist: Path) -> None:
    before, entry = playlist.read_bytes(), entry_of(control, "a.mp4")
    orders: list[tuple[Order, int]] = [
        (AddEntry({"path": "../outside.mp4"}), 422),
        (AddEntry({"path": "/etc/passwd"}), 422),
        (AddEntry({"path": "file:///etc/passwd"}), 422),
        (AddEntry({"path": "missing.mp4"}), 422),
        (AddEntry({"path": "a.mp4\n- b.mp4"}), 422),
        (AddEntry({"path": "a.mp4", "title": "one\ntwo"}), 422),
        (AddEntry({"path": "a.mp4"}, before="e0123456789abcdef"), 404),
        (MoveEntry(entry, to_index=3), 422),
        (MoveEntry("e0123456789abcdef", to_index=0), 404),
        (RemoveEntry("n1"), 404),
    ]
    for order, status in orders:
        with pytest.raises(Refused) as refused:
            control.edit_playlist("one", order, if_match=None)
        assert refused.value.status == status and refused.value.detail
    for fields in ({"in": "x"}, {"in": "5", "out": "5"}, {"out": "1", "duration": "1"}, {"repeat": "0"}):
        with pytest.raises(Invalid):
            control.edit_playlist("one", ChangeEntry(entry, dict(fields)), if_match=None)
    assert playlist.read_bytes() == before and station.shown()["revision"] == 1


@pytest.mark.parametrize("playlist", [".txt", ".m3u"], indirect=True)
def test_what_the_format_cannot_say_is_refused_with_what_to_do(control: DaemonControl, playlist: Path) -> None:
    before = playlist.read_bytes()
    with pytest.raises(Refused, match="yaml"):
        control.edit_playlist("one", AddEntry({"path": "d.mp4", "in": "5"}), if_match=None)
    with pytest.raises(Refused, match="begins with #"):
        (playlist.parent / "#d.mp4").write_bytes(b"no film")
        control.edit_playlist("one", AddEntry({"path": "#d.mp4"}), if_match=None)
    assert playlist.read_bytes() == before


def test_the_file_keeps_its_mode_its_owner_and_its_link(control: DaemonControl, playlist: Path) -> None:
    target = playlist.with_name("real.yaml")
    playlist.rename(target)
    playlist.symlink_to(target.name)
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 12345, 23456)
    before = target.stat()
    control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=tags(control))
    after = target.stat()
    assert playlist.is_symlink() and target.read_text().endswith("- d.mp4\n")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_folder_is_read_with_its_entries_and_edited_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"no film")
    with Station(tmp_path, [settings(folder)]) as station:
        until(lambda: station.shown()["revision"] == 1, "the first revision")
        control = control_of(station)
        document = control.read_playlist("one")
        assert [entry["path"] for entry in document.entries] == ["a.mp4"] and "folder" in (document.reason or "")
        with pytest.raises(Refused) as refused:
            control.edit_playlist("one", AddEntry({"path": "b.mp4"}), if_match=None)
        assert refused.value.status == 409


def test_a_list_is_read_page_by_page(control: DaemonControl) -> None:
    first = control.read_playlist("one", None, 2)
    second = control.read_playlist("one", first.next, 2)
    assert [[entry["path"] for entry in page.entries] for page in (first, second)] == [["a.mp4", "b.mp4"], ["c.mp4"]]
    assert (first.total, first.next, second.next, second.text) == (3, first.entries[-1]["entry"], None, "")
    with pytest.raises(Refused) as refused:
        control.read_playlist("one", "e0123456789abcdef", 2)
    assert refused.value.status == 404


@pytest.mark.parametrize("turns", [50, pytest.param(250, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_edits_by_many_hands_leave_a_valid_list_and_lose_none(control: DaemonControl, playlist: Path, turns: int) -> None:
    """Each hand adds and removes entries of its own among those of others; in the end, what each meant to be there is."""
    hands = 4
    rules = PathRules((playlist.parent,))
    failures: list[BaseException] = []
    meant: dict[int, int] = {}
    is_over = threading.Event()

    def edit_as(hand: int) -> None:
        chance, mine = random.Random(hand), 0
        done = 0
        try:
            while done < turns:
                document = control.read_playlist("one")
                own = [entry["entry"] for entry in document.entries if entry["path"] == NAMES[4 + hand]]
                assert len(own) == mine
                order: Order = AddEntry({"path": NAMES[4 + hand]}, before=chance.choice(document.entries)["entry"])
                if own and chance.random() < 0.4:
                    order = RemoveEntry(chance.choice(own))
                elif own and chance.random() < 0.4:
                    order = MoveEntry(chance.choice(own), to_index=chance.randrange(document.total))
                try:
                    control.edit_playlist("one", order, if_match=frozenset({document.tag}))
                except Stale:
                    continue
                mine += {AddEntry: 1, RemoveEntry: -1}.get(type(order), 0)
                done += 1
            meant[hand] = mine
        except BaseException as error:
            failures.append(error)
            raise

    def watch() -> None:
        while not is_over.wait(0.01):
            parse(playlist.read_bytes(), source=playlist, rules=rules)

    threads = [threading.Thread(target=edit_as, args=(hand,)) for hand in range(hands)]
    watcher = threading.Thread(target=watch)
    for thread in (*threads, watcher):
        thread.start()
    try:
        for thread in threads:
            thread.join(500)
    finally:
        is_over.set()
        watcher.join(10)
    assert failures == [] and len(meant) == hands
    left = paths(control)
    assert {hand: left.count(NAMES[4 + hand]) for hand in range(hands)} == meant
    assert [path for path in left if path in NAMES[:4]] == ["a.mp4", "b.mp4", "c.mp4"]
    assert playlist.read_text().count("#") == 2


@pytest.mark.parametrize("playlist", [".txt", ".m3u"], indirect=True)
def test_a_list_in_latin_1_survives_being_read_and_written_back(control: DaemonControl, station: Station, playlist: Path) -> None:
    (playlist.parent / "Bär.mp4").write_bytes(b"no film")
    playlist.write_bytes("Bär.mp4\r\na.mp4\r\n".encode("latin-1"))
    until(lambda: station.shown()["revision"] == 2, "the list to be read")
    document = control.read_playlist("one")
    assert document.text == "Bär.mp4\r\na.mp4\r\n" and paths(control) == ["Bär.mp4", "a.mp4"]
    control.write_playlist("one", text=document.text + "b.mp4\r\n", entries=None, if_match=frozenset({document.tag}))
    assert playlist.read_text("utf-8") == "Bär.mp4\na.mp4\nb.mp4\n"
    assert paths(control) == ["Bär.mp4", "a.mp4", "b.mp4"]


def test_a_program_that_has_the_list_open_wins(control: DaemonControl, playlist: Path) -> None:
    """What it writes later would go into a file that nobody reads."""
    before = playlist.read_bytes()
    with playlist.open("ab") as file:
        with pytest.raises(Stale):
            control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=None)
        assert playlist.read_bytes() == before
        file.write(b"- e.mp4\n")
    until(lambda: paths(control) == ["a.mp4", "b.mp4", "c.mp4", "e.mp4"], "what it wrote")
    control.edit_playlist("one", AddEntry({"path": "d.mp4"}), if_match=None)
    assert paths(control)[-1] == "d.mp4"


@pytest.mark.parametrize(("playlist", "title"), [(".txt", "A"), (".m3u", "")], indirect=["playlist"])
def test_entries_that_the_format_cannot_hold_are_refused(control: DaemonControl, playlist: Path, title: str) -> None:
    before = playlist.read_bytes()
    for entry in ({"path": "a.mp4", "title": title, "in": "1"}, {"path": " # a.mp4"}, {"path": "  "}, {"path": None}):
        with pytest.raises(Invalid):
            control.write_playlist("one", text=None, entries=[entry], if_match=tags(control))
    if title:
        with pytest.raises(Invalid, match="title"):
            control.write_playlist("one", text=None, entries=[{"path": "a.mp4", "title": title}], if_match=tags(control))
    assert playlist.read_bytes() == before


def test_a_title_of_null_is_none(control: DaemonControl, playlist: Path) -> None:
    control.write_playlist("one", text="- {path: a.mp4, title: null}\n- {path: b.mp4, title: ~}\n", entries=None, if_match=tags(control))
    assert [entry["title"] for entry in control.read_playlist("one").entries] == ["a", "b"]
