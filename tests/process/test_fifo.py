"""FIFOs on a real file system."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.base.errors import ProcessError
from channeld.process.fifo import Fifo, clean_stale, pipe_bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fifo" / "live1.rtmp"


@pytest.fixture
def reader(path: Path) -> Iterator[int]:
    """A FIFO at `path` with its read end open."""
    Fifo.create(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def never() -> bool:
    return False


def open_writer(fifo: Fifo, deadline_s: float = 20.0) -> int:
    fd = fifo.open_writer(deadline_s, never)
    assert fd is not None
    return fd


def test_fifo_and_folder_are_ours_alone(path: Path) -> None:
    Fifo.create(path)
    facts = path.lstat()
    assert stat.S_ISFIFO(facts.st_mode)
    assert (stat.S_IMODE(facts.st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)


def test_a_stale_fifo_is_replaced_and_what_was_in_it_does_not_come_out(path: Path) -> None:
    old = Fifo.create(path)
    old_reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    old_writer = open_writer(old)
    os.write(old_writer, b"stale")
    new = Fifo.create(path)
    new_reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    new_writer = open_writer(new)
    os.write(new_writer, b"fresh")
    assert os.read(new_reader, 100) == b"fresh"
    for fd in (old_reader, old_writer, new_reader, new_writer):
        os.close(fd)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_but_a_fifo_is_left_alone(path: Path, kind: str, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    target = tmp_path / "precious"
    target.write_text("kept")
    {"file": lambda: path.write_text("kept"), "folder": path.mkdir, "link": lambda: path.symlink_to(target)}[kind]()
    with pytest.raises(ProcessError, match="not a FIFO"):
        Fifo.create(path)
    assert path.is_symlink() or path.exists()
    assert target.read_text() == "kept"


def test_a_folder_that_others_may_enter_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o755)
    with pytest.raises(ProcessError, match="0700"):
        Fifo.create(path)


def test_a_link_to_a_folder_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProcessError, match="not a folder of ours"):
        Fifo.create(path)


def test_opening_waits_for_a_reader_that_comes_later(path: Path) -> None:
    fifo = Fifo.create(path)
    asked = threading.Event()
    readers: list[int] = []

    def come_when_asked() -> None:
        assert asked.wait(20)
        readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    thread = threading.Thread(target=come_when_asked)
    thread.start()

    def note_that_it_waits() -> bool:
        asked.set()
        return False

    fd = fifo.open_writer(20.0, note_that_it_waits)
    thread.join(20)
    assert fd is not None
    assert os.get_blocking(fd) is False
    os.close(fd)
    os.close(readers[0])


def test_opening_gives_up_at_its_deadline(path: Path) -> None:
    with pytest.raises(ProcessError, match=r"nobody opened live1.rtmp for reading within 0.05 s"):
        Fifo.create(path).open_writer(0.05, never)


def test_opening_ends_at_once_when_told_to_stop(path: Path) -> None:
    assert Fifo.create(path).open_writer(600.0, lambda: True) is None


def test_a_writer_without_reader_gets_epipe(path: Path) -> None:
    """The write end is not read-write: the death of the reader is seen."""
    fifo = Fifo.create(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = open_writer(fifo)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        os.write(fd, b"x")
    os.close(fd)


def test_the_pipe_is_widened_where_that_is_allowed(path: Path) -> None:
    fifo = Fifo.create(path, want_bytes=256 * 1024)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = open_writer(fifo)
    assert 4096 <= pipe_bytes(fd) <= 256 * 1024
    os.close(fd)
    os.close(reading)


def test_a_refused_width_is_no_error(path: Path) -> None:
    """1 GiB is more than any kernel's default limit gives an ordinary user; less is accepted."""
    fifo = Fifo.create(path, want_bytes=1 << 30)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = open_writer(fifo)
    assert pipe_bytes(fd) >= 4096
    os.close(fd)
    os.close(reading)


def test_remove_takes_its_own_fifo_only(path: Path) -> None:
    first = Fifo.create(path)
    # A reader keeps the first inode in use, so that its number is not given to the second.
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    second = Fifo.create(path)
    first.remove()
    assert path.exists()
    second.remove()
    second.remove()
    assert not path.exists()
    os.close(reading)


def test_clean_stale_removes_fifos_and_nothing_else(path: Path) -> None:
    Fifo.create(path)
    Fifo.create(path.with_name("live2.rtmp"))
    other = path.with_name("note.txt")
    other.write_text("kept")
    assert clean_stale(path.parent) == 2
    assert list(path.parent.iterdir()) == [other]
    assert clean_stale(path.parent / "missing") == 0


TWO_HUNDRED = """
import os, sys
from pathlib import Path
from channeld.process.fifo import Fifo, pipe_bytes
folder, sizes, ends = Path(sys.argv[1]) / "fifo", [], []
for number in range(200):
    fifo = Fifo.create(folder / f"one.{number}")
    ends.append(os.open(fifo.path, os.O_RDONLY | os.O_NONBLOCK))
    fd = fifo.open_writer(5.0, lambda: False)
    sizes.append(pipe_bytes(fd))
    assert os.write(fd, b"x" * 4096) == 4096 and os.read(ends[-1], 8192) == b"x" * 4096
    ends.append(fd)
print(os.getuid(), len(sizes), max(sizes), min(sizes))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_has_two_hundred_fifos_though_the_kernel_may_narrow_some() -> None:
    """Its `pipe-user-pages-soft` bounds what such a user may have in wide ones; every one still carries the stream."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        line = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        script = [sys.executable, "-c", TWO_HUNDRED, folder]
        done = subprocess.run([*line, *script], capture_output=True, text=True, timeout=60, env=environment, check=False)
        if "Permission denied" in done.stderr:
            pytest.skip("an ordinary user cannot read this Python or this package")
    uid, count, widest, narrowest = map(int, done.stdout.split() or pytest.fail(done.stderr))
    assert (uid, count) == (65534, 200)
    assert widest >= narrowest >= 4096
