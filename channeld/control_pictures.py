"""Where the picture desk finds what is on air: the rings of the channels, lent by the control loop.

Rule: only what viewers could see is shown; a channel that is off the air has no picture.
"""

from channeld.channel.loop import ControlLoop
from channeld.channel.pictures import Lend, NoPicture, Ring
from channeld.channel.registry import Registry
from channeld.channel.state import State


def ring_lender(loop: ControlLoop, registry: Registry) -> Lend:
    """Lends the ring of a channel that is on air. Any thread but the loop's."""

    def lend(channel: str) -> Ring:
        def find() -> Ring:
            supervisor = registry.channels.get(channel)
            if supervisor is None:
                raise NoPicture("the channel is gone")
            if supervisor.state not in (State.ON_AIR, State.FILLER):
                raise NoPicture(f"the channel is {supervisor.state.value.replace('_', ' ')}")
            fd = supervisor.lend_ring()
            if fd is None:
                raise NoPicture("the channel has just come on air")
            return Ring(fd, supervisor.settings.profile)

        return loop.call(find)

    return lend
