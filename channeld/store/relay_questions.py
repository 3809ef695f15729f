"""What may be asked of the relay tables. Each function answers one question on the connection it is given.

Rule: an id that no row can have is one that no row has: it never reaches the database.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, func, select

from channeld.store.relay_errors import UnknownRecord
from channeld.store.relay_records import Kept, ProxyChannel, RelayConfig, RelayEvent, RelayProfile, RelayProxy, RelayStatus
from channeld.store.schema import (
    channel_relay_configs,
    relay_events,
    relay_profiles,
    relay_proxies,
    relay_proxy_channels,
    relay_runtime_status,
)

SLUG = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
"""An id of a proxy or of one of its channels."""

_MOST_ID = 2**63


@dataclass(frozen=True, slots=True)
class ChannelFilter:
    """Which channels of a proxy; None: whatever. `after`: behind that position; `search`: part of a title, whatever its case."""

    after: int | None = None
    group: str | None = None
    search: str | None = None


def profiles(connection: Connection) -> list[RelayProfile]:
    """System defaults first, then by name."""
    columns = relay_profiles.c
    question = select(relay_profiles).order_by(columns.is_system_default.desc(), columns.name)
    return [RelayProfile(**row) for row in connection.execute(question).mappings()]


def profile(connection: Connection, profile_id: int) -> RelayProfile:
    """Raises UnknownRecord."""
    return RelayProfile(**_by_number(connection, relay_profiles, profile_id, "profile"))


def proxies(connection: Connection) -> list[RelayProxy]:
    """By name."""
    return [RelayProxy(**row) for row in connection.execute(select(relay_proxies).order_by(relay_proxies.c.name)).mappings()]


def proxy(connection: Connection, proxy_id: str) -> RelayProxy:
    """Raises UnknownRecord."""
    question = select(relay_proxies).where(relay_proxies.c.id == proxy_id)
    return RelayProxy(**_one(connection, question if SLUG.fullmatch(proxy_id) else None, f"no proxy {proxy_id[:64]!r}"))


def configs(connection: Connection, proxy_id: str | None = None) -> list[RelayConfig]:
    """Of one proxy, or all, by id."""
    question = select(channel_relay_configs).order_by(channel_relay_configs.c.id)
    if proxy_id is not None:
        if not SLUG.fullmatch(proxy_id):
            return []
        question = question.where(channel_relay_configs.c.proxy_id == proxy_id)
    return [RelayConfig(**row) for row in connection.execute(question).mappings()]


def config(connection: Connection, config_id: int) -> RelayConfig:
    """Raises UnknownRecord."""
    return RelayConfig(**_by_number(connection, channel_relay_configs, config_id, "relay"))


def config_of(connection: Connection, proxy_id: str, channel_id: str) -> RelayConfig | None:
    """The relay of a channel, if there is one."""
    if not (SLUG.fullmatch(proxy_id) and SLUG.fullmatch(channel_id)):
        return None
    columns = channel_relay_configs.c
    question = select(channel_relay_configs).where(columns.proxy_id == proxy_id, columns.channel_id == channel_id)
    row = connection.execute(question).mappings().first()
    return None if row is None else RelayConfig(**row)


def channels(connection: Connection, proxy_id: str, wanted: ChannelFilter, limit: int | None) -> list[ProxyChannel]:
    """In the list's order. Raises UnknownRecord: no such proxy."""
    proxy(connection, proxy_id)
    columns = relay_proxy_channels.c
    question = select(relay_proxy_channels).where(columns.proxy_id == proxy_id).order_by(columns.position, columns.channel_id).limit(limit)
    if wanted.after is not None:
        question = question.where(columns.position > min(max(wanted.after, -1), 2**31 - 1))
    if wanted.group is not None:
        question = question.where(columns.group == wanted.group)
    if wanted.search is not None:
        plain = wanted.search.encode("utf-8", "replace").decode().replace("\0", "").lower()
        question = question.where(func.lower(columns.title).contains(plain, autoescape=True))
    return list(_channels(connection, question))


def channel(connection: Connection, proxy_id: str, channel_id: str) -> ProxyChannel:
    """Raises UnknownRecord."""
    proxy(connection, proxy_id)
    columns = relay_proxy_channels.c
    question = select(relay_proxy_channels).where(columns.proxy_id == proxy_id, columns.channel_id == channel_id)
    told = f"no channel {channel_id[:64]!r} in the list of {proxy_id}"
    return _channel(_one(connection, question if SLUG.fullmatch(channel_id) else None, told))


def groups(connection: Connection, proxy_id: str) -> list[tuple[str | None, int]]:
    """Groups of a proxy's channels, and how many are in each. Raises UnknownRecord."""
    proxy(connection, proxy_id)
    columns = relay_proxy_channels.c
    question = select(columns.group, func.count()).where(columns.proxy_id == proxy_id).group_by(columns.group)
    return sorted(((group, int(count)) for group, count in connection.execute(question)), key=lambda each: (each[0] is None, each[0] or ""))


def statuses(connection: Connection) -> dict[int, RelayStatus]:
    """What was written last, by relay."""
    return {row["config_id"]: RelayStatus(**row) for row in connection.execute(select(relay_runtime_status)).mappings()}


def events(connection: Connection, config_id: int | None, before: int | None, limit: int) -> list[RelayEvent]:
    """Newest first; `before`: with a smaller id only, to page on."""
    question = select(relay_events).order_by(relay_events.c.id.desc()).limit(limit)
    if config_id is not None:
        question = question.where(relay_events.c.config_id == min(max(config_id, 0), _MOST_ID - 1))
    if before is not None:
        question = question.where(relay_events.c.id < min(max(before, 0), _MOST_ID - 1))
    return [RelayEvent(**row) for row in connection.execute(question).mappings()]


def newest_event_id(connection: Connection) -> int:
    """0 where there is none."""
    return connection.execute(select(func.max(relay_events.c.id))).scalar() or 0


def everything_kept(connection: Connection) -> list[Kept]:
    """What people made."""
    return [*proxies(connection), *profiles(connection), *configs(connection)]


def _by_number(connection: Connection, table: Table, number: int, kind: str) -> RowMapping:
    question = select(table).where(table.c.id == number)
    return _one(connection, question if 0 < number < _MOST_ID else None, f"no {kind} {str(number)[:20]}")


def _one(connection: Connection, question: Select[Any] | None, told: str) -> RowMapping:
    row = connection.execute(question).mappings().first() if question is not None else None
    if row is None:
        raise UnknownRecord("id", told)
    return row


def _channels(connection: Connection, question: Select[Any]) -> Iterator[ProxyChannel]:
    return (_channel(row) for row in connection.execute(question).mappings())


def _channel(row: RowMapping) -> ProxyChannel:
    values = dict(row)
    return ProxyChannel(**{**values, "options": tuple(values["options"])})
