"""What all channels of a soak share: clips, time, disks, one playout host, and the tally.

Rule: the host may die and be followed by another at any time; nobody keeps it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from channeld.outputs.hls_store import SegmentStore
from channeld.playout.on_air import Filler
from channeld.playout.schedule import Schedule
from channeld.soak.clock import Agenda, SoakClock
from channeld.soak.readers import ReadersInStep
from channeld.soak.stock import Stock
from channeld.soak.tally import Tally


@dataclass(frozen=True, slots=True)
class Stage:
    """What all channels of a soak share. Channels share a host, too: `hosts` holds the one that lives."""

    stock: Stock
    clock: SoakClock
    agenda: Agenda
    tally: Tally
    readers: ReadersInStep
    store: SegmentStore
    hls: Path
    hosts: list[Schedule] = field(default_factory=list)
    fillers: "WeakValueDictionary[str, Filler]" = field(default_factory=WeakValueDictionary)

    def new_host(self) -> None:
        """Another playout host, without channels."""
        crashed = self.tally.complain
        self.fillers.clear()
        self.hosts[:] = [Schedule(self.clock, lambda air, piece: None, lambda air, trace: crashed(air.channel, "crash", trace))]

    @property
    def host(self) -> Schedule:
        """The playout host that lives."""
        return self.hosts[-1]
