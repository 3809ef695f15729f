"""Pushes that an earlier control left with the holder and that nobody will adopt: their output is in no configuration any more.

Rule: their children are ended, their kept descriptors released, and every FIFO removed that no living push reads. Run at start, before
any push is started.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import structlog

from channeld.base.errors import ProcessError
from channeld.outputs.push_plan import PREFIX, kept_fifos, labels_of
from channeld.process.fifo import clean_stale
from channeld.process.holding import Holding

_MOST = 8
"""Children of one name that are ended: two would be one too many already."""

log = structlog.get_logger()


def end_orphans(holder: Holding, wanted: Iterable[tuple[str, str]], runtime_dir: Path) -> list[str]:
    """End what is not `wanted`, (channel, output) each; gives the labels of what was ended. Raises SpawnError when the holder is gone."""
    known = {label for channel, output in wanted for label in labels_of(channel, output)}
    held = holder.held()
    orphans = [child.name for child in held.children if child.name.startswith(PREFIX) and child.name not in known]
    for label in orphans:
        log.info("push_orphaned", child=label, consequence="it is ended")
        with contextlib.suppress(KeyError):  # it ended just now
            for _ in range(_MOST):
                holder.adopt(label).terminate(0.5)
    for name in held.fds:
        if name.startswith(PREFIX) and name not in known:
            holder.release(name)
    try:
        clean_stale(runtime_dir / "fifo", keep=kept_fifos(holder.held()))
    except (OSError, ProcessError) as error:
        log.warning("leftover_stays", path=str(runtime_dir / "fifo"), error=str(error))
    return orphans
