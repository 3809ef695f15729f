"""The command `channeld`: its verbs and their options.

Rule: verbs read options and call others; what they end with, and how they tell a failure, is said in `cli_verb`. What only one verb
needs is imported there: a verb that asks a daemon starts in a third of a second, and the Tab key does not wait.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from channeld import __version__
from channeld.base.errors import ConfigError, MediaError, ProbeError
from channeld.cli_air import air
from channeld.cli_as_run import Wanted, show_lines, show_totals
from channeld.cli_attach_proxy import proxies
from channeld.cli_cat import cats
from channeld.cli_client import connect
from channeld.cli_complete import channel_names, kind_names
from channeld.cli_events import WantedEvents, show_following, show_recent
from channeld.cli_playlist import playlists
from channeld.cli_relay import relays
from channeld.cli_reload import reload_configuration, show_reload
from channeld.cli_render import console, plain, show_check, show_note, show_probe
from channeld.cli_status import show_status, watch_status
from channeld.cli_token import tokens
from channeld.cli_upgrade import upgrade
from channeld.cli_verb import BAD_INPUT, FAILED, OK, ConfigOption, JsonOption, TokenOption, UrlOption, verb_of, write_json
from channeld.cli_view import view
from channeld.config import default_path, load

app = typer.Typer(
    help="Playlist files become television that never stops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"channeld {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Playlist files become television that never stops."""


_verb = verb_of(app)
app.add_typer(air)
app.add_typer(relays)
app.add_typer(cats)
app.add_typer(proxies)
app.add_typer(view)
app.add_typer(playlists, name="playlist")
app.add_typer(tokens, name="token")


@_verb
def run(config: ConfigOption = None) -> int:
    """Put every channel on air, and stay. Ctrl-C or SIGTERM ends it."""
    from channeld.daemon import run as run_daemon

    return run_daemon(config or default_path())


@_verb
def hold(
    config: ConfigOption = None,
    runtime_dir: Annotated[Path | None, typer.Option("--runtime-dir", help="Its folder, in place of a configuration's.")] = None,
    linger: Annotated[float | None, typer.Option("--linger", help="Seconds without a daemon after which it ends. Default: never.")] = None,
) -> int:
    """Hold what airs while the daemon may come and go: for a service manager. SIGTERM ends it with all that it holds."""
    from channeld.cli_hold import hold as hold_in_foreground

    return hold_in_foreground(config, runtime_dir, linger)


@_verb
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the demo; made when missing.")] = Path("channeld-demo"),
    no_nginx: Annotated[bool, typer.Option("--no-nginx", help="Do without nginx and RTMP: channeld's own HLS output only.")] = False,
    media: Annotated[Path | None, typer.Option("--media", help="Air the videos of this folder instead (they are copied).")] = None,
) -> int:
    """Put a demo channel of real clips on air, with an nginx of its own where there is one. Ctrl-C ends it."""
    from channeld.cli_demo import Announcer, can_run_nginx, choose_ports, lay_out, start_nginx
    from channeld.daemon import run as run_daemon
    from channeld.process.holder import Holder
    from channeld.telemetry.log import configure as configure_log

    configure_log("warning")
    folder, ports = folder.absolute(), choose_ports()
    with_nginx = not no_nginx and can_run_nginx()
    path = lay_out(folder, media, ports, with_nginx=with_nginx)
    holder = Holder()
    try:
        if with_nginx:
            start_nginx(holder, folder / "nginx", ports)
        show_note("Preparing the first clips; this takes some seconds the first time.")
        Announcer(folder, ports, with_nginx=with_nginx, say=show_note).start()
        return run_daemon(path)
    finally:
        holder.close()


@_verb
def check(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="With --as-service: look as this user. Default: the unit's.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    as_service: Annotated[
        bool, typer.Option("--as-service", help="Also look with the eyes of the service's user, behind its sandbox. Needs root.")
    ] = False,
) -> int:
    """Check the configuration and all that it names: playlists, filler, folders, FFmpeg, push targets."""
    from channeld.check import check as check_configuration
    from channeld.check_service import check_as_service
    from channeld.check_stock import measure_once

    if as_service:
        report = check_as_service(config or default_path(), user, measure_once())
    elif user is not None:
        raise ConfigError(f"{user}: a user is looked through with --as-service only; a configuration is named with --config")
    else:
        report = check_configuration(config or default_path(), measure=measure_once())
    if as_json:
        write_json(report.to_json())
    else:
        show_check(report)
    return BAD_INPUT if report.input_errors else FAILED if report.machine_errors else OK


@_verb
def status(
    channels: Annotated[
        list[str] | None, typer.Argument(metavar="[CHANNEL]...", help="Channels; default: all.", autocompletion=channel_names)
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and follow what happens, until Ctrl-C.")] = False,
) -> int:
    """Show what each channel airs now and next, its outputs, how much is prepared, and what is wrong."""
    (watch_status if watch else show_status)(connect(config, url, token), channels or [], as_json=as_json)
    return OK


@_verb
def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and write each event as it happens, until Ctrl-C.")] = False,
    channel: Annotated[
        str | None, typer.Option("--channel", help="Only of these channels, with commas between.", autocompletion=channel_names)
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only of these kinds, with commas between.", autocompletion=kind_names)] = None,
    after: Annotated[int | None, typer.Option("--after", min=0, metavar="ID", help="Only behind the event with this id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=2_000, help="Without --follow: so many, the newest.")] = 100,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the newest events, or follow them; a lost daemon is waited for, and nothing it keeps is missed. --json: one a line."""
    client, wanted = connect(config, url, token), WantedEvents(channel, kind, after)
    if follow:
        show_following(client, wanted, as_json=as_json)
    else:
        show_recent(client, wanted, limit, as_json=as_json)
    return OK


@_verb
def upgrade_restart(
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    hosts: Annotated[bool, typer.Option("--hosts", help="replace the playout hosts, too, though their code is the same")] = False,
    as_json: JsonOption = False,
) -> int:
    """Go over to the code that is installed now, without a gap on air: another control, and other hosts where theirs changed."""
    status = upgrade(connect(config, url, token), hosts=hosts)
    if as_json:
        write_json(status)
    else:
        console().print(plain(f"channeld {status['version']} is in control since {status['since']}; the channels stayed on air"))
    return OK


@_verb
def reload(config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> int:
    """Have the daemon take its configuration anew. A faulty one changes nothing; what is not touched stays on air."""
    answer = reload_configuration(connect(config, url, token))
    if as_json:
        write_json(answer)
    else:
        show_reload(answer)
    return OK


@_verb
def as_run(
    channel: Annotated[str | None, typer.Option("--channel", help="One channel only.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Began at or after this moment, ISO 8601; UTC if no zone is given.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Began before this moment.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="As in the playlist, or its last parts.")] = None,
    outcome: Annotated[str, typer.Option("--outcome", help="aired, any, or outcomes with commas between.")] = "any",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Lines. Default: 100 as a table, else all.")] = None,
    totals: Annotated[bool, typer.Option("--totals", help="How often and how long each clip aired.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what aired: planned and actual start, frames, how it ended, and why an entry did not get its turn."""
    client, wanted = connect(config, url, token), Wanted(channel, since, to, path, outcome)
    if totals:
        show_totals(client, replace(wanted, outcome="aired" if outcome == "any" else outcome), as_csv=as_csv, as_json=as_json)
    else:
        show_lines(client, wanted, limit=limit, as_csv=as_csv, as_json=as_json)
    return OK


@_verb
def prepare(
    channels: Annotated[list[str] | None, typer.Argument(metavar="[CHANNEL]...", help="Channels; default: all.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Prepare every clip of the channels' playlists now, into the cache, without going on air."""
    from channeld.cli_prepare import Preparation, wanted_clips, writing

    loaded = load(config or default_path())
    chosen = [loaded.channel(channel_id) for channel_id in channels or loaded.channels]
    clips = wanted_clips(loaded, chosen)
    with writing(loaded.folders.state / "cache"):
        preparation = Preparation(loaded, quiet=as_json)
        preparation.make_fillers(loaded, chosen)
        outcome = preparation.run(clips)
    if as_json:
        write_json(outcome.to_json())
    else:
        console().print(f"{outcome.ready} of {len(clips)} clips are ready")
    if outcome.left and not as_json:
        console().print(f"the cache is full: {outcome.left} clips are left. Raise prepare.cache_max_bytes")
    return FAILED if outcome.failures or outcome.left else OK


@_verb
def probe(
    file: Annotated[Path, typer.Argument(help="Media file.")],
    audio_language: Annotated[
        str | None, typer.Option("--audio-language", help="Prefer this audio track. Default: that of the default profile, with --config.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a file's tracks: which would air, and which are dropped."""
    from channeld.media.facts import choose_audio
    from channeld.media.probe import probe as probe_media

    try:
        facts = probe_media(file.absolute())
    except MediaError as error:
        raise ProbeError(f"{file}: {error}. On air it would be skipped") from error
    if audio_language is None and config is not None:
        loaded = load(config)
        audio_language = loaded.profile(loaded.default_profile).audio_language
    chosen = choose_audio(facts, audio_language)
    if as_json:
        write_json(facts.to_json() | {"dropped_tracks": list(facts.dropped_tracks(chosen))})
    else:
        show_probe(str(file), facts, chosen)
    return OK


@_verb
def soak(
    hours: Annotated[float, typer.Option("--hours", min=0.001, max=100_000.0, help="Hours of stream on each channel.")] = 72.0,
    speed: Annotated[str, typer.Option("--speed", help="max, or so many times real time.")] = "max",
    seed: Annotated[int, typer.Option("--seed", help="The same seed is the same story.")] = 1,
    channels: Annotated[int, typer.Option("--channels", min=1, max=100, help="How many channels.")] = 3,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to work; default: in memory where there is /dev/shm.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Air days in minutes on a fake clock, with edits, deaths and broken disks, and judge every packet. Needs no configuration."""
    from channeld import cli_soak
    from channeld.telemetry.log import configure as configure_log

    configure_log("error")
    report = cli_soak.run(cli_soak.Wanted(hours, speed, seed, channels, folder))
    if as_json:
        write_json(report.to_json())
    else:
        cli_soak.show_report(report)
    return OK if report.is_good else FAILED


@_verb
def mock_source(
    protocol: Annotated[str, typer.Option("--protocol", help="ts (over HTTP), hls, rtmp, rtsp, srt or udp.")],
    listen: Annotated[
        str, typer.Option("--listen", help="Where it listens; with udp, where it sends. Port 0: any free one.")
    ] = "127.0.0.1:0",
    push: Annotated[str | None, typer.Option("--push", help="With rtmp and srt: send to this address instead of listening.")] = None,
    size: Annotated[str, typer.Option("--size", help="Width x height.")] = "640x360",
    fps: Annotated[str, typer.Option("--fps", help="Frames a second, such as 25 or 30000/1001.")] = "25",
    vcodec: Annotated[str, typer.Option("--vcodec", help="h264, hevc or mpeg2video.")] = "h264",
    acodec: Annotated[str, typer.Option("--acodec", help="aac, mp2, none; with rtsp also pcm_mulaw.")] = "aac",
    bitrate: Annotated[str, typer.Option("--bitrate", help="Of the video; h264 is filled up to it.")] = "1M",
    gop_seconds: Annotated[float, typer.Option("--gop-seconds", help="From key frame to key frame.")] = 2.0,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="at=20s,kind=stop,for=5s; any number. See docs/mock-source.md.")
    ] = None,
    commands: Annotated[bool, typer.Option("--commands", help="Also take faults from stdin, one a line: kind=stop,for=5s or end.")] = False,
    user: Annotated[str | None, typer.Option("--user", help="With ts, hls and rtsp: who may see it.")] = None,
    password: Annotated[str | None, typer.Option("--password", envvar="CHANNELD_MOCK_PASSWORD", help="The user's password.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="With rtsp: ask for digest instead of basic authentication.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="The same seed is the same accidents.")] = 1,
) -> int:
    """Serve a test picture with a running clock as a live source, with faults on a schedule. Ctrl-C ends it."""
    from channeld import cli_mock

    chosen = (protocol, listen, push, size, fps, vcodec, acodec, bitrate, gop_seconds, tuple(fault or ()), commands)
    cli_mock.run(cli_mock.Written(*chosen, user, password, digest, seed))
    return OK


@verb_of(app, "load")
def put_load(
    url: Annotated[str, typer.Argument(metavar="URL", help="An endless MPEG-TS over HTTP, such as http://127.0.0.1:8090/ts/live1.")],
    clients: Annotated[int, typer.Option("--clients", min=1, max=20_000, help="How many viewers.")] = 10,
    slow: Annotated[int, typer.Option("--slow", min=0, help="So many of them take a tenth of what the others do.")] = 0,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, max=1_000_000, help="For how long.")] = 10.0,
    stall: Annotated[float, typer.Option("--stall", min=0.1, max=3600, help="Seconds without a byte that count as a stall.")] = 1.0,
    as_json: JsonOption = False,
) -> int:
    """Be many viewers of a stream, and tell what they got: bytes, continuity errors, stalls, time to the first byte."""
    from channeld import cli_load
    from channeld.load.run import LoadOrder

    report = cli_load.load(LoadOrder(url, clients, slow, seconds, stall_s=stall), quiet=as_json)
    if as_json:
        write_json(report.to_json())
    else:
        cli_load.show_report(url, report)
    return OK if report.is_good else FAILED


def main() -> None:
    """Entry point of the installed command; ends the process."""
    app(prog_name="channeld")
