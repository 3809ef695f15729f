"""Playlists are edited in the dashboard: by hand, by keyboard, as text, by two people at once; and every edit can be taken back."""

from collections.abc import Callable
from pathlib import Path

from conftest import HOSTILE, OpenPage
from nginx_origin import wait_until
from playwright.sync_api import expect
from running import RunningDaemon

PlaylistOf = Callable[[str], Path]


def clips_in(playlist: Path) -> list[str]:
    """The files in a list, in order."""
    return [line for line in playlist.read_text().splitlines() if line.endswith(".mp4")]


def skip_to(daemon: RunningDaemon, channel: str, clip: str) -> int:
    """Skip until a clip has just begun to air; gives the number of its airing."""
    for _ in range(8):
        at = len(daemon.airings(channel))
        daemon.post(f"/api/v1/channels/{channel}/skip").raise_for_status()
        wait_until(lambda at=at: len(daemon.airings(channel)) > at, what="the next clip")
        if daemon.aired(channel)[at] == clip:
            return at
    raise AssertionError(f"{clip} does not come: {daemon.aired(channel)}")


def test_a_row_that_is_dragged_airs_in_its_new_place_and_undo_restores_the_file(
    open_page: OpenPage, daemon: RunningDaemon, playlist_of: PlaylistOf
) -> None:
    before = playlist_of("drag").read_bytes()
    dashboard = open_page()
    page = dashboard.open("channel/drag")
    assert dashboard.rows() == ["Alpha", "Bravo", HOSTILE, "Delta"]
    at = skip_to(daemon, "drag", "a.mp4")
    dashboard.drag("Delta", onto="Bravo")
    page.get_by_text("Moved Delta to place 2", exact=False).first.wait_for()
    assert clips_in(playlist_of("drag")) == ["a.mp4", "d.mp4", "b.mp4", "c.mp4"]
    assert b"# the evening" in playlist_of("drag").read_bytes()
    assert dashboard.rows() == ["Alpha", "Delta", "Bravo", HOSTILE]
    dashboard.until(lambda: len(daemon.aired("drag")) > at + 1, "the next clip", timeout_s=30)
    assert daemon.aired("drag")[at : at + 2] == ["a.mp4", "d.mp4"]
    page.locator(".row.playing", has_text="Delta").wait_for(timeout=5000)
    page.keyboard.press("Control+z")
    dashboard.until(lambda: playlist_of("drag").read_bytes() == before, "the file as it was")
    dashboard.until(lambda: dashboard.rows() == ["Alpha", "Bravo", HOSTILE, "Delta"], "the rows as they were")


def test_a_row_is_moved_by_keyboard_and_each_place_is_spoken(open_page: OpenPage, playlist_of: PlaylistOf) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/keys")
    dashboard.row("Alpha").get_by_role("button", name="Move Alpha", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.locator("#spoken", has_text="Position 2 of 4").wait_for(state="attached")
    page.keyboard.press("ArrowDown")
    page.locator("#spoken", has_text="Position 3 of 4").wait_for(state="attached")
    page.keyboard.press("Enter")
    page.locator("#spoken", has_text="Moved Alpha to place 3").wait_for(state="attached")
    assert clips_in(playlist_of("keys")) == ["b.mp4", "c.mp4", "a.mp4", "d.mp4"]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    page.locator("#spoken", has_text="Back where it was").wait_for(state="attached")
    assert clips_in(playlist_of("keys")) == ["b.mp4", "c.mp4", "a.mp4", "d.mp4"]


def test_entries_are_added_and_removed_and_their_air_times_told(open_page: OpenPage, playlist_of: PlaylistOf) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/keys")
    count = len(dashboard.rows())
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Path").fill("d.mp4")
    page.get_by_label("Title").fill("Encore")
    page.locator(".add-form").get_by_role("button", name="Add").click()
    page.get_by_text("Added Encore. Encore airs at", exact=False).first.wait_for()
    assert len(dashboard.rows()) == count + 1
    assert "#EXTINF:-1,Encore\nd.mp4" in playlist_of("keys").read_text()
    dashboard.row("Encore").get_by_role("button", name="Remove Encore").click()
    page.get_by_text("Removed Encore", exact=False).first.wait_for()
    assert "Encore" not in playlist_of("keys").read_text()
    page.get_by_label("Path").fill("nowhere.mp4")
    page.locator(".add-form").get_by_role("button", name="Add").click()
    page.locator(".toast.bad").wait_for()
    assert len(dashboard.rows()) == count


def test_skip_goes_on_with_the_next_entry(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/skip")
    at = skip_to(daemon, "skip", "b.mp4")
    page.get_by_role("button", name="Skip").click()
    dashboard.until(lambda: len(daemon.aired("skip")) > at + 1, "the next clip")
    cut = daemon.airings("skip")[at]
    assert (cut["path"], cut["outcome"], cut["reason"]) == ("b.mp4", "cut", "skip")


def test_play_next_airs_once_and_the_list_stays(open_page: OpenPage, daemon: RunningDaemon, playlist_of: PlaylistOf) -> None:
    before = playlist_of("skip").read_bytes()
    dashboard = open_page()
    page = dashboard.open("channel/skip")
    at = skip_to(daemon, "skip", "b.mp4")
    dashboard.row("Alpha").get_by_role("button", name="Play next: Alpha").click()
    page.get_by_text("Alpha airs next", exact=False).first.wait_for()
    dashboard.until(lambda: len(daemon.aired("skip")) > at + 1, "the next clip", timeout_s=30)
    assert daemon.aired("skip")[at + 1] == "a.mp4"
    assert playlist_of("skip").read_bytes() == before


def test_a_fault_in_the_file_is_shown_at_its_line_and_mended_there(
    open_page: OpenPage, daemon: RunningDaemon, playlist_of: PlaylistOf
) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/text")
    good = playlist_of("text").read_text()
    playlist_of("text").write_text(good.replace("- {path: b.mp4", "- {pth: b.mp4"))
    page.get_by_text("The newest edit is not in use: list.yaml, line 3", exact=False).wait_for()
    page.get_by_role("button", name="Show the line").click()
    area = page.get_by_label("The playlist file")
    page.locator(".text-numbers b", has_text="3").wait_for()
    expect(area).to_have_js_property("selectionStart", playlist_of("text").read_text().index("- {pth: b.mp4"))
    selected = area.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert selected.startswith("- {pth: b.mp4")
    area.fill(good.replace("Bravo", "Bravo again"))
    page.get_by_role("button", name="Save").click()
    page.locator(".fault").wait_for(state="hidden")
    assert "Bravo again" in playlist_of("text").read_text()
    assert daemon.channel("text")["edit_error"] is None


def test_a_text_that_cannot_be_read_is_refused_at_its_line_and_stays_to_be_mended(open_page: OpenPage, playlist_of: PlaylistOf) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/text")
    page.get_by_role("button", name="Edit as text").click()
    area = page.get_by_label("The playlist file")
    before = playlist_of("text").read_text()
    broken = before + "- {path: a.mp4, in: 5, out: 3}\n"
    area.fill(broken)
    page.get_by_role("button", name="Save").click()
    line = len(broken.splitlines())
    page.locator(".text-problem", has_text=f"Line {line}:").wait_for()
    assert area.input_value() == broken
    assert playlist_of("text").read_text() == before
    area.fill(before + "- {path: a.mp4, title: Encore}\n")
    page.get_by_role("button", name="What would change?").click()
    page.locator(".outcome .added", has_text="Encore").wait_for()
    assert playlist_of("text").read_text() == before, "asking changes nothing"


def test_text_that_is_not_saved_waits_for_whoever_comes_back(open_page: OpenPage, playlist_of: PlaylistOf) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/text")
    page.get_by_role("button", name="Edit as text").click()
    area = page.get_by_label("The playlist file")
    before = playlist_of("text").read_text()
    dashboard.until(lambda: area.input_value() == before, "the text")
    asks = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert not page.evaluate(asks), "nothing would be lost"
    mine = before + "- {path: a.mp4, title: Unsaved}\n"
    area.fill(mine)
    assert page.evaluate(asks), "the browser asks before it closes the page"
    page.get_by_role("tab", name="Events").click()
    area.wait_for(state="detached")
    assert not page.evaluate(asks), "it is kept here"
    page.get_by_role("tab", name="Playlist").click()
    page.get_by_text("What you had not saved is back", exact=False).wait_for()
    assert area.input_value() == mine
    playlist_of("text").write_text(before + "- {path: b.mp4, title: Theirs}\n")
    page.get_by_text("The file has changed meanwhile", exact=False).wait_for()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").locator(".added", has_text="Theirs").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Keep mine").click()
    dashboard.until(lambda: playlist_of("text").read_text() == mine, "mine in the file")
    page.get_by_role("tab", name="Events").click()
    page.get_by_role("tab", name="Playlist").click()
    dashboard.row("Unsaved").wait_for()


def test_two_people_edit_at_once_and_nothing_is_lost(open_page: OpenPage, playlist_of: PlaylistOf) -> None:
    one, two = open_page(), open_page()
    one.open("channel/two")
    page = two.open("channel/two")
    begun = playlist_of("two").read_text()
    page.get_by_role("button", name="Edit as text").click()
    area = page.get_by_label("The playlist file")
    mine = begun + "#EXTINF:-1,Mine\na.mp4\n"
    area.fill(mine)
    one.row("Delta").get_by_role("button", name="Remove Delta").click()
    one.page.get_by_text("Removed Delta", exact=False).first.wait_for()
    theirs = playlist_of("two").read_text()

    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(".removed", has_text="d.mp4").wait_for()
    dialog.get_by_role("button", name="Keep mine").click()
    two.until(lambda: playlist_of("two").read_text() == mine, "mine in the file")
    page.locator(".toolbar").get_by_role("button", name="Undo").click()
    two.until(lambda: playlist_of("two").read_text() == theirs, "theirs again")
    two.until(lambda: area.input_value() == theirs, "theirs in the text")
    facts = page.locator(".list-facts").inner_text()  # with the revision, that page one's next edit is made on
    two.until(lambda: one.page.locator(".list-facts").inner_text() == facts, "the same list for both")

    area.fill(mine)
    one.row("Alpha").get_by_role("button", name="Remove Alpha").click()
    two.until(lambda: "Alpha" not in playlist_of("two").read_text(), "another edit")
    theirs = playlist_of("two").read_text()
    page.get_by_role("button", name="Save").click()
    dialog.get_by_role("button", name="Take theirs").click()
    two.until(lambda: area.input_value() == theirs, "theirs in the text")
    assert playlist_of("two").read_text() == theirs
    page.get_by_role("button", name="Show mine").click()
    assert area.input_value() == mine
    page.get_by_role("button", name="Save").click()
    two.until(lambda: playlist_of("two").read_text() == mine, "mine, now that theirs was seen")
