"""What can go wrong for a local reader.

Rule: each says what to do; after Overrun and TimedOut the stream goes on when it is asked again, after the others it does not.
"""


class AttachError(Exception):
    """Anything that keeps a reader from its channel."""


class UnknownChannel(AttachError):
    """The daemon has no such channel, or local readers are not enabled."""


class Refused(AttachError):
    """The daemon answered, and gives nothing: another version, no permission, too many readers."""


class TimedOut(AttachError):
    """Nothing came in the time that was given; asked again, the stream goes on. `why`: what is known of the reason."""

    def __init__(self, message: str = "", why: str = "") -> None:
        super().__init__(message)
        self.why = why


class Closed(AttachError):
    """The channel is off the air, or the daemon is not there."""


class OffAir(Closed):
    """The daemon is there, and the channel is not on air."""


class NotPermitted(Refused):
    """This user may not read the channel."""


class Overrun(AttachError):
    """The reader was too slow, and the ring was written over; asked again, the stream goes on behind the hole."""

    def __init__(self, lost_bytes: int) -> None:
        super().__init__(f"{lost_bytes} bytes were written over before they were read: read faster, or accept the hole")
        self.lost_bytes = lost_bytes


class Cut(Overrun):
    """Nobody was heard for a while, and the channel began anew meanwhile: how much was lost is not known. Asked again, it goes on."""

    def __init__(self) -> None:
        super().__init__(0)
        self.args = ("the channel began anew while nobody was heard: how much was lost is not known",)


class Untrusted(Refused):
    """A far reader's other end has another key or certificate, or what it sent was changed on the way; nothing of it is delivered."""
