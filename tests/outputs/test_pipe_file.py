"""The FIFO at a path that people chose: never in another file's place, and a pipe of its own for each reader."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from channeld.base.errors import OutputError
from channeld.outputs.pipe_file import PipeFile, PipeOwner, remove_leftovers

Until = Callable[[Callable[[], object]], None]
OURS = PipeOwner()


class Reader:
    """A program that opens a path as players do, and copies what it reads."""

    def __init__(self, path: Path, user: int | None = None) -> None:
        as_user = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self.process = subprocess.Popen([*as_user, "cat", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self) -> bytes:
        """What it read up to the end of its file."""
        return self.process.communicate(timeout=30)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[PipeFile]:
    made = PipeFile(tmp_path / "live1.ts", OURS)
    made.make()
    yield made
    made.remove()


def write_end(pipe: PipeFile, until: Until) -> int:
    """Once a reader is there."""
    found: list[int] = []

    def look() -> bool:
        fd = pipe.open_writer()
        found.extend([fd] if fd is not None else [])
        return bool(found)

    until(look)
    return found[0]


def test_a_pipe_is_this_users_alone(pipe: PipeFile) -> None:
    facts = pipe.path.lstat()
    assert (stat.S_ISFIFO(facts.st_mode), stat.S_IMODE(facts.st_mode), pipe.is_there) == (True, 0o600, True)
    assert pipe.open_writer() is None, "nobody reads"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_members_of_a_group_may_read_and_not_write(tmp_path: Path, until: Until) -> None:
    """Also the pipe that takes the place of the first."""
    tmp_path.chmod(0o755)
    pipe = PipeFile(tmp_path / "live1.ts", PipeOwner(gid=12_345))
    pipe.make()
    reader = Reader(pipe.path)
    os.close(write_end(pipe, until))
    reader.end()
    facts = pipe.path.lstat()
    assert (facts.st_gid, stat.S_IMODE(facts.st_mode)) == (12_345, 0o640)
    pipe.remove()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "socket-like"])
def test_what_is_no_pipe_is_left_alone(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "live1.ts", tmp_path / "other"
    os.mkfifo(other)
    {
        "file": lambda: path.write_text("a film"),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(other),
        "socket-like": lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
    }[kind]()
    before = path.lstat()
    pipe = PipeFile(path, OURS)
    with pytest.raises(OutputError, match="is there already and is not a named pipe: left alone"):
        pipe.make()
    pipe.remove()
    assert path.lstat() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make another user's pipe")
def test_another_users_pipe_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "live1.ts")
    os.chown(tmp_path / "live1.ts", 65_534, 65_534)
    with pytest.raises(OutputError, match="another user's named pipe"):
        PipeFile(tmp_path / "live1.ts", OURS).make()


@pytest.mark.parametrize("folder", ["missing", "a-file"])
def test_a_folder_that_cannot_hold_a_pipe_is_told_with_what_to_do(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(OutputError, match="The folder must be there, and the daemon's user must be able to write in it"):
        PipeFile(tmp_path / folder / "live1.ts", OURS).make()


def test_a_killed_daemons_pipe_is_taken_over_with_whoever_waits_at_it(tmp_path: Path, until: Until) -> None:
    left = PipeFile(tmp_path / "live1.ts", OURS)
    left.make()
    reader = Reader(left.path)
    pipe = PipeFile(left.path, OURS)
    pipe.make()
    fd = write_end(pipe, until)
    os.write(fd, b"hello")
    os.close(fd)
    assert reader.end() == b"hello"
    pipe.remove()


def test_what_one_reader_left_unread_never_reaches_the_next(pipe: PipeFile, until: Until) -> None:
    """The first stops with the pipe full; the second is there before it goes, and while the first write end is open still."""
    first = Reader(pipe.path)
    stale = write_end(pipe, until)
    os.kill(first.process.pid, 19)
    full = False
    while not full:
        try:
            os.write(stale, b"stale" * 200)
        except BlockingIOError:
            full = True
    second = Reader(pipe.path)
    fresh = write_end(pipe, until)
    first.kill()
    os.write(fresh, b"fresh")
    os.close(fresh)
    assert second.end() == b"fresh"
    with pytest.raises(BrokenPipeError):
        os.write(stale, b"more")
    os.close(stale)


def test_two_readers_at_a_time_share_nothing(pipe: PipeFile, until: Until) -> None:
    ends = []
    readers = []
    for _ in range(2):
        readers.append(Reader(pipe.path))
        ends.append(write_end(pipe, until))
    for number, fd in enumerate(ends):
        os.write(fd, b"%d" % number * 5)
        os.close(fd)
    assert [reader.end() for reader in readers] == [b"00000", b"11111"]


def test_who_waits_at_a_pipe_that_goes_is_let_go(pipe: PipeFile, until: Until) -> None:
    reader = Reader(pipe.path)
    # It is in its open once the kernel lets it sleep there.
    until(lambda: Path(f"/proc/{reader.process.pid}/wchan").read_text() != "0" or reader.process.poll() is not None)
    pipe.remove()
    until(lambda: reader.process.poll() is not None or not pipe.path.exists())
    reader.kill()
    assert not pipe.path.exists()


def test_a_file_that_took_the_pipes_name_is_neither_opened_nor_removed(pipe: PipeFile) -> None:
    pipe.path.unlink()
    pipe.path.write_text("a film")
    assert not pipe.is_there
    with pytest.raises(OutputError):
        pipe.open_writer()
    pipe.remove()
    assert pipe.path.read_text() == "a film"


def test_another_pipe_at_the_path_is_not_filled(pipe: PipeFile) -> None:
    pipe.path.unlink()
    os.mkfifo(pipe.path)
    reader = os.open(pipe.path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OutputError, match="was replaced: left alone"):
        pipe.open_writer()
    os.close(reader)


def test_leftovers_go_and_what_is_configured_or_no_pipe_stays(tmp_path: Path) -> None:
    for name in ("old.ts", "live1.ts"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "note.txt").write_text("mine")
    remove_leftovers(tmp_path, {tmp_path / "live1.ts"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live1.ts", "note.txt"]


def test_a_folder_that_became_read_only_is_no_reason_to_fail(pipe: PipeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """EROFS: root, as whom tests may run, is not kept out by a mode."""

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        pipe.remove()
    assert pipe.path.is_fifo()
    pipe.path.unlink()
