"""`channeld play`: a channel in mpv, VLC, ffplay, or another player of this machine.

Rule: it ends with its player, with the channel, at Ctrl-C, SIGTERM and SIGHUP, and leaves nothing behind; quiet unless something is
wrong or --verbose is given.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import ChannelError, ConfigError
from channeld.base.trust import own_certificate, trusting
from channeld.cli_cat import BUILT_IN
from channeld.cli_client import DaemonUnreachable, NotAllowed, Rejected, listener_url
from channeld.cli_render import show_note
from channeld.config import default_path, load_whereabouts
from channeld.config_values import Access, Whereabouts
from channeld.process.holder import Holder
from channeld.telemetry.log import configure as configure_log
from channeld.viewer.http_stream import HttpStream, MediaAddress
from channeld.viewer.named_pipe import NamedPipe
from channeld.viewer.named_pipe import default_path as default_pipe
from channeld.viewer.players import find_player
from channeld.viewer.session import Order, Session
from channeld.viewer.shared_memory import SharedMemory
from channeld.viewer.way import Via, Way, WayLost, Why
from channeld.viewer.ways import Chance, NoWay

_KINDS: dict[Why, type[ChannelError]] = {Why.ABSENT: DaemonUnreachable, Why.FORBIDDEN: NotAllowed}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of the verb."""

    channel: str
    player: str | None
    arguments: Sequence[str]
    via: Via | None
    config: Path | None
    runtime_dir: Path | None
    url: str | None
    token: str | None
    restart: bool
    reconnect: bool
    timeout_s: float
    verbose: bool


def play(wanted: Wanted) -> int:
    """View until the player or the channel ends; an exit code. Raises ChannelError, KeyboardInterrupt (also for SIGTERM and SIGHUP)."""
    configure_log("debug" if wanted.verbose else "warning", "console")
    if not wanted.channel or "/" in wanted.channel or wanted.channel.startswith("."):
        raise ConfigError(f"{wanted.channel!r} is no name of a channel")
    player = find_player(wanted.player, wanted.arguments)
    order = Order(wanted.channel, _chances(wanted), player, wanted.restart, wanted.reconnect, wanted.timeout_s)
    # Whoever asks us to end ends the player, too, in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    holder = Holder()
    try:
        session = Session(order, holder, lambda text: show_note(f"{wanted.channel}: {text}"))
        signal.signal(signal.SIGUSR1, lambda *_: session.ask_restart())
        return session.run()
    except NoWay as nothing:
        if nothing.why in (Why.UNKNOWN, Why.OFF_AIR):
            raise Rejected({"detail": str(nothing)}) from nothing
        raise _KINDS.get(nothing.why, ChannelError)(str(nothing)) from nothing
    finally:
        holder.close()


def _chances(wanted: Wanted) -> tuple[Chance, ...]:
    """The ways in the order in which they are tried."""
    where = _whereabouts(wanted)
    runtime_dir = wanted.runtime_dir or (where.runtime_dir if where is not None else BUILT_IN)
    pipe = default_pipe(runtime_dir, wanted.channel)
    if where is not None and wanted.runtime_dir is None:
        pipe = where.pipes.get(wanted.channel, pipe)

    def over_http() -> Way:
        return HttpStream(wanted.channel, _media_address(wanted, where), wanted.timeout_s)

    chances = (
        Chance(Via.SHM, lambda: SharedMemory(wanted.channel, runtime_dir)),
        Chance(Via.PIPE, lambda: NamedPipe(pipe)),
        Chance(Via.HTTP, over_http),
    )
    return tuple(chance for chance in chances if wanted.via in (None, chance.via))


def _whereabouts(wanted: Wanted) -> Whereabouts | None:
    """Where the daemon is, by its configuration; None where there is none, or nothing of it is wanted. Raises ConfigErrors."""
    try:
        path = wanted.config or default_path()
    except (ConfigError, OSError):  # none, or in a folder that is closed to us
        return None
    try:
        return load_whereabouts(path)
    except ChannelError:
        # Whoever may not read the daemon's configuration says where it is instead.
        if wanted.config is None and (wanted.runtime_dir is not None or wanted.url is not None):
            return None
        raise


def _media_address(wanted: Wanted, where: Whereabouts | None) -> MediaAddress:
    """The media listener as this machine reaches it. Raises WayLost."""
    if wanted.url is not None:
        return MediaAddress(wanted.url, None, wanted.token)
    if where is None:
        raise WayLost("no configuration says where the media listener is: pass --url http://host:port")
    media = where.media
    tls = None
    if media.tls is not None:
        try:
            tls = trusting([own_certificate(media.tls.cert)])
        except (OSError, ValueError) as error:
            raise WayLost(f"{media.tls.cert} cannot be used to know the daemon ({error}): pass --url", Why.FORBIDDEN) from error
    token = wanted.token or (_admin_token(where) if media.access is Access.TOKEN else None)
    return MediaAddress(listener_url(media.listen, is_tls=tls is not None), tls, token)


def _admin_token(where: Whereabouts) -> str | None:
    """The token that opens everything, for those who may read it."""
    try:
        return (where.state_dir / "admin.token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
