"""A channel of live sources in the dashboard, and an order in place of everything: in a real browser, by a daemon of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard import Dashboard
from playwright.sync_api import Browser, expect
from running import RunningDaemon

from channeld.client import connect


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A channel whose first source is not there, and whose second is the test pattern."""
    sources = [{"name": "camera", "url": "http://127.0.0.1:9/gone.ts"}, {"name": "bars", "title": "Bars and tone", "pattern": True}]
    graces = {"recovery_grace_seconds": 1, "buffer_seconds": 0.5}
    channel = {"name": "Harbour", "sources": sources, "failover": graces, "outputs": [{"hls": {"segment_seconds": 1}}]}
    daemon = RunningDaemon(tmp_path_factory.mktemp("live"), {"cam": channel})
    daemon.start()
    daemon.wait_for("cam", lambda shown: shown["sources"][1]["on_air"], what="the pattern on air", timeout_s=60)
    yield daemon
    assert daemon.stop() == []


@pytest.fixture
def page(browser: Browser, live: RunningDaemon) -> Iterator[Dashboard]:
    made = Dashboard(browser, live)
    yield made
    complaints = made.complaints
    made.close()
    assert complaints == []


def test_sources_are_told_and_an_order_is_given_and_lifted(page: Dashboard, live: RunningDaemon, tmp_path: Path) -> None:
    shown = page.open("channel/cam")
    expect(shown.locator(".now-title")).to_have_text("Bars and tone")
    expect(shown.locator(".now-times")).to_contain_text("live")
    sources = shown.locator(".channel-side .panel", has_text="Sources")
    expect(sources).to_contain_text("Cannot connect")
    expect(sources).to_contain_text("on air")
    shown.get_by_role("button", name="Instead…").click()
    shown.get_by_label("Text").fill("Back at 14:00")
    shown.get_by_role("button", name="Air it").click()
    expect(shown.locator(".now-title")).to_have_text("Back at 14:00", timeout=20_000)
    shown.screenshot(path=tmp_path / "ordered.png")
    assert page.barriers() == []
    shown.get_by_role("button", name="Lift").click()
    expect(shown.locator(".now-title")).to_have_text("Bars and tone")
    assert live.channel("cam")["override"] is None


def test_programs_that_read_the_channel_are_counted(page: Dashboard, live: RunningDaemon, tmp_path: Path) -> None:
    with connect("cam", live.folder / "run", timeout=20):
        live.wait_for("cam", lambda shown: shown["readers"] == 1, what="the reader to be told of")
        shown = page.open("channel/cam")
        outputs = shown.locator(".channel-side .panel", has_text="Outputs")
        expect(outputs).to_contain_text("One program on the machine reads it.")
        shown.screenshot(path=tmp_path / "read.png")
        assert page.barriers() == []


def test_the_wall_shows_a_live_channel(page: Dashboard) -> None:
    shown = page.open()
    card = shown.locator(".card", has_text="Harbour")
    expect(card).to_contain_text("Bars and tone")
    expect(card).to_contain_text("live")
