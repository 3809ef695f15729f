"""A prepared clip as a value. Pure; what the cache gives and the playout's look-ahead opens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A source conformed to one profile: where its packets and its index stand, how long it is.

    `growing`: still being prepared; the paths end in `.part`, `frames` and `bytes` are what is there so far.
    """

    key: str
    profile_key: str
    ts_path: Path
    idx_path: Path
    frames: int
    duration_s: float
    bytes: int
    facts: dict[str, Any] = field(default_factory=dict)
    growing: bool = False
