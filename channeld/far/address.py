"""Where a proxy is: `unix:/run/there.sock` or `tcp:host:9000`, with an IPv6 address in brackets. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path

_TCP = re.compile(r"tcp:(?:\[(?P<six>[0-9A-Fa-f:.%a-z]{2,60})\]|(?P<host>[A-Za-z0-9._-]{1,253})):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Port 0: any that is free, where one listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket, by its absolute path."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Raises ValueError with what is wrong."""
    if text.startswith("unix:/") and text.isprintable() and len(text) <= 4096:
        return UnixAddress(Path(text.removeprefix("unix:")))
    found = _TCP.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"{text[:100]!r} is no address. Write unix:/path/of.sock or tcp:host:9000")
    return TcpAddress(found["six"] or found["host"], int(found["port"]))
