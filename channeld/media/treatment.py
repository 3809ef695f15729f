"""What a relay's profile has FFmpeg do with a live source beyond the house format: how it is opened, what stands before the house's own
filters, which encoder works and how.

Rule: plain values that went through the allow-list (`relay`), told over the wire and never read by a shell; the house format is made after
all of it, so that nothing here can change what airs but its looks, its sound and its cost. Immutable; pure.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

Pairs = tuple[tuple[str, str | None], ...]
"""Options with their values; None for one that takes none."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """`devices` stand first of all, in their order; `reading` and `decoding` before `-i`, of which a copied source has the first alone.

    `picture_stream`, `sound_stream`: which streams air, as FFmpeg names them; `has_sound` False: silence in place of them. `picture`,
    `sound`: filters before the house's own; `upload`: behind them, to the hardware that encodes. `encoder` with its `encoding`, and
    `x264_params`, over those of the house.
    """

    devices: Pairs = ()
    reading: Pairs = ()
    decoding: Pairs = ()
    picture_stream: str = "v:0"
    sound_stream: str = "a:0"
    has_sound: bool = True
    picture: str = ""
    sound: str = ""
    upload: str = ""
    encoder: str = "libx264"
    encoding: Pairs = ()
    x264_params: Pairs = ()

    @property
    def has_own_parameter_sets(self) -> bool:
        """Another encoder than the one that made the reference writes parameter sets of its own: they change with a key frame."""
        return self.encoder != "libx264"

    def message(self) -> dict[str, Any]:
        """As values of a message."""
        return asdict(self)

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> "Treatment":
        """Read it again. Raises TypeError or ValueError for what is none."""
        pairs = {name: tuple((str(key), value) for key, value in values[name]) for name in _PAIRS if name in values}
        return cls(**(values | pairs))


_PAIRS = tuple(each.name for each in fields(Treatment) if each.type == Pairs)
NO_TREATMENT = Treatment()
