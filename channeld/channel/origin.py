"""The embedded origin as this machine reaches it. Pure."""

from dataclasses import dataclass, field
from pathlib import Path

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""A wildcard is no address to connect to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`token` where viewers need one; `certificate` of a TLS listener."""

    url: str
    token: str | None = field(default=None, repr=False)
    certificate: Path | None = None


def origin_of(listen: str, port: int, token: str | None, tls: dict[str, str] | None) -> Origin:
    """What listens at `listen` (host:port), on the port that it was given."""
    host = listen.rpartition(":")[0]
    scheme = "https" if tls is not None else "http"
    return Origin(f"{scheme}://{_LOOPBACK.get(host, host)}:{port}", token, Path(tls["cert"]) if tls is not None else None)
