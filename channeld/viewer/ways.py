"""The ways that may be taken, in their order, and the first of them on which the channel's bytes come.

Rule: a way counts once its first bytes are there; each that fails is told in one line with its reason, once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from channeld.base.errors import ChannelError
from channeld.telemetry import log
from channeld.viewer.way import Via, Way, WayLost, Why

LOOK_S = 0.25
"""How long one look at a way lasts: so soon is seen what else happens."""

_log = log.get("play.transport")


@dataclass(frozen=True, slots=True)
class Chance:
    """A way that may be tried; `open` raises WayLost."""

    via: Via
    open: Callable[[], Way]


class NoWay(ChannelError):
    """None of the ways works: tells the last one's reason, as the others were told when they failed."""

    def __init__(self, failures: Sequence[tuple[Via, WayLost]]) -> None:
        super().__init__(f"{failures[-1][0]}: {failures[-1][1]}" if failures else "no way was given")
        self.why = max((lost.why for _, lost in failures), key=lambda why: why.value, default=Why.FAILED)
        """The reason that tells most of what to do."""
        knows_none = any(via is Via.SHM and lost.why is Why.UNKNOWN for via, lost in failures)
        self.is_hopeless = knows_none or all(lost.why is Why.FORBIDDEN for _, lost in failures)
        """Waiting does not help."""


def take_first(chances: Sequence[Chance], timeout_s: float, say: Callable[[str], None], interrupt: Callable[[], None]) -> tuple[Way, bytes]:
    """A way and the first bytes that came on it. `interrupt` is called at each look, and may raise. Raises NoWay."""
    failures: list[tuple[Via, WayLost]] = []
    for chance, following in zip(chances, [*chances[1:], None], strict=True):
        try:
            way, first = _take(chance, timeout_s, interrupt)
        except WayLost as lost:
            failures.append((chance.via, lost))
            _log.debug("way_refused", via=chance.via.value, reason=str(lost))
            if following is not None:
                say(f"{chance.via}: {lost}; trying {following.via}")
        else:
            _log.debug("way_taken", via=chance.via.value, first_bytes=len(first), **way.facts())
            return way, first
    raise NoWay(failures)


def _take(chance: Chance, timeout_s: float, interrupt: Callable[[], None]) -> tuple[Way, bytes]:
    way = chance.open()
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            interrupt()
            if (first := way.receive(LOOK_S)) is not None:
                return way, first
        raise WayLost(f"nothing came for {timeout_s:g} s")
    except BaseException:
        way.close()
        raise
