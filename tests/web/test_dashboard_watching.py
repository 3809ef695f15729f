"""The dashboard shows what is on air: signing in, pictures that play over joins, hostile words, small screens, and no barriers."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from conftest import HOSTILE, TITLES, OpenPage
from dashboard import PHONE
from running import RunningDaemon

PLACES = (
    "",
    "channel/look",
    "channel/look/graphs",
    "channel/look/viewers",
    "channel/look/as-run",
    "channel/look/events",
    "relay",
    "as-run",
    "library",
    "events",
    "settings",
)


def test_a_wrong_token_is_told_and_the_right_one_opens_the_page_until_sign_out(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.page
    page.goto(daemon.admin_url)
    page.get_by_label("Token").fill("not the token")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("This token is unknown").wait_for()
    dashboard.open()
    page.locator(".card").first.wait_for()
    page.reload()
    page.locator(".card").first.wait_for()
    assert page.locator("#token").count() == 0, "the session is still there"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    cookies = {cookie["name"]: cookie for cookie in dashboard.context.cookies()}
    assert "channeld_session" not in cookies


def test_the_wall_tells_what_airs_on_every_channel(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.open()
    page.locator(".card").nth(len(daemon.config["channels"]) - 1).wait_for()
    card = page.locator(".card", has=page.get_by_role("link", name="Channel look"))
    assert card.locator(".state").inner_text() == "On air"
    before = daemon.channel("look")["now"]["title"]
    dashboard.until(lambda: daemon.channel("look")["now"]["title"] != before, "the next clip", timeout_s=30)
    now = daemon.channel("look")["now"]["title"]
    card.locator(".card-title", has_text=now).wait_for(timeout=5000)
    page.get_by_label("Find a channel or title").fill("channel look")
    assert page.locator(".card:visible").count() == 1


def test_the_preview_plays_over_a_join_without_a_stall_or_a_hole(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/watch")
    page.wait_for_function("() => (document.querySelector('.channel-side video')?.currentTime ?? 0) > 0.5")
    page.evaluate("() => { const v = document.querySelector('.channel-side video'); v.waits = 0; v.onwaiting = () => v.waits++; }")
    begun = dashboard.picture()
    first = len(daemon.airings("watch"))
    dashboard.until(lambda: len(daemon.airings("watch")) >= first + 2, "two joins", timeout_s=40)
    # What the pictures show is some segments older than what the host published.
    shown_s = begun["at"] + 6
    page.wait_for_function("at => document.querySelector('.channel-side video').currentTime > at", arg=shown_s)
    page.wait_for_timeout(3000)
    ended = dashboard.picture()
    assert ended["waits"] == 0, "it stalled"
    assert ended["ranges"] == 1, "there is a hole in what was loaded"
    assert ended["frames"] - begun["frames"] > (ended["at"] - begun["at"]) * 15


def test_hostile_titles_are_words(open_page: OpenPage) -> None:
    """Whatever a list says, nothing of it becomes markup; a dialog would be among the complaints."""
    dashboard = open_page()
    page = dashboard.open("channel/look")
    dashboard.row(HOSTILE).wait_for()
    for place in ("channel/look/as-run", "events", "", "library"):
        dashboard.go(place)
        page.wait_for_timeout(300)
        assert page.locator("main img:not(.picture)").count() == 0


def test_readings_are_drawn(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    dashboard.until(lambda: len(daemon.get("/api/v1/channels/look/readings")["samples"]) >= 2, "two steps")
    page = dashboard.open("channel/look/graphs")
    page.locator(".graph", has_text="Bitrate").locator(".graph-now", has_text="kbit/s now").wait_for()
    assert page.locator(".graph canvas").count() >= 4


def test_viewers_are_counted_and_drawn(open_page: OpenPage, daemon: RunningDaemon) -> None:
    """Somebody watches for a moment: that stands in the words, the table and the file."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("missing on this machine: ffmpeg")
    dashboard = open_page()
    page = dashboard.open("channel/look/viewers")
    page.get_by_text("Time", exact=True).wait_for()
    watched = ["ffmpeg", "-nostdin", "-v", "error", "-t", "3", "-i", daemon.hls_url("look"), "-c", "copy", "-f", "null", "-"]
    subprocess.run(watched, check=True, timeout=60)
    dashboard.until(lambda: daemon.get("/api/v1/channels/look/clients/history?step=minute")["totals"]["peak"] > 0, "a viewer", timeout_s=30)
    page.get_by_label("Time").select_option("hour")
    page.locator(".viewers-said", has_text="at a time").wait_for()
    page.locator(".viewers-parts section", has_text="By player").wait_for()
    assert page.locator(".graph canvas").count() == 1
    link = page.get_by_role("link", name="CSV").get_attribute("href")
    cookies = {cookie["name"]: cookie["value"] for cookie in dashboard.context.cookies()}
    head, *lines = httpx.get(f"{daemon.admin_url}{link}", cookies=cookies).text.splitlines()
    assert head.startswith("channel,step,at,viewers,peak") and lines and all(line.startswith("look,hour,") for line in lines)


def test_as_run_is_filtered_and_leads_to_its_file(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.open("as-run")
    page.get_by_label("Channel").select_option("look")
    page.get_by_label("File").fill("a.mp4")
    page.get_by_label("File").press("Enter")
    page.wait_for_function("() => [...document.querySelectorAll('tbody tr')].every(row => row.innerText.includes('Alpha'))")
    link = page.get_by_role("link", name="CSV").get_attribute("href")
    cookies = {cookie["name"]: cookie["value"] for cookie in dashboard.context.cookies()}
    lines = httpx.get(f"{daemon.admin_url}{link}", cookies=cookies).text.splitlines()
    assert len(lines) > 1
    assert all("a.mp4" in line for line in lines[1:])


def test_settings_tell_their_lines(open_page: OpenPage, daemon: RunningDaemon) -> None:
    page = open_page().open("settings")
    row = page.locator("tr", has=page.get_by_role("rowheader", name="admin.listen", exact=True))
    row.wait_for()
    line = 1 + daemon.config_path.read_text().splitlines().index(f"  listen: 127.0.0.1:{daemon.admin_port}")
    assert row.locator("td").all_inner_texts() == [f"127.0.0.1:{daemon.admin_port}", f"line {line}"]


def test_a_viewer_sees_everything_and_no_control(open_page: OpenPage, daemon: RunningDaemon) -> None:
    made = daemon.post("/api/v1/tokens", name="wall", role="viewer").raise_for_status().json()
    dashboard = open_page()
    page = dashboard.open("channel/roles", token=made["token"])
    assert dashboard.rows() == list(TITLES.values())
    page.get_by_role("button", name="Show as text").wait_for()
    for name in ("Skip", "Stop", "Restart", "Add", "Undo", "Move Alpha", "Remove Alpha"):
        assert page.get_by_role("button", name=name, exact=True).count() == 0, name
    page.get_by_role("button", name="Show as text").click()
    assert page.locator("#playlist-text").get_attribute("readonly") is not None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(open_page: OpenPage, *, dark: bool) -> None:
    dashboard = open_page(dark=dark)
    page = dashboard.page
    page.goto(dashboard.daemon.admin_url)
    page.get_by_label("Token").wait_for()
    found = {"sign-in": dashboard.barriers()}
    dashboard.open()
    for place in PLACES:
        dashboard.go(place)
        page.wait_for_timeout(700)
        found[place] = dashboard.barriers()
    assert {place: barriers for place, barriers in found.items() if barriers} == {}


def test_nothing_is_wider_than_a_phone(open_page: OpenPage) -> None:
    dashboard = open_page(size=PHONE, touch=True)
    page = dashboard.open()
    wide = []
    for place in PLACES:
        dashboard.go(place)
        page.wait_for_timeout(500)
        if page.evaluate("() => document.scrollingElement.scrollWidth > innerWidth"):
            wide.append(place)
    assert wide == []


def test_a_row_is_moved_by_its_menu_on_a_phone(open_page: OpenPage, playlist_of: Callable[[str], Path]) -> None:
    dashboard = open_page(size=PHONE, touch=True)
    page = dashboard.open("channel/phone")
    dashboard.row("Delta").get_by_role("button", name="More for Delta").tap()
    page.get_by_role("menuitem", name="Move up").tap()
    dashboard.until(
        lambda: [line for line in playlist_of("phone").read_text().splitlines() if ".mp4" in line] == ["a.mp4", "b.mp4", "d.mp4", "c.mp4"],
        "the file",
    )
