"""`channeld events`: what happened and what happens, as lines or JSON lines; and the following of events for other verbs.

Rule: a follower that loses the daemon comes again with the id of the event that it got last, so that none is missed or told twice. Texts
of files and daemons are shown as text.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlencode

from rich.text import Text

from channeld.base.errors import ConfigError
from channeld.base.event_kinds import EVENT_KINDS
from channeld.cli_client import AdminClient, DaemonUnreachable
from channeld.cli_render import console, plain, show_note

AGAIN_S = 2.0
"""As the stream itself asks for (`retry: 2000`)."""
_EVENTS = "/api/v1/events"
_NEWS_STYLES = {
    "red": frozenset({"playlist_refused", "config_refused", "clip_refused", "store_not_written", "store_set_aside"}),
    "yellow": frozenset(
        {"entry_skipped", "entry_substituted", "entry_passed_over", "channel_late", "channel_degraded", "clock_jumped", "missed"}
    ),
    "magenta": frozenset({"alarm", "alert"}),
}
_STYLES = {kind: style for style, kinds in _NEWS_STYLES.items() for kind in kinds}
# What says most about an event, in the order it is read; all the rest is in the JSON.
_TOLD = ("title", "path", "output", "state", "verdict", "step", "rule", "alarm", "subject", "revision", "added", "removed", "changed")
_WHY = ("reason", "cause", "message", "error")


@dataclass(frozen=True, slots=True)
class WantedEvents:
    """Which events somebody wants: names with commas between; None: all. `after`: only later ones than this id. Raises ConfigError."""

    channel: str | None = None
    kind: str | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        for name in (self.kind or "").split(",") if self.kind is not None else ():
            if name not in EVENT_KINDS:
                close = get_close_matches(name, EVENT_KINDS, 1)
                hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(sorted(EVENT_KINDS))}"
                raise ConfigError(f"no kind of event is called {name!r}. {hint}")

    def route(self, place: str = "", **more: int) -> str:
        """As the API takes it."""
        told = {"channel": self.channel, "kind": self.kind, **more}
        query = urlencode({name: value for name, value in told.items() if value is not None})
        return f"{_EVENTS}{place}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Connected:
    """The stream has begun, or begun again: what is shown should be read anew."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody answers for the moment."""

    message: str


def follow(client: AdminClient, wanted: WantedEvents) -> Iterator[dict[str, Any] | Connected | Lost]:
    """Events for ever, over any number of connections. Raises DaemonUnreachable when already the first fails; NotAllowed, Rejected."""
    last_id, was_connected = wanted.after, False
    while True:
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        try:
            for line in client.lines(wanted.route(), headers):
                if line.startswith("retry:"):
                    was_connected = True
                    yield Connected()
                elif line.startswith("data:"):
                    event: dict[str, Any] = json.loads(line.removeprefix("data:"))
                    last_id = event.get("id", last_id)
                    yield event
            yield Lost("the daemon ended the stream")
        except DaemonUnreachable as error:
            if not was_connected:
                raise
            yield Lost(str(error))
        time.sleep(AGAIN_S)


def show_recent(client: AdminClient, wanted: WantedEvents, limit: int, *, as_json: bool) -> None:
    """The newest events that the daemon keeps, the newest last, as a log is read."""
    rows, _ = client.get_rows(wanted.route("/recent", limit=limit))
    for event in reversed(rows):
        if wanted.after is None or event["id"] > wanted.after:
            show_event(event, as_json=as_json)


def show_following(client: AdminClient, wanted: WantedEvents, *, as_json: bool) -> None:
    """Every event as it happens, until Ctrl-C."""
    is_lost = False
    try:
        for news in follow(client, wanted):
            if isinstance(news, dict):
                show_event(news, as_json=as_json)
            elif isinstance(news, Connected):
                show_note("the daemon answers again") if is_lost else None
                is_lost = False
            elif not is_lost:
                is_lost = True
                show_note("the daemon does not answer; waiting for it (Ctrl-C ends)")
    except KeyboardInterrupt:
        return


def show_event(event: dict[str, Any], *, as_json: bool) -> None:
    """One line, written at once."""
    if as_json:
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    else:
        console().print(event_line(event))
    sys.stdout.flush()


def event_line(event: dict[str, Any]) -> Text:
    """When, where, what, and why: `10:00:52 live1 entry_started Sintel sintel.mp4`."""
    kind = plain(event.get("kind", "?"))
    at = plain(event.get("at", ""))[:19].replace("T", " ") or "-" * 19
    told = [_shown(name, event[name]) for name in _TOLD if event.get(name) not in (None, "", [], {})]
    if event.get("title") == event.get("path"):
        told = told[1:] if event.get("title") else told
    why = [_shown(name, event[name]) for name in _WHY if event.get(name)]
    if kind == "missed":
        told = [f"{event.get('count')} events were too fast for this reader"]
    line = Text.assemble((at, "dim"), "  ", f"{plain(event.get('channel') or '-'):<10}  ", (f"{kind:<18}", _STYLES.get(kind, "")), "  ")
    return line.append(" ".join(told)).append(f": {'; '.join(why)}" if why else "")


def _shown(name: str, value: Any) -> str:
    if isinstance(value, dict):
        place = ":".join(str(value[part]) for part in ("file", "line") if value.get(part) is not None)
        return plain(" ".join(filter(None, (place, str(value.get("message", ""))))) or value)
    if isinstance(value, list):
        return f"{name} {plain(', '.join(map(str, value)))}"
    return f"{name} {value}" if isinstance(value, int) else plain(value)
