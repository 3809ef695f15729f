"""How `channeld playlist` shows a list, and what an edit does or would do.

Rule: text of playlists is shown as text; on a terminal no line is wider than that. Moments are UTC, as everywhere.
"""

import sys
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from channeld.cli_air import moment_of
from channeld.cli_playlist_list import Listed
from channeld.cli_render import WIDE, clock, console, flexible, listing, plain

SHOWN = 20
"""So many entries of each kind of change are shown to people; the JSON has more."""
_STATES = {"ready": "", "preparing": "cyan", "waiting": "dim", "refused": "red", "unknown": "dim"}
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "moved": (">", "cyan"), "changed": ("~", "yellow")}


def show_text(text: str) -> None:
    """The file's own text: as it is to a program, without what a terminal would obey to people."""
    if sys.stdout.isatty():
        text = "".join(character if character == "\n" else plain(character) for character in text)
    sys.stdout.write(text)


def show_list(channel: str, listed: Listed) -> None:
    """A head, and a line for each entry."""
    document, out = listed.document, console()
    count = document["total"]
    out.print(flexible(f"{channel}: revision {document['revision']}, {count} {'entry' if count == 1 else 'entries'}", "bold"))
    if not document["can_edit"]:
        out.print(flexible(f"it cannot be edited entry by entry: {document['reason']}", "yellow"))
    if not listed.entries:
        return
    names = ["#", "", "Airs (UTC)", "Title", "Length", "State", "Path", "Entry"]
    kept = names if out.width >= WIDE else [name for name in names if name not in ("Path", "Entry")]
    table = listing(*kept, right=("#", "Length"), flexible=("Title", "Path", "State"))
    for entry in listed.entries:
        cells = _cells(entry, with_path="Path" in kept)
        table.add_row(*(cells[name] for name in kept), style="bold" if entry["is_playing"] else "")
    out.print(table)


def _cells(entry: dict[str, Any], *, with_path: bool) -> dict[str, Text | str]:
    state, why = plain(entry["state"]), entry["fault"] or entry["reason"]
    times = f" x{entry['repeat']}" if entry["repeat"] > 1 else ""
    return {
        "#": str(entry["index"] + 1),
        "": "▶" if entry["is_playing"] else "",
        "Airs (UTC)": _shown_moment(entry["airs_at"]),
        "Title": flexible(entry["title"] if with_path else entry["title"] or entry["path"]),
        "Length": clock(entry["duration_s"]) + times,
        "State": flexible(f"{state}: {why}" if why else state, _STATES.get(state, "")),
        "Path": flexible(entry["path"]),
        "Entry": flexible(entry["entry"], "dim"),
    }


def show_edit(channel: str, answer: dict[str, Any]) -> None:
    """What became of an edit, or would; entry by entry, and when each airs."""
    out, is_dry = console(), answer["dry_run"]
    if not answer["changed"]:
        out.print(plain(f"{channel}: nothing to change, the list says so already (revision {answer['revision']})"))
        return
    if is_dry:
        out.print(plain(f"{channel}: a dry run, nothing was written. This would change:"))
    else:
        out.print(plain(f"{channel}: revision {answer['revision']}, it counts on air{moment_of(answer['effective_at'])}"))
    diff, named = answer["diff"], {each["entry"]: each for each in answer["airs"]}
    for kind, (sign, style) in _SIGNS.items():
        # What was changed in place is told by its id alone; its names are those of its airing.
        entries = [named.get(each, {"path": each}) if isinstance(each, str) else each for each in diff.get(kind) or []]
        for entry in entries[:SHOWN]:
            out.print(_change(sign, style, entry))
        count = max(len(entries), (diff.get("counts") or {}).get(kind, 0))
        if count > SHOWN:
            out.print(Text(f"{sign} and {count - SHOWN} more {kind}", style=style))
    if not any(diff.get(kind) for kind in _SIGNS):
        out.print(Text("what airs stays as it is: only titles, comments or their like differ", style="dim"))
    _show_airs(answer["airs"], answer["airs_left_out"])


def _change(sign: str, style: str, entry: dict[str, Any]) -> Text:
    number = f"{entry['index'] + 1}. " if entry.get("index") is not None else ""
    title, path = plain(entry.get("title") or ""), plain(entry["path"])
    return flexible(f"{sign} {number}{path}" + (f" ({title})" if title and title != path else ""), style)


def _show_airs(airs: list[dict[str, Any]], left_out: int) -> None:
    if not airs:
        return
    table = listing("Airs (UTC)", "before", "Title", "Path", flexible=("Title", "Path"))
    for each in airs[:SHOWN]:
        after, before = _shown_moment(each["after"]), _shown_moment(each["before"])
        table.add_row(after, before, flexible(each["title"]), flexible(each["path"]))
    out = console()
    out.print(table)
    if (more := len(airs) - SHOWN + left_out) > 0 and len(airs) > SHOWN:
        out.print(Text(f"and {more} more; --json has {len(airs)} of them", style="dim"))


def _shown_moment(at: str | None) -> str:
    """The time of today, else with its day."""
    if at is None:
        return "–"
    today = datetime.now(UTC).date().isoformat()
    return plain(at[11:19] if at[:10] == today else f"{at[5:10]} {at[11:19]}")
