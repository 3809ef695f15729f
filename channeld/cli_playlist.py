"""`channeld playlist`: show a channel's list, and edit it entry by entry or as a text.

Rule: every edit goes against what was just read (If-Match): an entry is looked up and edited in the same list, and an edit of somebody else
in between is told, never lost. `--revision` holds that for a list that was looked at before. `--dry-run` shows all and does nothing.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from channeld.base.errors import ConfigError
from channeld.cli_air import ChannelArgument
from channeld.cli_client import channel_route, connect
from channeld.cli_playlist_edit import edit_text, put_text, read_text
from channeld.cli_playlist_list import Listed, read_list
from channeld.cli_playlist_show import show_edit, show_list, show_text
from channeld.cli_verb import OK, ConfigOption, JsonOption, TokenOption, UrlOption, verb_of, write_json

playlists = typer.Typer(help="The list of a channel: show it, add, change, move and remove entries, edit it.", no_args_is_help=True)

_ENTRY = "The entry: its number in the list, its id, or its path where that is there once."
EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help=_ENTRY)]
BeforeOption = Annotated[str | None, typer.Option("--before", metavar="ENTRY", help="In front of this entry.")]
AfterOption = Annotated[str | None, typer.Option("--after", metavar="ENTRY", help="Behind this entry.")]
TitleOption = Annotated[str | None, typer.Option("--title", help="Its title.")]
InOption = Annotated[str | None, typer.Option("--in", metavar="TIME", help="Begin there: seconds or HH:MM:SS.mmm.")]
OutOption = Annotated[str | None, typer.Option("--out", metavar="TIME", help="End there.")]
DurationOption = Annotated[str | None, typer.Option("--duration", metavar="TIME", help="Air so much of it.")]
RepeatOption = Annotated[int | None, typer.Option("--repeat", min=1, help="So many times in a row.")]
RevisionOption = Annotated[int | None, typer.Option("--revision", help="Only if the list still is at this revision, as `show` told it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would change, and when what would air.")]


@verb_of(playlists, "show")
def show(
    channel: ChannelArgument,
    as_text: Annotated[bool, typer.Option("--text", help="The file's own text.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the entries, what is known of each, and when it airs next."""
    listed = read_list(connect(config, url, token), channel)
    if as_json:
        write_json({**listed.document, "entries": listed.entries, "next": None})
    elif as_text:
        show_text(listed.document["text"])
    else:
        show_list(channel, listed)
    return OK


@verb_of(playlists, "add")
def add(
    channel: ChannelArgument,
    path: Annotated[str, typer.Argument(help="A media file, as the list would name it.")],
    before: BeforeOption = None,
    after: AfterOption = None,
    title: TitleOption = None,
    in_: InOption = None,
    out: OutOption = None,
    duration: DurationOption = None,
    repeat: RepeatOption = None,
    revision: RevisionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Add an entry: at the end, or before or after another."""
    client = connect(config, url, token)
    listed = read_list(client, channel, is_whole=before is not None or after is not None).at(revision)
    content = {"path": path, **_fields(title, in_, out, duration, repeat), **_place(listed, before, after)}
    answer = client.edit("POST", _route(channel, dry_run, "entries"), content, listed.tag)
    return _shown(channel, answer, as_json)


@verb_of(playlists, "change")
def change(
    channel: ChannelArgument,
    entry: EntryArgument,
    title: TitleOption = None,
    in_: InOption = None,
    out: OutOption = None,
    duration: DurationOption = None,
    repeat: RepeatOption = None,
    revision: RevisionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Change the title, the trims or the repeats of an entry; an empty text takes a field away."""
    fields = _fields(title, in_, out, duration, repeat)
    if not fields:
        raise ConfigError("nothing to change: give --title, --in, --out, --duration or --repeat")
    client = connect(config, url, token)
    listed = read_list(client, channel).at(revision)
    answer = client.edit("PATCH", _route(channel, dry_run, "entries", listed.find(entry)), fields, listed.tag)
    return _shown(channel, answer, as_json)


@verb_of(playlists, "remove")
def remove(
    channel: ChannelArgument,
    entry: EntryArgument,
    revision: RevisionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Remove an entry. If it is on air, it airs to its end."""
    client = connect(config, url, token)
    listed = read_list(client, channel).at(revision)
    answer = client.edit("DELETE", _route(channel, dry_run, "entries", listed.find(entry)), None, listed.tag)
    return _shown(channel, answer, as_json)


@verb_of(playlists, "move")
def move(
    channel: ChannelArgument,
    entry: EntryArgument,
    before: BeforeOption = None,
    after: AfterOption = None,
    to: Annotated[int | None, typer.Option("--to", min=1, metavar="NUMBER", help="So that it has this number then.")] = None,
    revision: RevisionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Move an entry before or after another, or to a number of the list."""
    if sum(place is not None for place in (before, after, to)) != 1:
        raise ConfigError("where to? Give one of --before, --after and --to")
    client = connect(config, url, token)
    listed = read_list(client, channel).at(revision)
    place: dict[str, Any] = _place(listed, before, after) if to is None else {"to_index": to - 1}
    answer = client.edit("POST", _route(channel, dry_run, "entries", listed.find(entry), "move"), place, listed.tag)
    return _shown(channel, answer, as_json)


@verb_of(playlists, "edit")
def edit(
    channel: ChannelArgument,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Put this file's text, without an editor; - is stdin.")] = None,
    revision: RevisionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Open the list in $VISUAL or $EDITOR and put what is saved. What cannot be put is kept, and said where."""
    client = connect(config, url, token)
    listed = read_list(client, channel, is_whole=False).at(revision)
    if file is None:
        answer = edit_text(client, channel, listed, is_dry_run=dry_run)
    else:
        text = read_text(None if str(file) == "-" else file)
        answer = put_text(client, channel, listed, text, is_dry_run=dry_run)
    return _shown(channel, answer, as_json)


def _fields(title: str | None, in_: str | None, out: str | None, duration: str | None, repeat: int | None) -> dict[str, Any]:
    """What was given; an empty text is null."""
    given = {"title": title, "in": in_, "out": out, "duration": duration, "repeat": repeat}
    return {name: value or None for name, value in given.items() if value is not None}


def _place(listed: Listed, before: str | None, after: str | None) -> dict[str, Any]:
    if before is not None and after is not None:
        raise ConfigError("give --before or --after, not both")
    given = {"before": before, "after": after}
    return {name: listed.find(entry) for name, entry in given.items() if entry is not None}


def _route(channel: str, is_dry_run: bool, *more: str) -> str:
    return channel_route(channel, "playlist", *more) + ("?dry_run=true" if is_dry_run else "")


def _shown(channel: str, answer: dict[str, Any], as_json: bool) -> int:
    if as_json:
        write_json(answer)
    else:
        show_edit(channel, answer)
    return OK
