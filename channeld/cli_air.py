"""`channeld skip`, `play-next`, `start`, `stop`, `restart`: orders to one channel, and when they show on air.

Rule: what was so already is no failure: it is said, and ends with 0.
"""

from typing import Annotated, Any

import typer

from channeld.cli_client import channel_route, connect
from channeld.cli_complete import channel_names
from channeld.cli_render import console, plain
from channeld.cli_verb import OK, ConfigOption, JsonOption, TokenOption, UrlOption, verb_of, write_json

air = typer.Typer()
_verb = verb_of(air)
ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's id.", autocompletion=channel_names)]
_DONE = {
    "skip": "goes on with the next entry",
    "start": "goes on air",
    "stop": "goes off the air",
    "restart": "is taken off and put on air again",
    "play-next": "{path} airs next",
}


@_verb
def skip(
    channel: ChannelArgument, config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> int:
    """End what is on air at the next frame where that is possible, and go on with the next entry."""
    return _order("skip", channel, None, config, url, token, as_json)


@_verb
def play_next(
    channel: ChannelArgument,
    path: Annotated[str, typer.Argument(help="A media file, as a playlist of the channel would name it.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Air a clip once after the one that is on air; the list then goes on where it was."""
    return _order("play-next", channel, {"path": path}, config, url, token, as_json)


@_verb
def start(
    channel: ChannelArgument, config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> int:
    """Put a stopped channel on air."""
    return _order("start", channel, None, config, url, token, as_json)


@_verb
def stop(
    channel: ChannelArgument, config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> int:
    """Take a channel off the air."""
    return _order("stop", channel, None, config, url, token, as_json)


@_verb
def restart(
    channel: ChannelArgument, config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> int:
    """Take a channel off the air and put it on air again. For the daemon itself: `upgrade-restart`."""
    return _order("restart", channel, None, config, url, token, as_json)


def _order(action: str, channel: str, content: dict[str, Any] | None, config: Any, url: Any, token: Any, as_json: bool) -> int:
    answer = connect(config, url, token).post(channel_route(channel, action), content)
    if as_json:
        write_json(answer)
    elif not answer["changed"]:
        console().print(plain(f"{channel}: nothing to do, it is so already"))
    else:
        console().print(plain(f"{channel}: {_DONE[action].format_map(content or {})}{moment_of(answer.get('effective_at'))}"))
    return OK


def moment_of(at: str | None) -> str:
    """` at 10:00:52 UTC`; nothing while that is not known."""
    return "" if at is None else f" at {at[11:19]} UTC"
