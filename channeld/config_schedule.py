"""The timetable of a channel: when it airs what in place of what would.

Rule: times are written without a zone, as `18:00` or `2026-12-24T18:00`, and mean the channel's `timezone`. Run by `config_rules`.
"""

import re
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from channeld.channel.timetable import DAYS, Slot, Timetable, clash
from channeld.config_model import ChannelModel, ScheduleModel
from channeld.config_yaml import KeyPath

if TYPE_CHECKING:
    from channeld.config_rules import Findings

ONCE_S = 600.0
"""How late what airs once may begin, unless `seconds` says it."""
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def make_timetable(found: "Findings", here: KeyPath, channel: ChannelModel) -> Timetable | None:
    """All of it; None where nothing is scheduled."""
    zone = None
    if channel.timezone is not None:
        try:
            zone = ZoneInfo(channel.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            found.fault((*here, "timezone"), f"there is no time zone {channel.timezone[:60]!r}. Write one such as Europe/Berlin or UTC")
    sources = {source.name for source in channel.sources}
    slots = tuple(_slot(found, (*here, "schedule", number), model, channel, sources) for number, model in enumerate(channel.schedule))
    is_refused = any(key[: len(here) + 1] == (*here, "schedule") for key in found.refused)
    if clash(slots) and not is_refused:
        found.fault((*here, "schedule"), "two items begin at the same time of the same day. Change or remove one")
    return Timetable(slots, zone) if slots else None


def _slot(found: "Findings", place: KeyPath, model: ScheduleModel, channel: ChannelModel, sources: set[str | None]) -> Slot:
    begins = _begins(found, (*place, "at"), model)
    if model.source is not None and model.source not in sources:
        found.fault((*place, "source"), f"no source of this channel is named {model.source!r}. Write the name of one")
    if model.playlist and (channel.playlist is None or not channel.sources):
        message = "airs the list while sources are live: this channel has no sources, or no playlist. Remove the item"
        found.fault((*place, "playlist"), message)
    if model.seconds is None and not model.once:
        found.fault(place, "it has no end. Write `seconds`, or `once: true` for what airs one time")
    file = str(found.absolute(model.path)) if model.path else None
    days = frozenset(DAYS.index(day) for day in model.days)
    return Slot(begins, model.seconds or ONCE_S, days, model.text, file, model.source, model.playlist, model.once)


def _begins(found: "Findings", place: KeyPath, model: ScheduleModel) -> time | datetime:
    """Midnight where it is refused."""
    try:
        if _TIME.fullmatch(model.at):
            return time.fromisoformat(model.at.zfill(5) if model.at.count(":") == 1 else model.at.zfill(8))
        moment = datetime.fromisoformat(model.at)
        if moment.tzinfo is not None:
            found.fault(place, "times stand without a zone. Write the zone as the channel's `timezone`")
        elif model.days:
            found.fault((*place[:-1], "days"), "a date has its day. Remove this key, or write a time of the day")
        return moment.replace(tzinfo=None)
    except ValueError:
        found.fault(place, f"{model.at[:40]!r} is no time. Write one of each day, such as 18:00, or of one, such as 2026-12-24T18:00")
        return time()
