"""The dashboard outlives what happens to its connection: a daemon that is killed, one that is replaced, a session that ends."""

from collections.abc import Callable
from pathlib import Path

from conftest import OpenPage
from running import RunningDaemon


def test_a_restart_of_the_daemon_heals_under_an_open_page(
    open_page: OpenPage, daemon: RunningDaemon, playlist_of: Callable[[str], Path]
) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/heal")
    page.wait_for_function("() => (document.querySelector('.channel-side video')?.currentTime ?? 0) > 0.5")
    dashboard.row("Alpha").wait_for()
    daemon.kill()
    page.get_by_text("No connection to the daemon", exact=False).wait_for()
    daemon.launch()
    daemon.wait_until_ready()
    page.locator(".no-line").wait_for(state="hidden")
    if page.locator("#token").count():
        page.get_by_label("Token").fill(dashboard.token)
        page.get_by_role("button", name="Sign in").click()
    dashboard.row("Alpha").get_by_role("button", name="Remove Alpha").click()
    page.get_by_text("Removed Alpha", exact=False).first.wait_for()
    assert "Alpha" not in playlist_of("heal").read_text()
    at = dashboard.picture()["at"]
    page.wait_for_function("at => document.querySelector('.channel-side video').currentTime > at + 2", arg=at)
    before = daemon.channel("heal")["now"]["title"]
    dashboard.until(lambda: daemon.channel("heal")["now"]["title"] != before, "the next clip", timeout_s=30)
    page.locator(".now-title", has_text=daemon.channel("heal")["now"]["title"]).wait_for(timeout=5000)


def test_a_control_that_takes_over_is_hardly_noticed(open_page: OpenPage, daemon: RunningDaemon) -> None:
    dashboard = open_page()
    page = dashboard.open("channel/heal")
    since = daemon.get("/api/v1/status")["since"]
    daemon.post("/api/v1/restart").raise_for_status()
    dashboard.until(lambda: daemon.answers("/readyz") and daemon.get("/api/v1/status")["since"] != since, "the successor", timeout_s=40)
    page.locator(".line[data-state=open]").wait_for()
    dashboard.until(lambda: daemon.channel("heal")["state"] == "on_air", "on air")
    page.locator(".now-title", has_text=daemon.channel("heal")["now"]["title"]).wait_for(timeout=8000)


def test_a_session_that_has_ended_asks_for_the_token_over_the_open_page(open_page: OpenPage, daemon: RunningDaemon) -> None:
    made = daemon.post("/api/v1/tokens", name="short", role="operator").raise_for_status().json()
    dashboard = open_page()
    page = dashboard.open("channel/heal/graphs", token=made["token"])
    with daemon.client() as client:
        client.delete("/api/v1/tokens/short").raise_for_status()
    page.get_by_label("Token").wait_for()
    page.get_by_label("Token").fill(dashboard.token)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#token").wait_for(state="hidden")
    assert page.locator(".graph").count() >= 4, "still there"
    page.locator("#who", has_text="admin").wait_for()
