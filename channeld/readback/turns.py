"""Whose segment is decoded next: everybody in turn within a budget of CPU time, suspects first.

Rule: what decoding cost is paid back before more is spent, so the long-run share of a core never exceeds the budget. Pure.
"""

from channeld.base.clock import NS_PER_SECOND

MOST_SAVED_S = 1.0
MOST_OWED_S = 2.0
"""How far suspects may overdraw, in CPU seconds."""
SUSPECT_AGAIN_S = 3.0


class Budget:
    """CPU seconds that may be spent: `share` of each second, saved up to MOST_SAVED_S."""

    def __init__(self, share: float, *, now_ns: int) -> None:
        self.share = share
        self._balance_s = 0.0
        self._at_ns = now_ns
        self.spent_s = 0.0

    def balance_s(self, now_ns: int) -> float:
        """What is left, negative when overdrawn."""
        self._balance_s = min(MOST_SAVED_S, self._balance_s + self.share * max(0, now_ns - self._at_ns) / NS_PER_SECOND)
        self._at_ns = now_ns
        return self._balance_s

    def spend(self, cpu_s: float, now_ns: int) -> None:
        """Pay for work that was done."""
        self._balance_s = self.balance_s(now_ns) - cpu_s
        self.spent_s += cpu_s


class Turns:
    """Round robin over names. A name that asks and is not next waits; one that has nothing to decode gives its turn up."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._order: dict[str, None] = {}  # the first is next
        self._granted_ns: dict[str, int] = {}

    def keep(self, names: set[str]) -> None:
        """Take part from now on: exactly these."""
        kept = [name for name in self._order if name in names]
        self._order = dict.fromkeys([*kept, *sorted(names.difference(kept))])
        self._granted_ns = {name: at for name, at in self._granted_ns.items() if name in names}

    def take(self, name: str, *, is_suspect: bool, now_ns: int) -> bool:
        """Whether this name's segment may be decoded now; if so it is the last in the row afterwards."""
        if not self.budget.share or name not in self._order:
            return False
        balance_s = self.budget.balance_s(now_ns)
        waited_s = (now_ns - self._granted_ns.get(name, -(1 << 62))) / NS_PER_SECOND
        is_urgent = is_suspect and balance_s > -MOST_OWED_S and waited_s >= SUSPECT_AGAIN_S
        if not is_urgent and (balance_s < 0 or next(iter(self._order)) != name):
            return False
        self.pass_over(name)
        self._granted_ns[name] = now_ns
        return True

    def pass_over(self, name: str) -> None:
        """This name has nothing to decode: the next one is at hand."""
        if name in self._order:
            self._order[name] = self._order.pop(name)
