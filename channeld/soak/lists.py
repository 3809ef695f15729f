"""Playlists as people and programs write them: edited a little, turned over, emptied, and now and then rubbish.

Rule: everything comes from the given random numbers. Whether a list is rubbish is the parser's to say.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

Names = list[str]

LONGEST = 40


def first_list(random: Random, names: Sequence[str]) -> Names:
    """A list to begin with."""
    return [random.choice(names) for _ in range(random.randrange(3, 15))]


def _insert(names: Names, random: Random, stock: Sequence[str]) -> None:
    for _ in range(random.randrange(1, 4)):
        names.insert(random.randrange(len(names) + 1), random.choice(stock))


def _remove(names: Names, random: Random, stock: Sequence[str]) -> None:
    for _ in range(min(len(names), random.randrange(1, 4))):
        del names[random.randrange(len(names))]


def _move(names: Names, random: Random, stock: Sequence[str]) -> None:
    if names:
        names.insert(random.randrange(len(names)), names.pop(random.randrange(len(names))))


def _shuffle(names: Names, random: Random, stock: Sequence[str]) -> None:
    random.shuffle(names)


def _replace(names: Names, random: Random, stock: Sequence[str]) -> None:
    names[:] = first_list(random, stock)


def _empty(names: Names, random: Random, stock: Sequence[str]) -> None:
    names.clear()


def _lose(names: Names, random: Random, stock: Sequence[str]) -> None:
    names[:] = ["nowhere.mkv"] * 3


_EDITS: tuple[tuple[int, Callable[[Names, Random, Sequence[str]], None]], ...] = (
    (30, _insert),
    (25, _remove),
    (20, _move),
    (5, _shuffle),
    (10, _replace),
    (3, _empty),
    (2, _lose),
)
_RUBBISH: tuple[Callable[[bytes, Random], bytes], ...] = (
    lambda text, random: text[: random.randrange(len(text) + 1)] + b"\0" + random.randbytes(200),
    lambda text, random: b"x" * 70_000 + b"\n" + text,
    lambda text, random: b"- {path: [unfinished\n" + text,
    lambda text, random: random.randbytes(4000),
    lambda text, random: text[: random.randrange(len(text) + 1)],
)


def edited(names: Names, random: Random, stock: Sequence[str]) -> Names:
    """The list after one edit; never longer than LONGEST, and refilled if an edit before left nothing that airs."""
    fresh = list(names)
    if not set(fresh) & set(stock):
        _replace(fresh, random, stock)
        return fresh
    random.choices([edit for _, edit in _EDITS], [weight for weight, _ in _EDITS])[0](fresh, random, stock)
    return fresh[:LONGEST]


def written(names: Names, suffix: str, random: Random) -> bytes:
    """The list as a file of that kind; in YAML some entries air several times."""
    if suffix == ".yaml":
        lines = [f"- {{path: media/{name}, repeat: {random.choice((1, 1, 1, 2, 3))}}}" for name in names]
        return ("\n".join(lines) or "[]").encode() + b"\n"
    if suffix == ".m3u":
        return "".join(["#EXTM3U\n", *(f"#EXTINF:-1,Clip {name}\nmedia/{name}\n" for name in names)]).encode()
    return "".join(f"media/{name}\n" for name in names).encode()


def spoiled(text: bytes, random: Random) -> bytes:
    """Rubbish, half of a list, or what a program wrote by mistake."""
    return random.choice(_RUBBISH)(text, random)


class Author:
    """Who writes one channel's playlist file, in the format of its suffix."""

    def __init__(self, file: Path, stock: Sequence[str], random: Random) -> None:
        self.file = file
        self._stock = stock
        self._random = random
        self._names = first_list(random, stock)
        self._write()

    def edit(self) -> None:
        """Change the list a little, or a lot."""
        self._names = edited(self._names, self._random, self._stock)
        self._write()

    def spoil(self) -> None:
        """Put rubbish in place of the list."""
        self.file.write_bytes(spoiled(written(self._names, self.file.suffix, self._random), self._random))

    def _write(self) -> None:
        self.file.write_bytes(written(self._names, self.file.suffix, self._random))
