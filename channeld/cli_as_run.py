"""`channeld as-run`: what aired, when, for how long, and why not, as a table, CSV or JSON.

Rule: long answers come a page at a time and are written as they come; text of playlists is shown as text. An answer that is not all
there is says so on stderr.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from rich.table import Table

from channeld.channel.as_run_text import LINE, TOTAL, csv_text
from channeld.cli_client import AdminClient
from channeld.cli_render import clock, console, plain, show_note

PAGE = 5_000
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for; None: whatever."""

    channel: str | None = None
    since: str | None = None
    to: str | None = None
    path: str | None = None
    outcome: str = "any"

    def query(self, **more: int) -> str:
        """As the API takes it."""
        told = {"channel": self.channel, "from": self.since, "to": self.to, "path": self.path, "outcome": self.outcome, **more}
        return urlencode({name: value for name, value in told.items() if value is not None})


def show_lines(client: AdminClient, wanted: Wanted, *, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """The lines, newest first. Raises DaemonUnreachable, NotAllowed, Rejected, ChannelError."""
    if as_csv:
        for number, rows in enumerate(_pages(client, wanted, limit)):
            sys.stdout.write(csv_text(rows, LINE, with_head=number == 0))
    elif as_json:
        lines = [line for rows in _pages(client, wanted, limit) for line in rows]
        sys.stdout.write(json.dumps(lines, ensure_ascii=False, indent=2) + "\n")
    else:
        console().print(_line_table([line for rows in _pages(client, wanted, limit or SHOWN) for line in rows]))


def show_totals(client: AdminClient, wanted: Wanted, *, as_csv: bool, as_json: bool) -> None:
    """How often and how long each clip aired. Raises the same."""
    rows = _ask(client, f"/api/v1/as-run/totals?{wanted.query()}")
    if as_csv:
        sys.stdout.write(csv_text(rows, TOTAL))
    elif as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
    else:
        console().print(_total_table(rows))


def _pages(client: AdminClient, wanted: Wanted, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """Pages, at least one, until `limit` lines or the end."""
    before: dict[str, int] = {}
    left = limit
    while True:
        size = PAGE if left is None else min(PAGE, left)
        rows = _ask(client, f"/api/v1/as-run?{wanted.query(limit=size, **before)}")
        yield rows
        left = None if left is None else left - len(rows)
        if len(rows) < size or left == 0:
            return
        before = {"before": rows[-1]["id"]}


def _ask(client: AdminClient, route: str) -> list[dict[str, Any]]:
    rows, problem = client.get_rows(route)
    if problem is not None:
        show_note(f"this is not all there is: {plain(problem)}")
    return rows


def _line_table(lines: list[dict[str, Any]]) -> Table:
    table = Table("Began (UTC)", "Planned", "Channel", "What", "Frames", "Outcome", "Why")
    for line in lines:
        planned = line.get("frames_planned")
        frames = "–" if line.get("frames") is None else f"{line['frames']}" + ("" if planned is None else f"/{planned}")
        what = plain(line.get("path") or ("filler" if line.get("entry") is None else "–"))
        table.add_row(
            _moment(line.get("started_at")),
            _time(line.get("planned_at")),
            plain(line.get("channel")),
            what,
            frames,
            plain(line.get("outcome")),
            plain(line.get("reason") or ""),
        )
    return table


def _total_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("Channel", "What", "Airings", "Aired", "Frames", "First (UTC)", "Last")
    for row in rows:
        what, moments = plain(row.get("path") or "filler"), (_moment(row.get("first_at")), _moment(row.get("last_at")))
        table.add_row(plain(row.get("channel")), what, str(row.get("airings")), clock(row.get("aired_s")), str(row.get("frames")), *moments)
    return table


def _moment(text: Any) -> str:
    return plain(text or "–").replace("T", " ").removesuffix("Z")


def _time(text: Any) -> str:
    return _moment(text).rpartition(" ")[2]
