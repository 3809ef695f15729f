"""The sessions of people who signed in: a table of digests.

Rule: a session ends IDLE_S after its last use, ABSOLUTE_S after its begin, and with its token; it has no role of its own. The table is
bounded, per token and in all: the one longest unused goes. Sans-I/O; not thread-safe; used by Accounts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from channeld.access.tokens import seconds

IDLE_S = 12 * 3600.0
ABSOLUTE_S = 7 * 86400.0
MAX_PER_TOKEN = 64
MAX_SESSIONS = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `digest`: of the cookie's secret; `media_digest`: of what its viewer shows to the media listener."""

    digest: str = field(repr=False)
    token: str
    token_digest: str = field(repr=False)
    media_digest: str = field(repr=False)
    opened_at_s: float
    used_at_s: float

    @property
    def ends_at_s(self) -> float:
        """When it ends if it is not used again."""
        return min(self.opened_at_s + ABSOLUTE_S, self.used_at_s + IDLE_S)


class Sessions:
    """All sessions by digest. A lookup by digest tells nothing of the secret: who can choose digests has broken SHA-256."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session: Session) -> None:
        """One more; the one longest unused goes where there are too many."""
        self._sessions[session.digest] = session
        self._bound([each for each in self._sessions.values() if each.token == session.token], MAX_PER_TOKEN)
        self._bound(list(self._sessions.values()), MAX_SESSIONS)

    def _bound(self, sessions: list[Session], most: int) -> None:
        for each in sorted(sessions, key=lambda session: session.used_at_s)[: max(0, len(sessions) - most)]:
            del self._sessions[each.digest]

    def find(self, digest: str, now_s: float) -> Session | None:
        """The session, if it has not ended."""
        session = self._sessions.get(digest)
        return session if session is not None and now_s < session.ends_at_s else None

    def use(self, session: Session, now_s: float) -> Session:
        """It is used now."""
        used = replace(session, used_at_s=max(session.used_at_s, now_s))
        self._sessions[session.digest] = used
        return used

    def close(self, digest: str) -> bool:
        """End it; False when it had ended."""
        return self._sessions.pop(digest, None) is not None

    def close_of(self, token_digest: str) -> int:
        """End all of one token; gives how many."""
        gone = [session.digest for session in self._sessions.values() if session.token_digest == token_digest]
        for digest in gone:
            del self._sessions[digest]
        return len(gone)

    def prune(self, now_s: float, token_digests: frozenset[str]) -> None:
        """Forget what has ended, by time or with its token."""
        kept = (each for each in self._sessions.values() if now_s < each.ends_at_s and each.token_digest in token_digests)
        self._sessions = {session.digest: session for session in kept}

    def rows(self) -> list[dict[str, Any]]:
        """As the file has them."""
        return [asdict(session) for session in self._sessions.values()]

    @classmethod
    def read(cls, rows: Sequence[Mapping[str, Any]]) -> "Sessions":
        """From the file's rows. Raises ValueError, KeyError, TypeError where one is no session."""
        sessions = cls()
        for row in rows[:MAX_SESSIONS]:
            digest, token, token_digest, media_digest = (str(row[name]) for name in ("digest", "token", "token_digest", "media_digest"))
            opened_at_s, used_at_s = seconds(row["opened_at_s"]) or 0.0, seconds(row["used_at_s"]) or 0.0
            sessions.open(Session(digest, token, token_digest, media_digest, opened_at_s, used_at_s))
        return sessions
