"""The dashboard in a real browser: one page of it, what it complained about, and what tests do with it again and again.

Rule: nothing stands in for anything: Debian's Chromium, a running daemon, clips on air. What the page does is checked where it counts:
in the playlist's file, in the as-run log, in the picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nginx_origin import wait_until
from playwright.sync_api import Browser, ConsoleMessage, Page
from running import RunningDaemon

AXE = Path(__file__).parent / "axe.min.js"
DESKTOP, PHONE = (1360, 850), (390, 844)
LONG_MS = 20_000

# Chromium itself writes a line for each answer of 400 and above; these the page asks for on purpose, and shows.
_MEANT = (
    "(Unauthorized)",
    "(Precondition Failed)",
    "(Conflict)",
    "(Unprocessable",
    "ERR_CONNECTION",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE",
    "ERR_NETWORK_CHANGED",
    "ERR_CONTENT_LENGTH_MISMATCH",
    "(Service Unavailable)",
)

_PICTURE = """() => {
  const video = document.querySelector('.channel-side video');
  const {totalVideoFrames: frames} = video.getVideoPlaybackQuality();
  return {at: video.currentTime, ranges: video.buffered.length, waits: video.waits ?? 0, frames};
}"""


class Dashboard:
    """One page. `complaints`: its errors on the console, and what it threw."""

    def __init__(
        self, browser: Browser, daemon: RunningDaemon, *, size: tuple[int, int] = DESKTOP, dark: bool = False, touch: bool = False
    ) -> None:
        self.daemon = daemon
        width, height = size
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch)
        self.context.set_default_timeout(LONG_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(word in message.text for word in _MEANT):
            self.complaints.append(f"{message.text} ({message.location})")

    @property
    def token(self) -> str:
        return (self.daemon.folder / "state" / "admin.token").read_text().strip()

    def open(self, place: str = "", *, token: str | None = None) -> Page:
        """Sign in, and go to a place such as `channel/live1`."""
        self.page.goto(f"{self.daemon.admin_url}/#/{place}")
        self.page.get_by_label("Token").fill(token or self.token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("main > *").first.wait_for()
        return self.page

    def go(self, place: str) -> None:
        """Another place of the page."""
        self.page.evaluate("place => { location.hash = `#/${place}` }", place)

    def rows(self) -> list[str]:
        """Titles in the order in which they are shown."""
        self.page.locator(".row").first.wait_for()
        script = "rows => rows.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map(row => row.querySelector('.row-title').textContent)"
        titles: list[str] = self.page.locator(".row").evaluate_all(script)
        return titles

    def row(self, title: str) -> Any:
        """The row of an entry."""
        return self.page.locator(".row", has=self.page.locator(".row-title", has_text=title))

    def drag(self, title: str, onto: str) -> None:
        """Take a row by its handle and let it go where another is."""
        taken, target = self.row(title).locator(".handle").bounding_box(), self.row(onto).locator(".handle").bounding_box()
        assert taken and target
        mouse = self.page.mouse
        mouse.move(taken["x"] + 15, taken["y"] + 15)
        mouse.down()
        mouse.move(taken["x"] + 15, (taken["y"] + target["y"]) / 2 + 15, steps=6)
        mouse.move(target["x"] + 15, target["y"] + 15, steps=6)
        mouse.up()

    def picture(self) -> dict[str, Any]:
        """How the preview of a channel's page stands."""
        found: dict[str, Any] = self.page.evaluate(_PICTURE)
        return found

    def until(self, holds: Callable[[], object], what: str, *, timeout_s: float = 20.0) -> None:
        """Wait until something holds outside of the page, while the page goes on."""

        def look() -> bool:
            self.page.wait_for_timeout(50)  # Playwright's loop turns only while it is asked something
            return bool(holds())

        wait_until(look, what=what, timeout_s=timeout_s)

    def barriers(self) -> list[str]:
        """What axe finds serious or worse in what is shown."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        serious = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
        return [
            f"{rule['id']}: {node['html']} {node['any'][0]['message'] if node['any'] else ''}" for rule in serious for node in rule["nodes"]
        ]

    def close(self) -> None:
        """Close the browser's window."""
        self.context.close()
