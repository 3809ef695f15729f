"""`channeld status`: what every channel airs, what comes, how its outputs and its stock are; once, or as long as somebody looks.

Rule: a table never is wider than its terminal: below 110 columns it says the same in fewer words, and below what it says in which channels
something is wrong. Watched, it is asked again only when an event tells of news; the seconds between are counted here.
"""

import json
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from channeld.base.errors import ChannelError
from channeld.cli_client import AdminClient, DaemonUnreachable, channel_route
from channeld.cli_events import Connected, Lost, WantedEvents, follow
from channeld.cli_render import WIDE, clock, console, flexible, hours, listing, plain
from channeld.cli_verb import write_json

NARROW = 60
TICK_S = 1.0
GATHER_S = 0.2
"""News come in groups (an entry ends, the next begins): so long they are gathered before the daemon is asked."""
_KINDS = (
    *("channel_state", "channel_degraded", "channel_recovered", "channel_removed", "entry_started", "entry_continued", "entry_skipped"),
    *("playlist_applied", "playlist_refused", "output_state", "output_verdict", "source_state", "clip_prepared", "config_reloaded"),
)
_STYLES = {
    **dict.fromkeys(("on_air", "up", "ok"), "green"),
    **dict.fromkeys(("filler", "starting", "stopping", "resting", "retrying", "late", "silent", "frozen"), "yellow"),
    **dict.fromkeys(("failed", "down"), "red"),
    "stopped": "dim",
}
_SKIPS = "skips "
_FLEXIBLE = ("Channel", "Now", "Next", "Outputs", "Prepared")


def show_status(client: AdminClient, only: list[str], *, as_json: bool) -> None:
    """Once. Raises DaemonUnreachable, NotAllowed, ChannelError."""
    channels = ask_channels(client, only)
    if as_json:
        write_json(channels)
    elif channels:
        out = console()
        out.print(status_view(channels, out.width))
    else:
        console().print("no channels")


def ask_channels(client: AdminClient, only: list[str]) -> list[dict[str, Any]]:
    """The daemon's channels, or those of them that are named. Raises the same, and Rejected for an unknown one."""
    if only:
        return [client.get(channel_route(channel)) for channel in only]
    channels = client.get("/api/v1/channels")
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        raise ChannelError("the daemon's answer is not a list of channels. Is it another version?")
    return channels


class Wall:
    """The channels as they were told last, and the time since; used by one thread."""

    def __init__(self, client: AdminClient, only: list[str]) -> None:
        self._client, self._only = client, only
        self.channels: list[dict[str, Any]] = []
        self._asked_s = 0.0
        self.trouble: str | None = None

    def ask(self) -> None:
        """Ask anew; a daemon that does not answer is told below what it said last."""
        try:
            self.channels, self._asked_s, self.trouble = ask_channels(self._client, self._only), time.monotonic(), None
        except DaemonUnreachable as error:
            self.trouble = str(error)

    def as_line(self) -> str:
        """For programs."""
        return json.dumps(self.channels, ensure_ascii=False) + "\n"

    def view(self, out: Console) -> Group:
        """What fits the terminal, with the seconds since counted on; a channel that is not well comes first when not all fit."""
        channels, room = [_counted_on(channel, time.monotonic() - self._asked_s) for channel in self.channels], out.height - 3
        troubles = _troubles(channels)
        if len(channels) + len(troubles) > room and len(troubles) > room // 3:
            hidden_troubles = len(troubles) - room // 3 + 1
            troubles = [*troubles[:-hidden_troubles], flexible(f"{hidden_troubles} more things are wrong: --json tells all", "dim")]
        left = room - len(troubles)
        more = Text()
        if len(channels) > left:
            channels.sort(key=lambda channel: not _is_troubled(channel))
            hidden = Counter(plain(channel.get("state")) for channel in channels[left:])
            told = ", ".join(f"{count} {state}" for state, count in hidden.items())
            more = flexible(f"{len(channels) - left} more channels: {told}", "dim")
            channels = channels[:left]
        lost = [flexible(f"lost: {self.trouble}", "red")] if self.trouble else []
        return Group(_table(channels, out.width), *troubles, *([more] if more else []), *lost)


def watch_status(client: AdminClient, only: list[str], *, as_json: bool) -> None:
    """Until Ctrl-C: a table that renews itself; to programs, a table or a line of JSON at each change.

    Raises as show_status when nobody answers at first.
    """
    news: queue.SimpleQueue[dict[str, Any] | Connected | Lost | ChannelError] = queue.SimpleQueue()
    wall = Wall(client, only)
    wanted = WantedEvents(channel=None, kind=",".join(_KINDS))
    # A daemon thread: it sits in a read that nothing but the end of the process ends.
    threading.Thread(target=_gather, args=(client, wanted, news), name="events", daemon=True).start()
    out = console()
    try:
        if out.is_terminal and not as_json:
            with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
                for _ in _changes(wall, news, tick_s=TICK_S):
                    live.update(wall.view(out), refresh=True)
        for _ in _changes(wall, news, tick_s=None):
            if as_json:
                sys.stdout.write(wall.as_line())
            else:
                out.print(status_view(wall.channels, out.width), "")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _gather(client: AdminClient, wanted: WantedEvents, news: "queue.SimpleQueue[Any]") -> None:
    try:
        for each in follow(client, wanted):
            news.put(each)
    except ChannelError as error:
        news.put(error)


def _changes(wall: Wall, news: "queue.SimpleQueue[Any]", *, tick_s: float | None) -> Iterator[None]:
    """Whenever there is something else to show. The daemon is asked at most once in GATHER_S, however much happens."""
    while True:
        try:
            first = news.get(timeout=tick_s)
        except queue.Empty:
            yield
            continue
        time.sleep(GATHER_S)
        all_news = [first]
        while not news.empty():
            all_news.append(news.get())
        for each in all_news:
            if isinstance(each, ChannelError):
                raise each
        if any(not isinstance(each, Lost) for each in all_news):
            wall.ask()
        if isinstance(all_news[-1], Lost):
            wall.trouble = all_news[-1].message
        yield


def _counted_on(channel: dict[str, Any], seconds: float) -> dict[str, Any]:
    """As it is by now, if all goes on: the position moves up to the clip's end."""
    now = channel.get("now")
    if not now or now.get("position_s") is None:
        return channel
    end = now.get("duration_s")
    position_s = now["position_s"] + seconds
    return channel | {"now": now | {"position_s": position_s if end is None else min(position_s, end)}}


def status_view(channels: list[dict[str, Any]], width: int) -> Group:
    """All of them, and below what is wrong."""
    return Group(_table(channels, width), *_troubles(channels))


def _table(channels: Iterable[dict[str, Any]], width: int) -> Table:
    """A line for each channel."""
    is_wide = width >= WIDE
    names = ["Channel", "State", "Now", "At" if is_wide else "Left", "Next", "Outputs", "Prepared"]
    kept = names if width >= NARROW else [name for name in names if name not in ("Next", "Prepared")]
    table = listing(
        *kept, right=("At", "Left"), flexible=("Channel", "Now", "Next", "Outputs", "Prepared") if is_wide else ("Channel", "Now", "Next")
    )
    for channel in channels:
        now, state = channel.get("now") or {}, plain(channel.get("state", "?"))
        cells = {
            "Channel": flexible(channel.get("id", "?")),
            "State": Text(state, style=_STYLES.get(state, "")),
            "Now": flexible(now.get("title") or "–"),
            "At": Text(f"{clock(now.get('position_s'))}/{clock(now.get('duration_s'))}" if now else "–"),
            "Left": Text(_left(now)),
            "Next": flexible(", ".join(plain(entry.get("title")) for entry in (channel.get("next") or [])[: 2 if is_wide else 1]) or "–"),
            "Outputs": (_outputs if is_wide else _outputs_in_short)(channel.get("outputs") or []),
            "Prepared": (_prepared if is_wide else _prepared_in_short)(channel.get("prepared") or {}),
        }
        table.add_row(*(cells[name] for name in kept))
    return table


def _left(now: dict[str, Any]) -> str:
    if not now or now.get("position_s") is None or now.get("duration_s") is None:
        return "–"
    return clock(max(0.0, now["duration_s"] - now["position_s"]))


def _condition(output: dict[str, Any]) -> str:
    return plain((output.get("verdict") or {}).get("condition", "ok"))


def _is_well(output: dict[str, Any]) -> bool:
    return output.get("state") in ("up", "starting") and _condition(output) == "ok"


def _is_troubled(channel: dict[str, Any]) -> bool:
    return channel.get("state") not in ("on_air", "stopped") or any(what != _SKIPS for what, _, _ in _wrong_of(channel))


def _outputs(outputs: list[dict[str, Any]]) -> Text:
    pieces: list[Text] = []
    for output in outputs:
        state = plain(output.get("state", "?"))
        restarts = f" ({output['restarts']} restarts)" if output.get("restarts") else ""
        reads = f" ({output['readers']} readers)" if output.get("readers") else ""
        found = _condition(output)
        seen = "" if found == "ok" else (f", seen {found}", _STYLES.get(found, "red"))
        pieces.append(Text.assemble(plain(output.get("name")), " ", (state, _STYLES.get(state, "")), restarts, reads, seen))
    return Text(", ").join(pieces) if pieces else Text("–")


def _outputs_in_short(outputs: list[dict[str, Any]]) -> Text:
    """How many are well, or which is not."""
    ill = [output for output in outputs if not _is_well(output)]
    if not ill:
        return Text(f"{len(outputs)} up", style="green") if outputs else Text("–")
    return Text(f"{len(ill)} of {len(outputs)} down" if len(outputs) > 1 else plain(ill[0].get("state")), style="yellow")


def _prepared(prepared: dict[str, Any]) -> Text:
    if not prepared:
        return Text("–")
    told = f"{hours(prepared.get('ready_s'))} of {hours(prepared.get('needed_s'))}"
    told += f", {clock(prepared['eta_s'])} to go" if prepared.get("eta_s") else ""
    told += f", dry at {plain(prepared['dry_at'])[11:16]} UTC" if prepared.get("dry_at") else ""
    return Text(told + (", loop does not fit" if prepared.get("fits_cache") is False else ""))


def _prepared_in_short(prepared: dict[str, Any]) -> Text:
    ready_s, needed_s = prepared.get("ready_s"), prepared.get("needed_s")
    if ready_s is None or not needed_s:
        return Text("–")
    return Text("all" if ready_s >= needed_s else f"{int(100 * ready_s / needed_s)}%", style="" if ready_s >= needed_s else "yellow")


def _troubles(channels: Iterable[dict[str, Any]]) -> list[Text]:
    """One line for each thing that is wrong, entries that are skipped last."""
    found = [(channel, *wrong) for channel in channels for wrong in _wrong_of(channel)]
    found.sort(key=lambda each: each[1] == _SKIPS)
    return [
        Text.assemble((f"{plain(channel.get('id'))}: ", "bold"), (what, style), plain(why), no_wrap=True, overflow="ellipsis")
        for channel, what, style, why in found
    ]


def _wrong_of(channel: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if (fault := channel.get("edit_error")) is not None:
        place = ":".join(str(fault[part]) for part in ("file", "line") if fault.get(part) is not None)
        yield "edit refused ", "red", f"{place} {fault.get('message')}"
    if (degraded := channel.get("degraded")) is not None:
        yield f"does without {plain(degraded.get('step'))} ", "yellow", f"until {degraded.get('until')}: {degraded.get('reason')}"
    for source in channel.get("sources") or []:
        if source.get("state") == "lost":
            why = ": ".join(plain(each).replace("_", " ") for each in (source.get("reason"), source.get("detail")) if each)
            yield f"{plain(source.get('name'))} lost ", "yellow", why
    for output in channel.get("outputs") or []:
        if not _is_well(output):
            found = "" if _condition(output) == "ok" else f", seen {_condition(output)}"
            yield f"{plain(output.get('name'))} {plain(output.get('state'))}{found} ", "yellow", str(output.get("last_error") or "")
    if skipped := channel.get("skipped"):
        first, more = skipped[0], f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        yield _SKIPS, "yellow", f"{first.get('path')} ({first.get('reason')}){more}"
