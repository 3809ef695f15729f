"""Files of the embedded origin, on a real file system, and on a really full one."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from channeld.base.clock import FakeClock
from channeld.outputs.hls_manifest import segment_name
from channeld.outputs.hls_store import SegmentStore


def write(store: SegmentStore, channel: str, number: int, pieces: list[bytes]) -> None:
    store.write_segment(channel, {segment_name(number): pieces})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, None, FakeClock())
    store.open_channel("one")
    write(store, "one", 7, [b"ab", b"", b"c" * 3000] + [b"x"] * 3000)
    store.write_manifest("one", b"text")
    assert names(tmp_path / "one") == ["index.m3u8", "segment-0000000007.ts"]
    assert (tmp_path / "one" / "segment-0000000007.ts").read_bytes() == b"ab" + b"c" * 3000 + b"x" * 3000
    assert (store.read_manifest("one"), store.total_bytes) == (b"text", 6002)


def test_a_removed_segment_stays_for_its_time_and_then_goes(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SegmentStore(tmp_path, None, clock)
    store.open_channel("one")
    write(store, "one", 1, [b"x" * 188])
    store.retire("one", segment_name(1), keep_s=10)
    clock.advance(9.9)
    store.purge()
    assert names(tmp_path / "one") == ["segment-0000000001.ts"]
    clock.advance(0.2)
    store.purge()
    assert (names(tmp_path / "one"), store.total_bytes) == ([], 0)


def test_the_cap_takes_the_oldest_removed_segments_first_and_never_a_listed_one(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, 1000, FakeClock())
    store.open_channel("one")
    for number in range(4):
        write(store, "one", number, [b"x" * 250])
    for number in (1, 0):
        store.retire("one", segment_name(number), keep_s=100)
    write(store, "one", 4, [b"x" * 200])
    assert names(tmp_path / "one") == [f"segment-{number:010d}.ts" for number in (0, 2, 3, 4)]
    write(store, "one", 5, [b"x" * 800])
    assert names(tmp_path / "one") == [f"segment-{number:010d}.ts" for number in (2, 3, 4, 5)]
    assert store.is_over_cap


def test_a_forgotten_channel_makes_room_when_room_is_needed(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, 500, FakeClock())
    store.open_channel("old")
    store.open_channel("new")
    write(store, "old", 1, [b"x" * 300])
    store.forget_channel("old")
    store.purge()
    assert names(tmp_path / "old") == ["segment-0000000001.ts"]
    write(store, "new", 1, [b"x" * 300])
    assert names(tmp_path / "old") == []


def test_unfinished_files_go_when_a_channel_is_opened(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("segment-0000000003.ts", "segment-0000000004.ts.tmp", "index.m3u8.tmp", "notes.txt"):
        (tmp_path / "one" / name).write_bytes(b"x" * 188)
    assert SegmentStore(tmp_path, None, FakeClock()).open_channel("one") == {segment_name(3): 188}
    assert names(tmp_path / "one") == ["notes.txt", "segment-0000000003.ts"]


@pytest.mark.parametrize("channel", ["..", ".", "a/b", "", "a\0b", "-x", "x" * 65])
def test_a_channel_id_that_could_leave_the_folder_is_refused(tmp_path: Path, channel: str) -> None:
    with pytest.raises(ValueError, match="channel id"):
        SegmentStore(tmp_path, None, FakeClock()).open_channel(channel)


def test_a_folder_that_was_deleted_is_made_again_with_the_next_segment(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path / "hls", None, FakeClock())
    store.open_channel("one")
    write(store, "one", 1, [b"x" * 188])
    shutil.rmtree(tmp_path / "hls")
    write(store, "one", 2, [b"x" * 188])
    store.write_manifest("one", b"text")
    assert names(tmp_path / "hls" / "one") == ["index.m3u8", "segment-0000000002.ts"]


def test_a_failed_write_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, None, FakeClock())
    store.open_channel("one")
    (tmp_path / "one").rename(tmp_path / "aside")
    (tmp_path / "one").touch()
    with pytest.raises(NotADirectoryError):
        write(store, "one", 1, [b"x"])
    assert (names(tmp_path / "aside"), store.total_bytes) == ([], 0)


def test_a_channel_whose_folder_is_broken_holds_up_nobody_else(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SegmentStore(tmp_path, 1000, clock)
    for channel in ("broken", "whole"):
        store.open_channel(channel)
        for number in (1, 2):
            write(store, channel, number, [b"x" * 200])
            store.retire(channel, segment_name(number), keep_s=10 * number)
    (tmp_path / "broken").rename(tmp_path / "aside")
    (tmp_path / "broken").touch()
    clock.advance(11)
    assert isinstance(store.purge(), NotADirectoryError)
    assert names(tmp_path / "whole") == ["segment-0000000002.ts"]
    write(store, "whole", 3, [b"x" * 700])  # room must be made: of the broken one's segments there is none to be had
    assert names(tmp_path / "whole") == ["segment-0000000003.ts"]
    (tmp_path / "broken").unlink()
    (tmp_path / "aside").rename(tmp_path / "broken")
    clock.advance(61)
    assert store.purge() is None
    assert (names(tmp_path / "broken"), store.total_bytes) == ([], 700)


FULL_DISK = """
import errno, sys
from pathlib import Path
from channeld.base.clock import FakeClock
from channeld.outputs.hls_manifest import segment_name
from channeld.outputs.hls_store import SegmentStore
store = SegmentStore(Path(sys.argv[1]), None, FakeClock())
store.open_channel("one")
for number in range(3):
    store.write_segment("one", {segment_name(number): [b"x" * 102400]})
store.retire("one", segment_name(0), keep_s=100)
store.write_segment("one", {segment_name(3): [b"y" * 102400]})     # a full disk takes the removed one
try:
    store.write_segment("one", {segment_name(4): [b"z" * 102400]})
except OSError as error:
    print(error.errno, sorted(path.name for path in Path(sys.argv[1], "one").iterdir()))
"""


def test_a_full_disk_takes_removed_segments_and_never_leaves_a_truncated_one(tmp_path: Path) -> None:
    """On a real file system of 320 KiB, in a mount namespace of its own."""
    mount = f"mount -t tmpfs -o size=320k tmpfs {tmp_path}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*inside, mount], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespaces for this user")
    line = f'{mount} && exec "$0" -c "$1" {tmp_path}'
    done = subprocess.run([*inside, line, sys.executable, FULL_DISK], check=True, capture_output=True, text=True, timeout=60)
    left = [f"segment-{number:010d}.ts" for number in (1, 2, 3)]
    assert done.stdout.strip() == f"{errno.ENOSPC} {left}"


def test_a_channel_that_left_keeps_its_files_for_its_viewers_and_then_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SegmentStore(tmp_path, None, clock)
    store.open_channel("live1")
    write(store, "live1", 1, [b"G" * 188])
    store.write_manifest("live1", b"#EXTM3U")
    store.clean_channel("live1", keep_s=20)
    clock.advance(19)
    store.purge()
    assert len(list((tmp_path / "live1").iterdir())) == 2
    clock.advance(1)
    store.purge()
    assert not (tmp_path / "live1").exists() and store.total_bytes == 0


def test_a_channel_that_comes_back_in_time_keeps_its_files(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SegmentStore(tmp_path, None, clock)
    store.open_channel("live1")
    write(store, "live1", 1, [b"G" * 188])
    store.clean_channel("live1", keep_s=20)
    assert store.open_channel("live1") == {segment_name(1): 188}
    clock.advance(100)
    store.purge()
    assert (tmp_path / "live1").exists()


def test_a_folder_that_somebody_else_removed_is_clean(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, None, FakeClock())
    store.clean_channel("live1", keep_s=0)
    assert store.purge() is None
    store.open_channel("live1")
    write(store, "live1", 1, [b"G" * 188])
    assert store.purge() is None and len(list((tmp_path / "live1").iterdir())) == 1


def test_files_of_others_in_a_channel_s_folder_stay(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SegmentStore(tmp_path, None, clock)
    store.open_channel("live1")
    write(store, "live1", 1, [b"G" * 188])
    (tmp_path / "live1" / "poster.jpg").touch()
    store.clean_channel("live1", keep_s=0)
    store.purge()
    assert [path.name for path in (tmp_path / "live1").iterdir()] == ["poster.jpg"]
