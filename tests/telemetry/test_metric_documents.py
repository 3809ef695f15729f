"""docs/metrics.md has a row for each metric of the table and no other."""

from metric_pages import documented

from channeld.telemetry.metric_table import METRICS


def test_the_document_and_the_table_agree() -> None:
    table = {f"{spec.name}_total" if spec.kind == "counter" else spec.name: spec for spec in METRICS}
    rows = {name: row for name, row in documented().items() if not name.startswith("process_")}
    assert sorted(rows) == sorted(table)
    assert {name: (row.kind, row.labels) for name, row in rows.items()} == {
        name: (spec.kind, frozenset(spec.labels)) for name, spec in table.items()
    }
