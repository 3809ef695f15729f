"""`channeld cat`: a channel's stream on stdout, read from the daemon's memory, or from a proxy elsewhere.

Rule: stdout has the stream and nothing else. It ends with its reader, at Ctrl-C, and with the channel; what was lost on the way is told
on stderr.
"""

import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channeld.base.errors import ChannelError, ConfigError
from channeld.cli_client import DaemonUnreachable, NotAllowed, Rejected
from channeld.cli_complete import channel_names
from channeld.cli_render import show_note
from channeld.cli_verb import OK, ConfigOption, verb_of
from channeld.config import default_path, load_whereabouts

if TYPE_CHECKING:  # verbs that ask a daemon start without it
    import ssl

    from channeld.client import AttachError
    from channeld.client.reading import Reading

BUILT_IN = Path("/run/channeld")
LOOK_S = 1.0
"""How often it is looked whether anybody reads stdout, while nothing comes."""

cats = typer.Typer()
_verb = verb_of(cats)


def runtime_dir_of(config: Path | None) -> Path:
    """Where the daemon of a configuration has its sockets; where there is no configuration, the built-in folder. Raises ConfigErrors."""
    try:
        path = config or default_path()
    except ConfigError:
        return BUILT_IN
    return load_whereabouts(path).runtime_dir


def _context(ca: Path | None, cert: Path | None, key: Path | None) -> "ssl.SSLContext":
    """What a far reader trusts, and what it shows. Raises ConfigError."""
    import ssl

    if cert is None and key is not None:
        raise ConfigError("--tls-key goes with --tls-cert", key="--tls-key")
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            # A password, even a wrong one, or OpenSSL would ask for it on the terminal.
            context.load_cert_chain(cert, key, password=lambda: b"-")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the certificates cannot be used: {error}", key="--tls-ca") from error
    return context


@_verb
def cat(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", autocompletion=channel_names)],
    config: ConfigOption = None,
    runtime_dir: Annotated[Path | None, typer.Option("--runtime-dir", help="The daemon's folder, in place of a configuration's.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Begin with what comes next, not at the newest random access point.")] = False,
    reconnect: Annotated[bool, typer.Option("--reconnect", help="Wait for a channel that is off the air, and go on after it.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=86_400, help="Seconds without a byte after which it fails. None with --reconnect.")
    ] = 10.0,
    via: Annotated[str | None, typer.Option("--from", help="A proxy elsewhere (attach-proxy): tcp:host:9000 or unix:/path.sock.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="With --from: the proxy's key; encrypts.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="With --from: compress on the way.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="With --from: TLS, with a certificate that this machine trusts.")] = False,
    tls_ca: Annotated[Path | None, typer.Option("--tls-ca", help="With --from: TLS, and who signs the proxy's certificate.")] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="With --from: the certificate to show to the proxy.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="That certificate's key.")] = None,
    tls_name: Annotated[str | None, typer.Option("--tls-name", help="The name in the proxy's certificate. Default: the host.")] = None,
) -> int:
    """Write a channel's stream to stdout, read from the daemon's memory. It ends with its reader, the channel, or Ctrl-C."""
    from channeld.client import Start, Stream

    start, timeout_s = Start.LIVE if live else Start.RANDOM_ACCESS, None if reconnect else timeout
    if via is None:
        if key_file or compress or tls or tls_ca or tls_cert or tls_key or tls_name:
            raise ConfigError("--key-file, --compress and --tls… go with --from", key="--from")
        here = runtime_dir or runtime_dir_of(config)
        write_stream(channel, lambda: Stream(channel, here, start, reconnect=reconnect, timeout=timeout_s), timeout_s)
        return OK
    from channeld.client.far import FarStream, Way, far_stream

    context = _context(tls_ca, tls_cert, tls_key) if tls or tls_ca or tls_cert or tls_key or tls_name else None

    def opened() -> FarStream:
        way = Way(key_file, compress, context, tls_name)
        return far_stream(channel, via, way, start=start, reconnect=reconnect, timeout=timeout_s)

    write_stream(channel, opened, timeout_s)
    return OK


def write_stream(channel: str, opened: "Callable[[], Reading]", timeout_s: float | None) -> None:
    """Until the channel goes off the air, or nobody reads stdout any more; who reconnects waits for ever. Raises ChannelError."""
    from channeld.client import AttachError, Closed, Overrun

    if sys.stdout is None:
        raise ConfigError("there is no stdout to write the stream to: it is closed")
    out, has_begun = sys.stdout.fileno(), False
    try:
        with opened() as stream:
            while True:
                try:
                    chunk = _next(stream, out, timeout_s)
                except Overrun as overrun:
                    show_note(f"{channel}: {overrun}")
                    continue
                except Closed as closed:
                    if not has_begun:
                        raise
                    show_note(str(closed))
                    return
                has_begun = True
                _write_all(out, chunk)
    except BrokenPipeError:
        return
    except AttachError as error:
        raise _told(error) from error


def _next(stream: "Reading", out: int, timeout_s: float | None) -> bytes:
    """The next chunk. Raises BrokenPipeError also when the reader of stdout goes while nothing comes, and as the stream does."""
    from channeld.client import TimedOut

    until_s = None if timeout_s is None else time.monotonic() + timeout_s
    poller = select.poll()
    poller.register(out, 0)
    while True:
        left_s = LOOK_S if until_s is None else max(0.0, min(LOOK_S, until_s - time.monotonic()))
        stream.timeout = left_s
        try:
            return next(stream)
        except TimedOut as timed_out:
            if timeout_s is not None and left_s < LOOK_S:
                raise TimedOut(f"nothing came of {stream.channel} for {timeout_s:g} s: {timed_out.why}") from timed_out
        if poller.poll(0):
            raise BrokenPipeError


def _told(error: "AttachError") -> ChannelError:
    """The error of the command line that has the right exit code."""
    from channeld.client import Closed, NotPermitted, OffAir, UnknownChannel

    if isinstance(error, UnknownChannel | OffAir):
        return Rejected({"detail": str(error)})
    if isinstance(error, Closed):
        return DaemonUnreachable(str(error))
    return NotAllowed(str(error)) if isinstance(error, NotPermitted) else ChannelError(str(error))


def _write_all(out: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        try:
            left = left[os.write(out, left) :]
        except BlockingIOError:  # whoever made it has it so
            select.select((), (out,), ())
