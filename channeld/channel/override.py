"""What somebody ordered to air in place of everything: a text on a slate or a file, for a time, until it is lifted, or once.

Rule: an order outlives control: it is written down before it is acknowledged. The book is of the control loop's thread; writing it is
a small file, renamed into place.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from channeld.channel.insert import OVERRIDE

MAX_TEXT = 80
MAX_ORDERS = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Override:
    """One order. Exactly one of `text` and `file`; a file airs again and again, or `once`.

    `until_s`: seconds since 1970; None: until it is lifted.
    """

    text: str | None
    file: str | None
    since_s: float
    until_s: float | None = None
    once: bool = False

    @property
    def title(self) -> str:
        """What people are shown."""
        return self.text or Path(self.file or "").stem

    @property
    def name(self) -> str:
        """Tells one order from another."""
        return f"{OVERRIDE}{int(self.since_s * 1000)}"


class OverrideBook:
    """The orders of all channels, as a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._orders: dict[str, Override] = {}
        try:
            values = json.loads(path.read_bytes())
            self._orders = {str(channel): Override(**order) for channel, order in list(values.items())[:MAX_ORDERS]}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("overrides_not_read", path=str(path), error=str(error), consequence="no channel is overridden")

    def of(self, channel: str) -> Override | None:
        """What a channel is ordered to air."""
        return self._orders.get(channel)

    def channels(self) -> list[str]:
        """Those that are ordered something, also where they are not there at the moment."""
        return list(self._orders)

    def set(self, channel: str, order: Override | None) -> None:
        """Keep or lift it. Raises OSError when it cannot be written; then it is as before."""
        orders = {name: each for name, each in self._orders.items() if name != channel}
        if order is not None:
            orders[channel] = order
        values = {name: asdict(each) for name, each in orders.items()}
        draft = self._path.with_name(f"{self._path.name}.part")
        draft.write_text(json.dumps(values), encoding="utf-8")
        draft.replace(self._path)
        self._orders = orders
