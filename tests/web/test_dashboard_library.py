"""The library in a real browser: what there is, what is added, what is sent, and pictures on the wall."""

from collections.abc import Callable
from pathlib import Path

from clips import ClipShelf, numbered_clip
from conftest import OpenPage
from running import RunningDaemon


def film(folder: Path, name: str, *, seconds: int = 6) -> Path:
    """A film that the daemon does not have."""
    return ClipShelf(folder).get(name, numbered_clip, frames=25 * seconds, base=5000, size=(320, 180))


def test_the_wall_shows_pictures_of_what_is_on_air(open_page: OpenPage) -> None:
    dashboard = open_page()
    page = dashboard.open()
    page.get_by_label("Find a channel or title").fill("channel shelf")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.card:not([hidden]) .picture')].some(picture => !picture.hidden && picture.width === 320)"
    )


def test_files_are_found_and_added_and_sent_ones_come_to_the_list(
    open_page: OpenPage, daemon: RunningDaemon, playlist_of: Callable[[str], Path], tmp_path: Path
) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/shelf/library")
    page.locator("tr[data-path='a.mp4']").get_by_text("prepared").wait_for()
    page.get_by_label("Find a file").fill("d.MP4")
    page.locator("tr[data-path='a.mp4']").wait_for(state="detached")
    assert page.locator("tr[data-path='d.mp4']").count() == 1
    page.get_by_label("Find a file").fill("")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Send files").click()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film" * 1000)
    chooser.value.set_files([film(tmp_path, "Neuer Film.mp4"), broken])
    page.locator(".sending[data-state=done]", has_text="Neuer Film.mp4").wait_for()
    page.locator(".sending[data-state=failed]", has_text="not readable as media").wait_for()
    folder = playlist_of("shelf").parent
    assert (folder / "Neuer Film.mp4").read_bytes() == (tmp_path / "Neuer Film.mp4").read_bytes()
    assert not (folder / "broken.mp4").exists()
    page.get_by_role("button", name="Add to the list").click()
    dashboard.until(lambda: playlist_of("shelf").read_text().rstrip().endswith("Neuer Film.mp4"), "the new entry")
    page.locator("tr[data-path='Neuer Film.mp4']").get_by_text("in the list").wait_for()
    assert dashboard.barriers() == []


def test_a_film_is_picked_from_the_library_in_the_list(open_page: OpenPage, playlist_of: Callable[[str], Path]) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/shelf")
    before = playlist_of("shelf").read_text().count("b.mp4")
    page.get_by_role("button", name="From the library").click()
    page.locator("tr[data-path='b.mp4']").get_by_role("button").click()
    dashboard.until(lambda: playlist_of("shelf").read_text().count("b.mp4") == before + 1, "the picked entry")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("dialog").wait_for(state="detached")


def test_a_file_goes_on_where_the_connection_broke(open_page: OpenPage, playlist_of: Callable[[str], Path], tmp_path: Path) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/shelf/library")
    sent = film(tmp_path, "long.mp4", seconds=4)
    with sent.open("ab") as file:
        file.write(bytes(20 << 20))  # behind the film, which plays all the same
    broken: list[str] = []

    def break_second(route: object) -> None:
        """The second piece never arrives whole, twice."""
        request = route.request  # type: ignore[attr-defined]
        if request.headers.get("upload-offset") != "0" and len(broken) < 2:
            broken.append(request.headers["upload-offset"])
            route.abort("connectionreset")  # type: ignore[attr-defined]
        else:
            route.fallback()  # type: ignore[attr-defined]

    page.route("**/uploads/*", lambda route: break_second(route) if route.request.method == "PATCH" else route.fallback())
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Send files").click()
    chooser.value.set_files([sent])
    page.locator(".sending[data-state=done]", has_text="long.mp4").wait_for(timeout=60_000)
    assert broken == [str(8 << 20)] * 2
    assert (playlist_of("shelf").parent / "long.mp4").read_bytes() == sent.read_bytes()
    (playlist_of("shelf").parent / "long.mp4").unlink()
