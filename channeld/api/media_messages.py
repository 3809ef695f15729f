"""What control tells a media worker, read once from plain values into types.

Rule: a message that lacks something or names a wrong type raises ValueError that says what; nothing behind this doubts its
values again. Sans-I/O.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from channeld.base.tls import TlsSpec
from channeld.outputs.hls import Numbering
from channeld.outputs.hls_manifest import MAX_SEGMENTS
from channeld.outputs.hls_store import CHANNEL_ID, PACKAGINGS, PackagingType
from channeld.outputs.http_ts import Limits


@dataclass(frozen=True, slots=True)
class Configuration:
    """How to listen and where the files are. `token` None: open to all."""

    host: str
    port: int
    reuse_port: bool
    hls_dir: Path
    hls_max_bytes: int | None
    token: str | None
    tls: TlsSpec | None
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)
    geoip: Path | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Control asks for the channel's clients, `most` of them."""

    request: int
    channel: str
    most: int


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The channel is packaged so no more: its files go after so many seconds."""

    channel: str
    type: PackagingType
    keep_s: float


@dataclass(frozen=True, slots=True)
class PackagingOrder:
    """The channel's HLS or DASH output: longest segment in seconds, segments in the manifest."""

    name: str
    segment_seconds: Fraction
    window: int
    type: PackagingType = "hls"
    after: Numbering | None = field(default=None, compare=False)
    """For a folder that lost its manifest."""


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """A channel's ring and which outputs read it: at most one of each type. `ts` is the name of its HTTP-TS output, None without one."""

    channel: str
    ring_id: int
    packaged: tuple[PackagingOrder, ...]
    ts: str | None

    @property
    def packagings(self) -> set[PackagingType]:
        """The ways in which it is packaged."""
        return {order.type for order in self.packaged}


def read_configuration(values: dict[str, Any]) -> Configuration:
    """Read `configure`. Raises ValueError."""
    host, _, port = _of(values, "listen", str).rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"listen is not host:port: {values['listen']!r}")
    access = _of(values, "access", str)
    if access not in ("open", "token"):
        raise ValueError(f"access is not open or token: {access!r}")
    tls = values.get("tls")
    cap = values.get("hls_max_bytes")
    return Configuration(
        host=host.strip("[]"),
        port=int(port),
        reuse_port=bool(values.get("reuse_port", False)),
        hls_dir=Path(_of(values, "hls_dir", str)),
        hls_max_bytes=None if cap is None else _of(values, "hls_max_bytes", int),
        token=_of(values, "token", str) if access == "token" else None,
        tls=None if tls is None else TlsSpec(Path(_of(tls, "cert", str)), Path(_of(tls, "key", str))),
        log_level=str(values.get("log_level", "info")),
        limits=_read_limits(values.get("limits") or {}),
        geoip=None if values.get("geoip") is None else Path(_of(values, "geoip", str)),
    )


def _read_limits(values: dict[str, Any]) -> Limits:
    """What is left out has its default."""
    limits = Limits(**{name: values[name] for name in ("per_channel", "per_address", "stale_s") if name in values})
    counts = [each for each in (limits.per_channel, limits.per_address) if each is not None]
    if not all(isinstance(each, int) and each > 0 for each in counts) or not isinstance(limits.stale_s, int | float) or limits.stale_s <= 0:
        raise ValueError(f"limits are no numbers of clients, or no seconds: {values!r}")
    return limits


def read_listing(values: dict[str, Any]) -> Listing:
    """Read `clients`. Raises ValueError."""
    return Listing(_of(values, "request", int), _of(values, "channel", str), max(0, _of(values, "most", int)))


def read_keys(values: dict[str, Any]) -> dict[str, float | None]:
    """Read `viewers`: when each key ends (seconds since 1970, None: never) by its digest. Raises ValueError."""
    keys: dict[str, float | None] = {}
    for row in _of(values, "keys", list):
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str) or not isinstance(row[1], int | float | None):
            raise ValueError("a key is not a digest and a moment")
        keys[row[0]] = row[1]
    return keys


def read_cleaning(values: dict[str, Any]) -> Cleaning:
    """Read `clean`. Raises ValueError."""
    channel, keep_s = _of(values, "channel", str), values.get("keep_s")
    if CHANNEL_ID.fullmatch(channel) is None or not isinstance(keep_s, int | float) or not 0 <= keep_s <= 1e6:
        raise ValueError(f"not a channel to clean, or not seconds: {channel!r}, {keep_s!r}")
    return Cleaning(channel, _packaging(values), float(keep_s))


def read_channel(values: dict[str, Any]) -> ChannelOrder:
    """Read `channel`. Raises ValueError."""
    channel = _of(values, "channel", str)
    if CHANNEL_ID.fullmatch(channel) is None:
        raise ValueError(f"not a channel id: {channel!r}")
    packaged: list[PackagingOrder] = []
    ts: str | None = None
    taken: set[str] = set()
    for output in _of(values, "outputs", list):
        name, kind = _of(output, "name", str), _of(output, "type", str)
        if kind in taken:
            raise ValueError(f"output {name} of type {kind!r}: a media worker has one of each type per channel")
        taken.add(kind)
        if kind == "ts":
            ts = name
        else:
            packaged.append(_read_packaging(name, output))
    return ChannelOrder(channel, _of(values, "ring_id", int), tuple(packaged), ts)


def _packaging(values: dict[str, Any]) -> PackagingType:
    found = next((known for known in PACKAGINGS if known == values.get("type")), None)
    if found is None:
        raise ValueError(f"not a way of packaging: {values.get('type')!r}")
    return found


def _read_packaging(name: str, output: dict[str, Any]) -> PackagingOrder:
    kind = _packaging(output)
    seconds = Fraction(str(output.get("segment_seconds")))
    window = _of(output, "window", int)
    if not 0 < seconds <= 60 or not 1 <= window <= MAX_SEGMENTS:
        raise ValueError(f"output {name}: segment_seconds {seconds} or window {window} out of range")
    after = output.get("after")
    numbers = None if after is None else Numbering(_of(after, "media_sequence", int), _of(after, "discontinuity_sequence", int))
    return PackagingOrder(name, seconds, window, kind, numbers)


def _of(values: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = values.get(key) if isinstance(values, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{key} is missing or not {kind.__name__}")
    return value
