"""The verb `play` and its options.

Rule: what it does is in `cli_play`, imported when it is called: the Tab key and other verbs do not wait for it.
"""

from pathlib import Path
from typing import Annotated

import typer

from channeld.cli_complete import channel_names
from channeld.cli_verb import ConfigOption, verb_of
from channeld.viewer.way import Via

view = typer.Typer()
_verb = verb_of(view)


@_verb
def play(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", autocompletion=channel_names)],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- PLAYER ARGS]", help="Further arguments of the player.")] = None,
    player: Annotated[
        str | None, typer.Option("--player", help="mpv, vlc, ffplay or a path. Default: the first of them that is installed.")
    ] = None,
    via: Annotated[
        Via | None, typer.Option("--via", help="Shared memory, a named pipe, or HTTP. Default: the first of them that works.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start the player again whenever it ends, until Ctrl-C.")] = False,
    reconnect: Annotated[bool, typer.Option("--reconnect", help="Wait for a channel that is off the air, and go on after it.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell what transport, feeder and player do, on stderr.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=86_400, help="Seconds without a byte after which a way, or all, fails.")
    ] = 10.0,
    config: ConfigOption = None,
    runtime_dir: Annotated[Path | None, typer.Option("--runtime-dir", help="The daemon's folder, in place of a configuration's.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Media listener, for HTTP. Default: media.listen of the configuration.")] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="CHANNELD_TOKEN", help="For HTTP where media.access is token. Default: admin.token.")
    ] = None,
) -> int:
    """Watch a channel in mpv, VLC, ffplay or another player. It ends with the player, the channel, or Ctrl-C."""
    from channeld import cli_play

    return cli_play.play(
        cli_play.Wanted(channel, player, arguments or [], via, config, runtime_dir, url, token, restart, reconnect, timeout, verbose)
    )
