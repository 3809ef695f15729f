"""What docs/metrics.md says and what a daemon's /metrics holds, in one form to compare."""

import re
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `([a-z_]+)` \| (gauge|counter|histogram) \| ([^|]*) \| [^|]* \| [^|]+ \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric as Prometheus names it: a counter with its `_total`."""

    name: str
    kind: str
    labels: frozenset[str]


def documented() -> dict[str, Row]:
    """The rows of the document, by name."""
    found = _ROW.findall(DOCUMENT.read_text())
    return {name: Row(name, kind, frozenset(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels in found}


def shown(page: str) -> dict[str, tuple[str, list[dict[str, str]]]]:
    """Kind and the labels of every sample, by the metric's name; those of a histogram's buckets without `le`."""
    found = {}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = [{key: value for key, value in sample.labels.items() if key != "le"} for sample in family.samples]
        found[name] = family.type, labels
    return found
