"""The place of relays in a real browser: a list imported and relayed from a real source, watched, lost and found again, and profiles.

Rule: one daemon for all; each test leaves the lists and profiles as it found them, but for the relay of the first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard import PHONE, Dashboard
from peers.mock_peer import MockPeer
from playwright.sync_api import Browser, Page, expect
from recordings import TsRecorder
from running import RunningDaemon, free_ports

CHANNELS = 2_000
FORBIDDEN = "-i {input_url} -c copy -report -f mpegts {output_path}"
ALLOWED = "-i {input_url} -c copy -f mpegts {output_path}"
PLACES = ("relay", "relay/lists", "relay/profiles", "relay/profiles/new", "relay/profiles/1")
SLOW_MS = 60_000


@pytest.fixture(scope="module")
def source() -> Iterator[MockPeer]:
    peer = MockPeer("ts", free_ports(1)[0])
    peer.start()
    yield peer
    peer.stop()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, source: MockPeer) -> Iterator[RunningDaemon]:
    """A channel of the configuration with two sources, and a list of very many channels beside it."""
    sources = [{"name": "camera", "url": "http://127.0.0.1:9/gone.ts"}, {"name": "bars", "title": "Bars", "pattern": True}]
    failover = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1, "buffer_seconds": 0.5}
    channel = {"name": "Harbour", "sources": sources, "failover": failover, "outputs": [{"ts": {}}]}
    daemon = RunningDaemon(tmp_path_factory.mktemp("relays"), {"cam": channel})
    daemon.config["url_allow"] = {"schemes": ["http"], "private": True}
    entries = [("main", "News", "Main <b>news</b>", source.url)]
    entries += [(f"c{at}", f"Group {at % 5}", f"Channel {at}", f"http://127.0.0.1:9/{at}.ts") for at in range(CHANNELS)]
    lines = [f'#EXTINF:-1 tvg-id="{name}" group-title="{group}",{title}\n{url}\n' for name, group, title, url in entries]
    (daemon.folder / "tv.m3u").write_text("#EXTM3U\n" + "".join(lines))
    daemon.start()
    yield daemon
    assert daemon.stop() == []


@pytest.fixture
def dashboard(browser: Browser, station: RunningDaemon) -> Iterator[Dashboard]:
    made = Dashboard(browser, station)
    yield made
    complaints = made.complaints
    made.close()
    assert complaints == []


def ask(daemon: RunningDaemon, method: str, path: str, body: Any = None) -> Any:
    with daemon.client() as client:
        answer = client.request(method, path, json=body, timeout=60).raise_for_status()
    return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def relay(station: RunningDaemon) -> int:
    """The list is imported, and its first channel relayed; gives the relay."""
    if not ask(station, "GET", "/api/v1/proxies"):
        ask(station, "POST", "/api/v1/proxies", {"name": "TV", "source": "tv.m3u"})
    ask(station, "POST", "/api/v1/proxies/tv/refresh")
    return int(ask(station, "POST", "/api/v1/proxies/tv/channels/main/relay", {"profile_id": 1})["id"])


def run_of(page: Page, name: str) -> Any:
    return page.locator(".run", has=page.locator(".run-name", has_text=name))


def cell(row: Any, name: str) -> Any:
    return row.locator(".run-cells > div", has_text=name).locator("dd")


def test_a_list_is_imported_and_a_channel_of_it_relayed_until_somebody_watches(
    dashboard: Dashboard, station: RunningDaemon, tmp_path: Path
) -> None:
    page = dashboard.page
    page.goto(f"{station.admin_url}/relay")
    page.get_by_label("Token").fill(dashboard.token)
    page.get_by_role("button", name="Sign in").click()
    expect(run_of(page, "Harbour")).to_contain_text("On bars", timeout=SLOW_MS)
    page.get_by_role("tab", name="Lists").click()
    page.get_by_role("button", name="Import a list…").click()
    page.get_by_label("URL or file").fill("nowhere://x")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".field.faulty .field-faults")).not_to_be_empty()
    page.get_by_label("Name").fill("TV")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".list-body .fault")).to_contain_text("scheme nowhere is refused", timeout=SLOW_MS)
    page.get_by_role("button", name="Edit the list…").click()
    page.get_by_label("Another URL or file").fill("tv.m3u")
    page.get_by_role("button", name="Save").click()
    page.locator(".upstream").first.wait_for(timeout=SLOW_MS)
    expect(page.locator(".upstream")).to_have_count(50)
    page.get_by_label("Find a channel of the list").fill("main")
    expect(page.locator(".upstream")).to_have_count(1)
    page.get_by_role("button", name="Relay Main").click()
    expect(page.locator(".upstream .chip")).to_contain_text("Live", timeout=SLOW_MS)
    page.get_by_role("tab", name="Running").click()
    row = run_of(page, "Main <b>news</b>")
    expect(row.locator(".chip").first).to_contain_text("Live")
    expect(cell(row, "Coming in")).to_contain_text("kb/s", timeout=SLOW_MS)
    expect(page.locator(".tile[data-key=processes]")).to_contain_text("3 of 10")
    with TsRecorder(station.ts_url(row.get_attribute("data-channel") or ""), tmp_path / "seen.ts"):
        expect(cell(row, "Clients")).to_have_text("1", timeout=SLOW_MS)
    expect(cell(row, "Clients")).to_have_text("0", timeout=SLOW_MS)


def test_a_source_that_dies_is_lost_with_the_reason_and_comes_back(dashboard: Dashboard, relay: int, source: MockPeer) -> None:
    page = dashboard.open("relay")
    row = run_of(page, "Main")
    expect(row.locator(".chip").first).to_contain_text("Live", timeout=SLOW_MS)
    page.get_by_role("button", name="Details of Main").click()
    source.crash()
    try:
        judge_a_loss(dashboard, row)
    finally:
        source.start()
    expect(row.locator(".chip").first).to_contain_text("Live", timeout=SLOW_MS)
    expect(row.locator(".switches li").first).to_contain_text("on air now", timeout=SLOW_MS)
    expect(cell(row, "Lost in 1 h")).not_to_have_text("0", timeout=SLOW_MS)


def judge_a_loss(dashboard: Dashboard, row: Any) -> None:
    """The row says why, its history what airs instead, and it is found among those in trouble."""
    page = dashboard.page
    expect(row.locator(".chip").first).to_contain_text("Lost", timeout=SLOW_MS)
    expect(row.locator(".run-why")).to_contain_text("since")
    expect(row.locator(".source-list .output-trouble")).not_to_be_empty()
    switches = row.locator(".switches li")
    expect(switches.filter(has_text="upstream lost").first).to_be_visible(timeout=SLOW_MS)
    expect(switches.filter(has_text="Slate aired").first).to_be_visible(timeout=SLOW_MS)
    page.get_by_label("State").select_option("trouble")
    expect(page.locator(".run")).to_have_count(2)
    page.get_by_label("State").select_option("")
    assert dashboard.barriers() == []


def test_a_relay_is_stopped_and_started(dashboard: Dashboard, relay: int) -> None:
    page = dashboard.open("relay")
    row = run_of(page, "Main")
    page.get_by_role("button", name="Stop Main").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(row.locator(".chip").first).to_contain_text("Stopped", timeout=SLOW_MS)
    page.get_by_role("button", name="Start Main").click()
    expect(row.locator(".chip").first).to_contain_text("Live", timeout=SLOW_MS)


def test_a_long_list_is_leafed_and_searched_through(dashboard: Dashboard, relay: int) -> None:
    page = dashboard.open("relay/lists/tv")
    rows = page.locator(".upstream")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Further").click()
    expect(rows.first).to_contain_text("Channel 49")
    page.get_by_role("button", name="Back").click()
    expect(rows.first).to_contain_text("Main")
    page.get_by_label("Group").select_option("Group 3")
    expect(rows.nth(1)).to_contain_text("Channel 8")
    page.get_by_label("Find a channel of the list").fill("channel 1998")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Relay Channel 1998").click()
    page.get_by_role("button", name="Relay otherwise: Channel 1998").click()
    page.get_by_label("Arguments in place of the profile's").fill(FORBIDDEN)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field.faulty .field-faults")).to_contain_text("Argument 5 (-report)")
    page.get_by_label("Arguments in place of the profile's").fill(ALLOWED)
    page.get_by_label("Name").fill("The last")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Relay no more: Channel 1998").click()
    page.get_by_role("dialog").get_by_role("button", name="Relay no more").click()
    page.get_by_role("button", name="Relay Channel 1998").wait_for()
    with page.expect_download() as export:
        page.get_by_role("link", name="Export what is relayed").click()
    assert f"/api/v1/relay/{relay}/" in Path(export.value.path()).read_text()


def test_a_profile_is_judged_while_it_is_written(dashboard: Dashboard, station: RunningDaemon) -> None:
    page = dashboard.open("relay/profiles")
    page.get_by_role("button", name="New profile…").click()
    page.get_by_label("Name").fill("Mine")
    page.get_by_label("FFmpeg's arguments").fill(FORBIDDEN)
    fault = page.locator(".field", has=page.get_by_label("FFmpeg's arguments")).locator(".fault-link")
    expect(fault).to_contain_text("Argument 5 (-report): it has FFmpeg write a file or a report")
    fault.click()
    marked = "() => { const area = document.activeElement; return area.value.slice(area.selectionStart, area.selectionEnd); }"
    assert page.evaluate(marked) == "-report"
    page.get_by_label("Segments of (s)").fill("0")
    expect(page.locator(".field.faulty")).to_have_count(2)
    assert dashboard.barriers() == []
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field.faulty")).to_have_count(2)
    page.get_by_label("Segments of (s)").fill("4")
    page.get_by_label("FFmpeg's arguments").fill(ALLOWED)
    expect(page.locator(".verdict")).to_have_text("All of it is allowed.", timeout=20_000)
    expect(page.locator(".field.faulty")).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Duplicate Mine").click()
    page.get_by_label("Name of the copy").fill("Mine")
    page.get_by_role("dialog").get_by_role("button", name="Duplicate").click()
    expect(page.locator(".field.faulty .field-faults")).not_to_be_empty()
    page.get_by_label("Name of the copy").fill("Yours")
    page.get_by_role("dialog").get_by_role("button", name="Duplicate").click()
    expect(page.get_by_label("FFmpeg's arguments")).to_have_value(ALLOWED)
    page.get_by_role("button", name="Cancel").click()
    for name in ("Mine", "Yours"):
        page.get_by_role("button", name=f"Delete {name}").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.get_by_role("button", name=f"Delete {name}").wait_for(state="detached")
    assert all(profile["is_system_default"] for profile in station.get("/api/v1/relay/profiles"))


def test_a_viewer_sees_everything_and_no_control_and_an_operator_starts_and_stops(
    browser: Browser, station: RunningDaemon, relay: int
) -> None:
    for role, buttons in (("viewer", []), ("operator", ["Stop Harbour", "Stop Main"])):
        made = station.post("/api/v1/tokens", name=f"relays-{role}", role=role).raise_for_status().json()
        dashboard = Dashboard(browser, station)
        page = dashboard.open("relay", token=made["token"])
        page.locator(".run").nth(1).wait_for()
        found = page.locator(".run-orders button").evaluate_all("all => all.map(one => one.ariaLabel.replace(/ <b>.*/, ''))")
        assert found == buttons
        dashboard.go("relay/lists")
        page.locator(".upstream").first.wait_for()
        assert page.get_by_role("button", name="Import a list…").count() == 0
        dashboard.go("relay/profiles/1")
        expect(page.get_by_label("FFmpeg's arguments")).to_be_disabled()
        assert page.get_by_role("button", name="Save").count() == 0
        assert dashboard.complaints == []
        dashboard.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_a_phone(
    browser: Browser, station: RunningDaemon, relay: int, *, dark: bool
) -> None:
    dashboard = Dashboard(browser, station, dark=dark, size=PHONE if dark else (1360, 850), touch=dark)
    page = dashboard.open("relay")
    page.get_by_role("button", name="Details of Harbour").click()
    page.locator(".switches li").first.wait_for()
    found, wide = {}, []
    for place in PLACES:
        dashboard.go(place)
        page.locator("#relay-panel :is(.run, .upstream, .profile, .profile-form)").first.wait_for()
        found[place] = dashboard.barriers()
        if page.evaluate("() => document.scrollingElement.scrollWidth > innerWidth"):
            wide.append(place)
    assert ({place: barriers for place, barriers in found.items() if barriers}, wide) == ({}, [])
    assert dashboard.complaints == []
    dashboard.close()


def test_tabs_and_rows_are_reached_by_the_keyboard(dashboard: Dashboard, relay: int) -> None:
    page = dashboard.open("relay")
    page.locator(".run").first.wait_for()
    page.get_by_role("tab", name="Running").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Lists")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Details of Harbour").press("Enter")
    expect(page.get_by_role("button", name="Details of Harbour")).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".run-details")).to_contain_text("gone.ts")


def test_a_lost_connection_is_shown_and_healed(dashboard: Dashboard, station: RunningDaemon, relay: int) -> None:
    page = dashboard.open("relay")
    page.locator(".run").first.wait_for()
    page.get_by_role("button", name="Details of Harbour").click()
    station.kill()
    page.locator(".no-line").wait_for(timeout=SLOW_MS)
    expect(page.locator(".toolbar .wall-count").first).to_contain_text("not renewed since")
    station.launch()
    station.wait_until_ready()
    page.locator(".no-line").wait_for(state="hidden", timeout=SLOW_MS)
    expect(page.locator(".toolbar .wall-count").first).not_to_contain_text("not renewed since", timeout=SLOW_MS)
    expect(page.locator(".run-details")).to_contain_text("gone.ts")
    expect(run_of(page, "Main").locator(".chip").first).to_contain_text("Live", timeout=SLOW_MS)
