"""The verb `attach-proxy`: channels for readers on the far side of a socket that is forwarded, in the foreground.

Rule: what would let strangers read is refused before anything listens. Of a configuration it takes the daemon's folder alone; it ends with
SIGTERM or Ctrl-C, and then tells its readers.
"""

import grp
from pathlib import Path
from signal import Signals
from typing import Annotated

import typer

from channeld.base.errors import ConfigError
from channeld.cli_verb import INTERRUPTED, OK, ConfigOption, verb_of

proxies = typer.Typer()
_verb = verb_of(proxies)


@_verb
def attach_proxy(
    listen: Annotated[str, typer.Option("--listen", help="unix:/path/of.sock or tcp:127.0.0.1:9000.")],
    config: ConfigOption = None,
    runtime_dir: Annotated[Path | None, typer.Option("--runtime-dir", help="The daemon's folder, in place of a configuration's.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="Serve only who has this key, too, and encrypt with it.")] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Speak TLS with this certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="The certificate's key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option("--tls-client-ca", help="Serve only who shows a certificate that this one signed.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="Who may connect to a Unix socket besides our own user and root.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Compress for those who ask for it.")] = False,
    max_readers: Annotated[int, typer.Option("--max-readers", min=1, max=1000, help="Of all channels at a time.")] = 64,
    max_per_address: Annotated[
        int, typer.Option("--max-per-address", min=1, max=1000, help="Connections of one address; loopback has no limit.")
    ] = 8,
) -> int:
    """Give channels to readers elsewhere, through a socket that is forwarded (see docs/attach-proxy.md). SIGTERM or Ctrl-C ends it."""
    from channeld.attach_proxy.rules import ProxyRules, TlsFiles, judge_openness, server_context
    from channeld.attach_proxy.run import serve
    from channeld.cli_cat import runtime_dir_of
    from channeld.far.address import UnixAddress, parse_address

    try:
        address = parse_address(listen)
    except ValueError as error:
        raise ConfigError(str(error), key="--listen") from error
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise ConfigError("--tls-cert and --tls-key go together, and --tls-client-ca wants both")
    if group is not None and not isinstance(address, UnixAddress):
        raise ConfigError("--group is for Unix sockets", key="--group")
    tls = TlsFiles(tls_cert, tls_key, tls_client_ca) if tls_cert is not None and tls_key is not None else None
    key = _key_of(key_file, compress=compress)
    judge_openness(address, tls=tls, has_key=key is not None)
    where = runtime_dir or runtime_dir_of(config)
    rules = ProxyRules(where, max_readers, max_per_address, server_context(tls) if tls is not None else None, key, compress)
    return INTERRUPTED if serve(address, rules, _gid_of(group)) is Signals.SIGINT else OK


def _key_of(path: Path | None, *, compress: bool) -> bytes | None:
    """The key, where there is one, and whether all that is asked for can be done. Raises ConfigError."""
    from channeld.far.compression import Squeezer
    from channeld.far.seal import Unusable, read_key, seals_of

    try:
        if compress:
            Squeezer()
        key = read_key(path) if path is not None else None
        if key is not None:
            seals_of(key, b"", b"")
    except Unusable as error:
        raise ConfigError(str(error)) from error
    return key


def _gid_of(group: str | None) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid if group is not None else None
    except KeyError as error:
        raise ConfigError(f"no group {group!r} on this machine", key="--group") from error
