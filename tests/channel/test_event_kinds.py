"""Every kind of event that the product emits stands in docs/api.md, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from channeld.base.event_kinds import EVENT_KINDS

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "channeld"

EMITTERS = {"publish", "_publish", "_tell_no_turn"}
STORE_EMITTERS = {"_tell"}
"""The store does not know who listens: what it tells is an event by `store_news`."""
PASSED_ON = {"channel/airings.py": 2, "channel/alarms.py": 1}
"""Calls whose kind comes from the caller, which is looked at itself."""


def emissions() -> Iterator[tuple[str, ast.expr]]:
    """File, and first argument, of every call that emits an event."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = str(path.relative_to(PACKAGE))
        emitters = EMITTERS | (STORE_EMITTERS if file.startswith("store/") else set())
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in emitters and not (isinstance(node.func, ast.Attribute) and _is_ring(node.func.value)):
                yield file, node.args[0]


def _is_ring(owner: ast.expr) -> bool:
    """A ring publishes bytes."""
    return isinstance(owner, ast.Attribute) and owner.attr == "ring"


def table_of_events() -> dict[str, str]:
    """Kind and fields of each row under "Follow what happens"."""
    section = (ROOT / "docs" / "api.md").read_text().split("## Follow what happens")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|\n]*)\|([^|\n]*)\|$", section, re.MULTILINE)
    assert [kind for kind, when, _ in rows if not when.strip()] == [], "say when"
    return {kind: fields for kind, _, fields in rows}


def test_the_kinds_emitted_are_the_kinds_documented() -> None:
    emitted = {argument.value for _, argument in emissions() if isinstance(argument, ast.Constant)}
    assert emitted == table_of_events().keys()
    assert emitted == EVENT_KINDS, "name it in base/event_kinds.py, so that webhooks may choose it"


def test_no_kind_is_made_where_it_cannot_be_read_in_the_source() -> None:
    made = [file for file, argument in emissions() if not isinstance(argument, ast.Constant)]
    assert {file: made.count(file) for file in set(made)} == PASSED_ON
