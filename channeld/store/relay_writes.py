"""What is written of relays without anybody waiting, and what people made into a database made anew.

Rule: a status of a relay that was removed meanwhile is nothing; an event of it is history.
"""

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import Connection, Table, func, select, text

from channeld.store.relay_records import Kept, RelayConfig, RelayEvent, RelayProfile, RelayProxy, RelayStatus
from channeld.store.rows import add_rows, replace_rows
from channeld.store.schema import channel_relay_configs, relay_events, relay_profiles, relay_proxies, relay_runtime_status

# In the order of their foreign keys.
_TABLES: tuple[tuple[type[Kept], Table], ...] = (
    (RelayProxy, relay_proxies),
    (RelayProfile, relay_profiles),
    (RelayConfig, channel_relay_configs),
)
_ASKED_AT_ONCE = 500


def write_statuses(connection: Connection, statuses: list[RelayStatus]) -> None:
    """The newest of each relay."""
    configs = channel_relay_configs.c.id
    for first in range(0, len(statuses), _ASKED_AT_ONCE):
        some = statuses[first : first + _ASKED_AT_ONCE]
        there = set(connection.scalars(select(configs).where(configs.in_([each.config_id for each in some]))))
        if rows := [asdict(each) for each in some if each.config_id in there]:
            replace_rows(connection, relay_runtime_status, rows)


def write_events(connection: Connection, events: Iterable[RelayEvent]) -> None:
    """Each once."""
    add_rows(connection, relay_events, [asdict(each) for each in events])


def write_kept(connection: Connection, kept: list[Kept]) -> None:
    """All, with the ids they had."""
    for kind, table in _TABLES:
        if rows := [asdict(each) for each in kept if isinstance(each, kind)]:
            replace_rows(connection, table, rows)
    if connection.dialect.name == "postgresql":
        for table in (relay_profiles, channel_relay_configs):
            sequence = func.pg_get_serial_sequence(table.name, "id")
            newest = select(func.max(table.c.id)).scalar_subquery()
            connection.execute(select(func.setval(sequence, func.coalesce(newest, 1), newest.is_not(text("NULL")))))
