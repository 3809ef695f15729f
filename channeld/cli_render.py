"""What the command line shows people: tables and lines.

Rule: text of files and daemons is shown as text, never as markup or terminal control; without a terminal, or with
NO_COLOR, the output is plain. Pure but for the console it writes to.
"""

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # these bring much with them that most verbs need not
    from channeld.check import CheckReport
    from channeld.media.facts import AudioFacts, MediaFacts

PLAIN_WIDTH = 10_000
"""Columns where no terminal sets a width: no line is cut for a program that reads it."""
WIDE = 110
"""From so many columns on tables say everything; below they say it in fewer words."""


def console(*, stderr: bool = False) -> Console:
    """A console on this process's output; wide where nobody's terminal sets a width."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> str:
    """Text without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in str(value))


def listing(*columns: str, right: Collection[str] = (), flexible: Collection[str] = ()) -> Table:
    """A table without lines, as `ps` and `ls` have theirs. Only columns `flexible` give way where the terminal is too narrow."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name not in flexible)
    return table


def flexible(value: Any, style: str = "") -> Text:
    """A cell or line that is cut with an ellipsis where there is no room; what holds other text stays whole."""
    return Text(plain(value), style=style, no_wrap=True, overflow="ellipsis")


def show_error(message: str) -> None:
    """Tell of a failure on stderr, one line for each fault."""
    for line in message.splitlines() or [""]:
        console(stderr=True).print(Text.assemble(("error: ", "bold red"), plain(line)))


def show_note(message: str) -> None:
    """Tell something on stderr; addresses and paths stay whole, whatever the terminal's width."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def show_check(report: "CheckReport") -> None:
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
    """A stock of programme, in hours; below one hour in minutes."""
    if seconds is None:
        return "–"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def show_probe(name: str, facts: "MediaFacts", chosen: "AudioFacts | None") -> None:
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
