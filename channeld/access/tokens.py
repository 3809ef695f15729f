"""The named tokens: a table of digests.

Rule: names are unique, the table is bounded, and each comparison runs over the whole table in constant time per row. Sans-I/O; not
thread-safe; used by Accounts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from channeld.access.roles import Role
from channeld.access.secret import is_same

MAX_TOKENS = 256
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without itself. Times are seconds since 1970; `expires_at_s` None: never."""

    name: str
    role: Role
    digest: str = field(repr=False)
    created_at_s: float | None
    expires_at_s: float | None = None

    def is_expired(self, now_s: float) -> bool:
        """Whether its time is over."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s


class Tokens:
    """All named tokens, and when each was used last."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._by_digest: dict[str, Token] = {}
        self.used_at_s: dict[str, float] = {}

    def __iter__(self) -> Iterator[Token]:
        return iter(list(self._tokens.values()))

    def __len__(self) -> int:
        return len(self._tokens)

    def named(self, name: str) -> Token | None:
        """The token of this name."""
        return self._tokens.get(name)

    def add(self, token: Token) -> None:
        """One more, of a name that is free."""
        self._tokens[token.name] = self._by_digest[token.digest] = token

    def remove(self, name: str) -> Token | None:
        """Forget it; gives what it was."""
        self.used_at_s.pop(name, None)
        token = self._tokens.pop(name, None)
        if token is not None:
            self._by_digest.pop(token.digest, None)
        return token

    def find(self, digest: str) -> Token | None:
        """The token with the digest of what somebody sent, expired or not."""
        found = None
        for token in self._tokens.values():  # to the end, whatever is found
            if is_same(token.digest, digest):
                found = token
        return found

    def with_digest(self, digest: str) -> Token | None:
        """The same for a digest that is our own: at once, however many there are."""
        return self._by_digest.get(digest)

    def rows(self) -> list[dict[str, Any]]:
        """As the file has them."""
        return [asdict(token) | {"used_at_s": self.used_at_s.get(token.name)} for token in self._tokens.values()]

    @classmethod
    def read(cls, rows: Sequence[Mapping[str, Any]]) -> "Tokens":
        """From the file's rows. Raises ValueError, KeyError, TypeError where one is no token."""
        tokens = cls()
        for row in rows[:MAX_TOKENS]:
            name, digest = str(row["name"]), str(row["digest"])
            if NAME.fullmatch(name) is None or _DIGEST.fullmatch(digest) is None:
                raise ValueError(f"{name!r} is no token")
            tokens.add(Token(name, Role(row["role"]), digest, seconds(row["created_at_s"]), seconds(row["expires_at_s"])))
            used_at_s = seconds(row.get("used_at_s"))
            if used_at_s is not None:
                tokens.used_at_s[name] = used_at_s
        return tokens


def seconds(value: Any) -> float | None:
    """A moment of a file. Raises ValueError, TypeError."""
    if value is None:
        return None
    if isinstance(value, bool) or not 0 <= float(value) < 1e12:
        raise ValueError(f"{value!r} is no moment")
    return float(value)
