"""What a soak counts: joins, edits, faults, and everything that must not be.

Rule: bounded, whatever happens; `digest` is over all that was aired, so that two runs of one seed can be compared.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from channeld.soak.clock import SoakClock

MAX_COMPLAINTS = 50


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that must not be: when (seconds of stream time), where, which promise was broken, and how."""

    at_s: float
    channel: str
    kind: str
    text: str


@dataclass(slots=True)
class Tally:
    """Counts of one soak. The first MAX_COMPLAINTS are kept whole."""

    clock: SoakClock
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    complaints: list[Complaint] = field(default_factory=list)
    _digest: Any = field(default_factory=lambda: blake2b(digest_size=16))

    def complain(self, channel: str, kind: str, text: str) -> None:
        """Note a broken promise."""
        self.broken[kind] += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(Complaint(self.clock.elapsed_s, channel, kind, text))

    def note(self, *facts: object) -> None:
        """Let something that happened count in the digest."""
        self._digest.update(repr(facts).encode())

    @property
    def digest(self) -> str:
        """A hash of all that was noted so far."""
        return str(self._digest.copy().hexdigest())
