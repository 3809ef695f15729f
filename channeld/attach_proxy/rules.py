"""What a proxy is told: where it listens, who may read, and what is done to the stream on its way.

Rule: secure unless said otherwise: whoever can reach an address of another machine must show a certificate or know the key.
"""

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import ConfigError
from channeld.far.address import Address, TcpAddress


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Of the proxy's own certificate; `client_ca`: who signs those of readers, which then must show one."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """`most_per_address`: connections of one address (a /64 of IPv6); loopback, as behind a forwarder, has no limit."""

    runtime_dir: Path
    max_readers: int = 64
    most_per_address: int = 8
    tls: ssl.SSLContext | None = None
    key: bytes | None = None
    compresses: bool = False


def judge_openness(address: Address, *, tls: TlsFiles | None, has_key: bool) -> None:
    """Raises ConfigError where strangers could read."""
    if not isinstance(address, TcpAddress) or has_key or (tls is not None and tls.client_ca is not None):
        return
    open_to = [where for where in _hosts_of(address) if not ipaddress.ip_address(where.partition("%")[0]).is_loopback]
    if open_to:
        advice = "Give --key-file, or --tls-cert, --tls-key and --tls-client-ca, or listen on 127.0.0.1"
        raise ConfigError(f"{address} can be reached by others, and anybody could read there. {advice}", key="--listen")


def _hosts_of(address: TcpAddress) -> list[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"{address}: {error.strerror}", key="--listen") from error
    return [str(where[0]) for _, _, _, _, where in found]


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password, even a wrong one, or OpenSSL would ask for it on the terminal.
        context.load_cert_chain(files.cert, files.key, password=lambda: b"-")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{files.cert} and {files.key} cannot be used: {error}", key="--tls-cert") from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{files.client_ca} cannot be used: {error}", key="--tls-client-ca") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
