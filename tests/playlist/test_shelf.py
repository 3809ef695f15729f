"""The last valid list outlives the process, whole."""

from pathlib import Path

from channeld.playlist.shelf import Shelf


def test_the_last_list_that_was_kept_is_there_for_another_process(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "lists")
    assert shelf.last("one") is None
    shelf.keep("one", b"a.mp4\n")
    shelf.keep("one", b"b.mp4\n")
    assert Shelf(tmp_path / "lists").last("one") == b"b.mp4\n"
    assert [path.name for path in (tmp_path / "lists").iterdir()] == ["one"]


def test_a_list_that_cannot_be_written_leaves_the_one_before_and_is_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "lists")
    shelf.keep("one", b"a.mp4\n")
    draft = tmp_path / "lists" / ".one.draft"
    draft.mkdir()  # so that no draft can be opened
    shelf.keep("one", b"b.mp4\n")
    assert shelf.last("one") == b"a.mp4\n"
    draft.rmdir()
    shelf.keep("one", b"b.mp4\n")
    assert shelf.last("one") == b"b.mp4\n"
