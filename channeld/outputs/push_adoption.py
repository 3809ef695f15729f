"""What an earlier control left of a push: adopted, or ended.

Rule: after it, at most one FFmpeg of this push lives, and no FIFO or kept descriptor of another. Push's thread.
"""

import contextlib

from channeld.base.errors import ProcessError
from channeld.outputs.push_attempt import PushAttempt
from channeld.outputs.push_plan import PushPlan, PushPorts, Slot
from channeld.process.fifo import Fifo
from channeld.process.holding import Holding

_MOST = 8
"""Children of one name that are ended: two would be one too many already."""


def adopt_or_clear(plan: PushPlan, ports: PushPorts, *, adopt: bool) -> PushAttempt | None:
    """The attempt that goes on, if a child is held that would be started just so; everything else of the push is ended.

    Of two, the older: the younger is a successor that was never fed. Raises SpawnError when the holder is gone.
    """
    held = ports.holder.held()
    labels = [child.name for child in held.children]
    digests = {child.name: child.digest for child in held.children}
    by_age = sorted(plan.slots, key=lambda slot: labels.index(slot.label) if slot.label in labels else len(labels))
    adopted: PushAttempt | None = None
    for slot in by_age:
        is_ours = digests.get(slot.label) == slot.digest and slot.label in held.fds
        if adopt and adopted is None and is_ours and (adopted := _adopt(plan, ports, slot)):
            continue
        _clear(ports.holder, slot)
    return adopted


def _adopt(plan: PushPlan, ports: PushPorts, slot: Slot) -> PushAttempt | None:
    attempt = PushAttempt(plan, ports, slot)
    try:
        attempt.adopt()
    except (KeyError, ProcessError):  # it ended just now, or its FIFO was removed
        return None
    return attempt


def _clear(holder: Holding, slot: Slot) -> None:
    with contextlib.suppress(KeyError):
        for _ in range(_MOST):
            holder.adopt(slot.label).terminate(0.5)
    holder.release(slot.label)
    if slot.fifo.exists():
        with contextlib.suppress(ProcessError):  # not a FIFO: told when one is to be made there
            Fifo.existing(slot.fifo).remove()
