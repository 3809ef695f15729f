"""What the command line shows people: tables and lines.

Rule: text of files and daemons is shown as text, never as markup or terminal control; without a terminal, or with
NO_COLOR, the output is plain. Pure but for the console it writes to.
"""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from channeld.check import CheckReport
from channeld.media.facts import AudioFacts, MediaFacts

PLAIN_WIDTH = 200
_STATE_STYLES = {
    "on_air": "green",
    "up": "green",
    "filler": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "failed": "red",
    "down": "red",
}


def console(*, stderr: bool = False) -> Console:
    """A console on this process's output; wide where nobody's terminal sets a width."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> str:
    """Text without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in str(value))


def show_error(message: str) -> None:
    """Tell of a failure on stderr, one line for each fault."""
    for line in message.splitlines() or [""]:
        console(stderr=True).print(Text.assemble(("error: ", "bold red"), plain(line)))


def show_note(message: str) -> None:
    """Tell something on stderr; addresses and paths stay whole, whatever the terminal's width."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def show_check(report: CheckReport) -> None:
    """Every finding on a line of its own, then what follows."""
    out = console()
    for label, style, findings in (("error", "bold red", report.errors), ("warning", "yellow", report.warnings)):
        for finding in findings:
            out.print(Text.assemble((f"{label}: ", style), plain(finding)))
    for note in report.notes:
        out.print(plain(note))
    for channel, each in report.readiness.items():
        dry = "" if each.dry_after_s is None else f", the first {clock(each.dry_after_s)} without a gap"
        room = "" if each.fits_cache else ", the loop does not fit the cache"
        out.print(plain(f"{channel}: {hours(each.ready_s)} of {hours(each.needed_s)} prepared{dry}{room}"))
    verdict = f"{_count(len(report.errors), 'error')}, {_count(len(report.warnings), 'warning')}"
    out.print(Text(verdict, style="red" if report.errors else "yellow" if report.warnings else "green"))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def clock(seconds: float | None) -> str:
    """A duration as H:MM:SS or M:SS."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def hours(seconds: float | None) -> str:
    """A stock of programme, in hours."""
    return "–" if seconds is None else f"{seconds / 3600:.1f} h"


def status_table(channels: Iterable[dict[str, Any]]) -> Table:
    """One row for each channel of the admin API's answer."""
    table = Table("Channel", "State", "Now", "Next", "Outputs", "Prepared")
    for channel in channels:
        state = plain(channel.get("state", "?"))
        table.add_row(
            plain(channel.get("id", "?")),
            Text(state, style=_STATE_STYLES.get(state, "")),
            _now(channel.get("now")),
            ", ".join(plain(entry.get("title")) for entry in (channel.get("next") or [])[:2]) or "–",
            _outputs(channel.get("outputs") or []),
            _prepared(channel.get("prepared")),
        )
        if (fault := channel.get("edit_error")) is not None:
            place = f"{fault.get('file')}:{fault.get('line') or ''}"
            table.add_row("", Text("edit refused", style="red"), plain(f"{place} {fault.get('message')}"), "", "", "")
    return table


def _now(now: dict[str, Any] | None) -> str:
    if not now:
        return "–"
    return f"{plain(now.get('title'))} {clock(now.get('position_s'))}/{clock(now.get('duration_s'))}"


def _outputs(outputs: list[dict[str, Any]]) -> Text:
    pieces: list[Text] = []
    for output in outputs:
        state = plain(output.get("state", "?"))
        restarts = f" ({output['restarts']} restarts)" if output.get("restarts") else ""
        found = (output.get("verdict") or {}).get("condition", "ok")
        seen = "" if found == "ok" else (f", seen {plain(found)}", "yellow" if found in ("late", "silent", "frozen") else "red")
        pieces.append(Text.assemble(plain(output.get("name")), " ", (state, _STATE_STYLES.get(state, "")), restarts, seen))
    return Text(", ").join(pieces) if pieces else Text("–")


def _prepared(prepared: dict[str, Any] | None) -> str:
    if not prepared:
        return "–"
    told = f"{hours(prepared.get('ready_s'))} of {hours(prepared.get('needed_s'))}"
    told += f", {clock(prepared['eta_s'])} to go" if prepared.get("eta_s") else ""
    told += f", dry at {plain(prepared['dry_at'])[11:16]} UTC" if prepared.get("dry_at") else ""
    return told + (", loop does not fit" if prepared.get("fits_cache") is False else "")


def show_probe(name: str, facts: MediaFacts, chosen: AudioFacts | None) -> None:
    """The tracks of a file, which of them would air, and which are dropped."""
    out = console()
    out.print(plain(f"{name}: {facts.container}, {clock(facts.duration_s)}, starts at {facts.start_s:g} s"))
    table = Table("Track", "Codec", "What", "Airs")
    if (video := facts.video) is not None:
        picture, rate = video.picture, f"{video.average_fps:g} fps" + (" (variable)" if video.is_vfr else "")
        what = f"{picture.width}x{picture.height}, SAR {picture.sar[0]}:{picture.sar[1]}, {picture.pix_fmt}, {rate}"
        what += f", rotated {picture.rotation}°" if picture.rotation else ""
        what += ", HDR" if video.colour.is_hdr else ""
        what += ", captions" if video.has_captions else ""
        table.add_row(f"video {video.index}", plain(video.codec), plain(what), "yes")
    for track in facts.audio:
        what = f"{track.rate} Hz, {track.channels} channels" + (f", {track.language}" if track.language else "")
        table.add_row(f"audio {track.index}", plain(track.codec), plain(what), "yes" if track == chosen else "no")
    out.print(table)
    for dropped in facts.dropped_tracks(chosen):
        out.print(Text.assemble(("dropped: ", "yellow"), plain(dropped)))
    for warning in facts.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), plain(warning)))
