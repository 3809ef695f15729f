"""A page of a channel's media library, as value."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shelf:
    """A page of the library: `total` files match, `unknown` of all files are still to be looked at; `next`: where the next page begins."""

    files: list[dict[str, Any]]
    total: int
    unknown: int
    is_cut: bool
    next: str | None = None
