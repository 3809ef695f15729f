"""Rows into a table, by a statement that both databases know: written twice is written once."""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def add_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Those whose key is not there yet."""
    connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def replace_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """All of them, in place of those with the same key."""
    insert = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=values), rows)


def _insert(connection: Connection, table: Table) -> Any:
    # Both dialects have the same clause, yet no common name for it.
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
