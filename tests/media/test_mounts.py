"""Files are told apart by the mounts they stand below, without a look at them."""

from pathlib import Path

import pytest

from channeld.media.mounts import Mounts

TABLE = r"""22 1 0:20 / / rw - ext4 /dev/sda1 rw
30 22 0:31 / /media/nas rw,relatime shared:5 - nfs nas:/films rw
31 30 0:32 / /media/nas/new\040films rw - nfs nas:/new rw
32 22 0:33 / /media/nasty rw - ext4 /dev/sdb1 rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    (tmp_path / "table").write_text(TABLE)
    return Mounts(tmp_path / "table")


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/srv/a.mp4", "/"),
        ("/a.mp4", "/"),
        ("/media/nas/a.mp4", "/media/nas/"),
        ("/media/nas/x/y/a.mp4", "/media/nas/"),
        ("/media/nas/new films/a.mp4", "/media/nas/new films/"),
        ("/media/nasty/a.mp4", "/media/nasty/"),
        ("/media/other/a.mp4", "/"),
    ],
)
def test_the_longest_mount_above_a_file_counts(mounts: Mounts, path: str, mount: str) -> None:
    assert mounts.of(Path(path)) == mount


def test_without_a_table_all_files_stand_on_one_disk(tmp_path: Path) -> None:
    assert Mounts(tmp_path / "none").of(Path("/media/nas/a.mp4")) == "/"


def test_the_machines_own_table_is_understood(tmp_path: Path) -> None:
    assert Mounts().of(Path("/proc/self/status")) == "/proc/"
