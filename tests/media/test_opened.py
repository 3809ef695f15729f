"""Files opened where they were judged to lie, and nowhere else."""

import os
import subprocess
from pathlib import Path

import pytest

from channeld.media.fingerprint import fingerprint
from channeld.media.opened import open_judged, opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with a file in a folder, and the same names outside of it."""
    for side in ("root", "outside"):
        (tmp_path / side / "folder").mkdir(parents=True)
        (tmp_path / side / "folder" / "clip.mp4").write_text(side)
    return tmp_path


def test_ffmpeg_reads_the_judged_file_whatever_becomes_of_its_path(tree: Path) -> None:
    clip = tree / "root" / "folder" / "clip.mp4"
    with opened(clip) as path:
        clip.unlink()
        clip.symlink_to(tree / "outside" / "folder" / "clip.mp4")
        # Another process, as FFmpeg is one.
        assert subprocess.run(["cat", str(path)], capture_output=True, timeout=10, check=True).stdout == b"root"
    assert not path.exists()


@pytest.mark.parametrize("swapped", ["clip.mp4", ""])
def test_a_path_that_leads_elsewhere_by_now_is_not_read(tree: Path, swapped: str) -> None:
    """By a link in the file's place, and by one in its folder's."""
    place = tree / "root" / "folder" / swapped
    place.rename(tree / "aside")
    place.symlink_to(tree / "outside" / "folder" / swapped)
    for read in (open_judged, fingerprint):
        with pytest.raises(OSError, match="leads to another file"):
            read(tree / "root" / "folder" / "clip.mp4")


def test_a_pipe_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    os.close(open_judged(tmp_path / "clip.mp4"))


def test_no_descriptor_is_left(tree: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        open_judged(tree / "none")
    with opened(tree / "root" / "folder" / "clip.mp4"):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
