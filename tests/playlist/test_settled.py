"""A list is read as a whole or not at all, whatever its writer does meanwhile."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from channeld.base.errors import PlaylistError
from channeld.playlist.settled import read_settled

LENGTHS = (1, 500, 2_000)


def test_a_list_that_a_program_holds_open_for_writing_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with path.open("w") as file:
        file.write("a.mp4\n")
        file.flush()
        assert read_settled(path) is None
        file.write("b.mp4\n")
    assert read_settled(path) == b"a.mp4\nb.mp4\n"


def test_a_list_rewritten_in_place_all_the_time_is_never_read_in_part(tmp_path: Path) -> None:
    """Another process empties and fills the file as fast as it can; many readings fall in between."""
    path = tmp_path / "list.txt"
    program = f"""
        import sys
        for number in range(3000):
            with open(sys.argv[1], "w") as file:
                for line in range({LENGTHS}[number % {len(LENGTHS)}]):
                    file.write(f"clip-{{line}}.mp4\\n")
    """
    path.write_text("clip-0.mp4\n")
    seen: set[int] = set()
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(path)]) as writer:
        while writer.poll() is None:
            found = read_settled(path)
            if found is not None:
                seen.add(found.count(b"\n"))
    assert writer.returncode == 0
    assert seen <= set(LENGTHS)
    assert read_settled(path) == path.read_bytes(), "nobody is at it any more"


def test_a_missing_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PlaylistError, match=r"none\.txt.*No such file"):
        read_settled(tmp_path / "none.txt")
