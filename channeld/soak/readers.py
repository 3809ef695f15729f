"""The look-ahead of a soak: real files, read in step with the fake clock, by a disk that can be told to stall.

Rule: a block is there by the next release unless the disk stalls, whatever the machine's speed: a seed is a story.
"""

from channeld.playout.lookahead import DiskReaders, Lookahead


class ReadersInStep(DiskReaders):
    """Reads when it is asked to, on the caller's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stalled = False
        self._held: list[Lookahead] = []

    def request(self, lookahead: Lookahead) -> None:
        """Read one block now, or once the disk answers again."""
        if self.is_stalled:
            if not lookahead.requested:
                lookahead.requested = True
                self._held.append(lookahead)
            return
        lookahead.read_block()

    def retire(self, lookahead: Lookahead) -> None:
        """Close the files of a look-ahead that nobody needs any more."""
        lookahead.close()
        lookahead.read_block()

    def stall(self) -> None:
        """The disk answers no more."""
        self.is_stalled = True

    def recover(self) -> None:
        """The disk answers again, what it was asked first."""
        self.is_stalled = False
        held, self._held = self._held, []
        for lookahead in held:
            lookahead.read_block()
            lookahead.requested = False
