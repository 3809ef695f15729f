"""What a holder and its control say to each other: names of messages, and what children look like in them.

Rule: plain values only; whatever is read here was checked, or ValueError is raised. Used by both ends.

| control asks                  | with                  | the answer carries            |
|-------------------------------|-----------------------|-------------------------------|
| `hello` (takes over)          | protocol              | pid, protocol                 |
| `spawn`                       | child; stdin, stdout  | pid                           |
| `adopt`                       | name                  | pid, digest, tail, told_only  |
| `keep`, `borrow`, `release`   | name; `keep` the fd   | `borrow` the fd               |
| `held`                        |                       | pages of children, fds, exits |
| `signal` (no answer), `end`   | pid, number           |                               |

Every question has an `id`, and its answer (kind `answer`) the same one, with `error` where it was refused and `more`
where another page follows. Told without being asked: `lines` (pid, lines), `exit` (pid, name, status, tail) and `superseded`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from channeld.process.child import ChildSpec
from channeld.process.confine import Limits
from channeld.process.holding import HeldChild, HeldExit

PROTOCOL = 1
"""Control and holder of different versions may meet in an upgrade; a higher number is not understood by the lower."""

MAX_EXITS = 256
"""Exits that nobody was told yet and that are kept: the newest."""

PAGE_BYTES = 64 * 1024
"""Of JSON, before another page is begun: with the longest item still well below a datagram."""


def spec_values(spec: ChildSpec) -> dict[str, Any]:
    """A child's specification as JSON; descriptors travel beside it, in the order stdin, stdout."""
    return {
        "name": spec.name,
        "argv": list(spec.argv),
        "env": dict(spec.env),
        "limits": asdict(spec.limits),
        "pdeathsig": spec.pdeathsig,
        "nice": spec.nice,
        "has_stdin": spec.stdin is not None,
        "has_stdout": spec.stdout is not None,
        "told_only": list(spec.told_only),
        "dropped": list(spec.dropped),
        "digest": spec.digest,
        "forked_by": spec.forked_by,
    }


def spec_of(values: dict[str, Any], fds: tuple[int, ...]) -> ChildSpec:
    """The specification that was sent, with the descriptors that came with it. Raises ValueError."""
    try:
        wanted = [name for name in ("stdin", "stdout") if values[f"has_{name}"]]
        if len(wanted) != len(fds):
            raise ValueError(f"{len(wanted)} descriptors announced, {len(fds)} came")
        return ChildSpec(
            str(values["name"]),
            tuple(map(str, values["argv"])),
            env={str(name): str(value) for name, value in values["env"].items()},
            limits=Limits(**values["limits"]),
            pdeathsig=bool(values["pdeathsig"]),
            nice=int(values["nice"]),
            told_only=tuple(map(str, values["told_only"])),
            dropped=tuple(map(str, values["dropped"])),
            digest=str(values["digest"]),
            forked_by=str(values.get("forked_by", "")),  # a control of an earlier version does not say it
            **dict(zip(wanted, fds, strict=True)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a child's specification: {error!r}") from error


def child_values(child: HeldChild) -> dict[str, Any]:
    """A living child as JSON."""
    return {"is": "child", "name": child.name, "pid": child.pid, "digest": child.digest}


def exit_values(ended: HeldExit) -> dict[str, Any]:
    """An exit as JSON."""
    return {"is": "exit", "name": ended.name, "pid": ended.pid, "status": ended.status, "tail": ended.stderr_tail}


def pages(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Items in lists that fit into a datagram each; at least one list."""
    page: list[Any] = []
    size = 0
    for item in items:
        page.append(item)
        size += len(json.dumps(item))
        if size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    yield page
