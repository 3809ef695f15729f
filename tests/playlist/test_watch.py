"""Every way of saving a playlist is seen, and a half-written one is not."""

import contextlib
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from channeld.playlist.trail import is_being_written
from channeld.playlist.watch import ChangeKind, PlaylistWatch, Watcher

DEADLINE_S = 10.0
NEVER_S = 3600.0


class Reader:
    """Reads the playlist at each change, as the daemon does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kinds: list[ChangeKind] = []
        self.texts: list[str] = []
        self._changed = threading.Condition()

    def on_change(self, kind: ChangeKind) -> None:
        with self._changed:
            self.kinds.append(kind)
            if kind is not ChangeKind.REMOVED and self.path.is_file():
                with contextlib.suppress(FileNotFoundError):  # gone again since
                    self.texts.append(self.path.read_text())
            self._changed.notify_all()

    def wait_for(self, claim: Callable[["Reader"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: claim(self), DEADLINE_S), (self.kinds, self.texts)

    def wait_for_text(self, text: str) -> None:
        self.wait_for(lambda reader: reader.texts[-1:] == [text])


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher()
    watcher.start()
    yield watcher
    watcher.close()


@pytest.fixture
def watch(watcher: Watcher) -> Callable[..., Reader]:
    """Watch a path, with events only unless a rescan is asked for."""

    def begin(path: Path, rescan_s: float = NEVER_S) -> Reader:
        reader = Reader(path)
        watcher.add(PlaylistWatch(path, reader.on_change, rescan_s))
        return reader

    return begin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "list.txt").write_text("old")
    return folder


def write_in_place(path: Path) -> None:
    path.write_text("new")


def write_temp_then_rename(path: Path) -> None:
    temp = path.with_name(".list.txt.tmp")
    temp.write_text("new")
    temp.replace(path)


def save_like_vim(path: Path) -> None:
    path.rename(path.with_name("list.txt~"))
    path.write_text("new")
    path.with_name("list.txt~").unlink()


def save_with_backup_elsewhere(path: Path) -> None:
    path.rename(path.parent.parent / "backup.txt")
    path.write_text("new")


def copy_over(path: Path) -> None:
    source = path.parent.parent / "source.txt"
    source.write_text("new")
    subprocess.run(["cp", source, path], check=True)


def move_over(path: Path) -> None:
    source = path.parent.parent / "source.txt"
    source.write_text("new")
    subprocess.run(["mv", source, path], check=True)


def link_over(path: Path) -> None:
    (path.parent.parent / "target.txt").write_text("new")
    subprocess.run(["ln", "-sfn", path.parent.parent / "target.txt", path], check=True)


def hard_link_over(path: Path) -> None:
    (path.parent.parent / "target.txt").write_text("new")
    path.unlink(missing_ok=True)
    path.hardlink_to(path.parent.parent / "target.txt")


def delete_and_recreate(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_text("new")


def delete_and_recreate_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_text("new")


def move_folder_over(path: Path) -> None:
    fresh = path.parent.with_name("fresh")
    fresh.mkdir()
    (fresh / path.name).write_text("new")
    path.parent.rename(path.parent.with_name("was"))
    fresh.rename(path.parent)


WAYS = [
    write_in_place,
    write_temp_then_rename,
    save_like_vim,
    save_with_backup_elsewhere,
    copy_over,
    move_over,
    link_over,
    hard_link_over,
    delete_and_recreate,
    delete_and_recreate_folder,
    move_folder_over,
]


@pytest.mark.parametrize("save", WAYS)
def test_every_way_of_saving_is_seen_and_the_next_one_too(folder, watch, save):
    reader = watch(folder / "list.txt")
    save(folder / "list.txt")
    reader.wait_for_text("new")
    (folder / "list.txt").write_text("newer")
    reader.wait_for_text("newer")


def test_saving_in_all_ways_one_after_the_other_is_seen(folder, watch):
    reader = watch(folder / "list.txt")
    for turn in range(3):
        for save in WAYS:
            for leftover in folder.parent.iterdir():
                if leftover.name in ("was", "fresh"):
                    shutil.rmtree(leftover)
            if (folder / "list.txt").is_symlink():
                (folder / "list.txt").unlink()
                (folder / "list.txt").write_text("plain")
                reader.wait_for_text("plain")
            save(folder / "list.txt")
            reader.wait_for_text("new")
            (folder / "list.txt").write_text(f"{turn}")
            reader.wait_for_text(f"{turn}")


def test_a_folder_on_the_way_that_is_a_link_is_followed_when_it_swaps(tmp_path, watch):
    for name in ("monday", "tuesday"):
        (tmp_path / name / "lists").mkdir(parents=True)
        (tmp_path / name / "lists" / "list.txt").write_text(name)
    (tmp_path / "current").symlink_to("monday")
    reader = watch(tmp_path / "current" / "lists" / "list.txt")
    subprocess.run(["ln", "-sfn", "tuesday", tmp_path / "current"], check=True)
    reader.wait_for_text("tuesday")
    (tmp_path / "tuesday" / "lists" / "list.txt").write_text("evening")
    reader.wait_for_text("evening")


def test_a_change_of_the_linked_file_itself_is_seen(tmp_path, watch):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "far" / "real.txt").write_text("old")
    (tmp_path / "near" / "list.txt").symlink_to("../far/real.txt")
    reader = watch(tmp_path / "near" / "list.txt")
    (tmp_path / "far" / "real.txt").write_text("new")
    reader.wait_for_text("new")


def test_a_playlist_that_does_not_exist_yet_is_seen_when_it_comes(tmp_path, watch):
    path = tmp_path / "not" / "yet" / "list.txt"
    reader = watch(path)
    path.parent.mkdir(parents=True)
    path.write_text("new")
    reader.wait_for_text("new")


def test_removal_is_told_once(folder, watch):
    reader = watch(folder / "list.txt")
    shutil.rmtree(folder)
    reader.wait_for(lambda reader: reader.kinds[-1:] == [ChangeKind.REMOVED])
    folder.mkdir()
    (folder / "list.txt").write_text("new")
    reader.wait_for_text("new")
    assert reader.kinds.count(ChangeKind.REMOVED) == 1


def test_a_half_written_file_is_not_told(folder, watch):
    """The file stays open while another playlist's change goes through the same thread: only the close is told."""
    reader, other = watch(folder / "list.txt"), watch(folder / "other.txt")
    with (folder / "list.txt").open("w") as file:
        file.write("ha")
        file.flush()
        (folder / "other.txt").write_text("x")
        other.wait_for_text("x")
        assert reader.kinds == []
        file.write("lf")
    reader.wait_for_text("half")
    assert reader.texts == ["half"]


def test_a_file_created_anew_and_still_open_is_not_told(folder, watch):
    reader, other = watch(folder / "list.txt"), watch(folder / "other.txt")
    (folder / "list.txt").unlink()
    with (folder / "list.txt").open("w") as file:
        file.write("whole")
        (folder / "other.txt").write_text("x")
        other.wait_for_text("x")
        assert reader.texts == []
    reader.wait_for_text("whole")
    assert set(reader.texts) == {"whole"}


def test_a_neighbour_is_not_told(folder, watch):
    reader, other = watch(folder / "list.txt"), watch(folder / "other.txt")
    (folder / "third.txt").write_text("x")
    (folder / "other.txt").write_text("x")
    other.wait_for_text("x")
    assert reader.kinds == []


def test_a_folder_playlist_tells_of_media_that_come_and_go(tmp_path, watch):
    reader = watch(tmp_path)
    for act in (
        lambda: (tmp_path / "a.mp4").write_text("x"),
        lambda: (tmp_path / "a.mp4").rename(tmp_path / "b.mp4"),
        lambda: (tmp_path / "c.mp4").symlink_to("b.mp4"),
        lambda: (tmp_path / "b.mp4").unlink(),
    ):
        told = len(reader.kinds)
        act()
        reader.wait_for(lambda reader, told=told: len(reader.kinds) > told)


def test_a_removed_playlist_is_told_of_no_more(folder, watcher, watch):
    reader, other = Reader(folder / "list.txt"), watch(folder / "other.txt")
    playlist = PlaylistWatch(folder / "list.txt", reader.on_change, NEVER_S)
    watcher.add(playlist)
    watcher.remove(playlist)
    (folder / "list.txt").write_text("new")
    (folder / "other.txt").write_text("x")
    other.wait_for_text("x")
    assert reader.kinds == []


def test_an_edit_between_making_and_adding_a_watch_is_told(folder, watcher):
    reader = Reader(folder / "list.txt")
    playlist = PlaylistWatch(folder / "list.txt", reader.on_change, NEVER_S)
    (folder / "list.txt").write_text("in between")
    watcher.add(playlist)
    reader.wait_for_text("in between")


def test_the_rescan_tells_of_what_stood_still_and_only_then(folder):
    reader = Reader(folder / "list.txt")
    playlist = PlaylistWatch(folder / "list.txt", reader.on_change, 5.0)
    start_s = time.monotonic()
    for age_s, text in ((0.0, "a"), (0.9, "bb"), (1.8, "ccc")):  # it changes between looks: never told
        (folder / "list.txt").write_text(text)
        playlist.look()
        playlist.rescan(start_s + age_s)
    playlist.rescan(start_s + 2.7)
    assert reader.kinds == []
    playlist.rescan(playlist.due_s)
    assert (reader.kinds, reader.texts) == ([ChangeKind.FOUND], ["ccc"])
    (folder / "list.txt").unlink()
    playlist.look()
    playlist.rescan(start_s + 9)
    assert reader.kinds[1:] == [ChangeKind.REMOVED]


def test_the_kernel_says_whether_a_file_is_open_for_writing(folder):
    path = folder / "list.txt"
    with path.open("a"):
        assert is_being_written(str(path)) in (True, None)
    with path.open():
        assert is_being_written(str(path)) in (False, None)
    assert is_being_written(str(folder / "none")) is None


def test_without_inotify_the_rescan_finds_changes_and_one_warning_is_given(folder):
    """A process at its limit of descriptors gets EMFILE from inotify_init(2)."""
    script = textwrap.dedent(
        """
        import os, resource, sys, threading
        from pathlib import Path
        from channeld.playlist.watch import PlaylistWatch, Watcher
        path, found = Path(sys.argv[1]), threading.Event()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        watcher = Watcher()
        watcher.start()
        watcher.add(PlaylistWatch(path, lambda kind: (print(kind.value), found.set()), 0.1))
        for fd in taken:
            os.close(fd)
        path.write_text("new")
        assert found.wait(30)
        watcher.close()
        """
    )
    done = subprocess.run([sys.executable, "-c", script, folder / "list.txt"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "found"
    assert (done.stdout + done.stderr).count("playlist_watch_limited") == 1


def test_a_storm_of_edits_ends_with_the_last_text(folder, watch):
    reader = watch(folder / "list.txt")
    for turn in range(200):
        write_temp = folder / f".tmp{turn}"
        write_temp.write_text(f"{turn}")
        if turn % 2:
            write_temp.replace(folder / "list.txt")
        else:
            shutil.copyfile(write_temp, folder / "list.txt")
    reader.wait_for_text("199")


def test_close_is_idempotent_and_ends_the_threads(folder):
    before = set(threading.enumerate())
    watcher = Watcher()
    watcher.start()
    watcher.add(PlaylistWatch(folder / "list.txt", lambda kind: None))
    watcher.close()
    watcher.close()
    left = {thread for thread in set(threading.enumerate()) - before if thread.is_alive()}
    assert not left
