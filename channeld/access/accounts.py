"""Who may come in: the token of the file, the named tokens, the sessions.

Rule: what is decided counts at once, in memory, and is written before it is answered; a file that cannot be written is told to who
asked. `_lock` guards the tables and is never held over I/O; `_writing` lets one at a time write and is held over nothing else.
Safe from any thread. Made and saved by the daemon.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from channeld.access.book import SESSIONS, TOKENS, Book, BookError
from channeld.access.roles import Identity, Role
from channeld.access.secret import derived, digest_of, is_same, new_secret, new_token
from channeld.access.sessions import Session, Sessions
from channeld.access.tokens import MAX_TOKENS, Token, Tokens
from channeld.base.errors import ChannelError
from channeld.telemetry.log import get

ADMIN_NAME = "admin"  # the token of the file admin.token; no other may have this name
SAVE_EVERY_S = 600.0  # what was used when

_log = get("access")
TableT = TypeVar("TableT", Tokens, Sessions)


class NameTaken(ChannelError):
    """A token of this name is there, or the name is the file's."""


class TooManyTokens(ChannelError):
    """The table is full."""


@dataclass(frozen=True, slots=True)
class ViewerKey:
    """The digest of something that opens the media listener, until then (seconds since 1970; None: for ever)."""

    digest: str
    ends_at_s: float | None


class Accounts:
    """All who are known, and the files they are kept in."""

    def __init__(
        self,
        folder: Path,
        admin_token: str,
        *,
        publish: Callable[..., None] = lambda *_, **__: None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        """`folder` is the daemon's state folder; `publish` tells an event. Files that cannot be believed are moved aside."""
        self._publish, self._clock_s = publish, clock_s
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._admin = Token(ADMIN_NAME, Role.ADMIN, digest_of(admin_token), None)
        self._token_book, self._session_book = Book(folder / TOKENS), Book(folder / SESSIONS)
        self._tokens = _read(self._token_book, Tokens)
        self._sessions = _read(self._session_book, Sessions)
        self._saved_at_s = clock_s()
        self._listener: Callable[[tuple[ViewerKey, ...]], None] = lambda _: None

    # -- who is asking ------------------------------------------------------------------------------------------

    def by_token(self, token: str) -> Identity | None:
        """Whose token this is; None for one that is unknown or whose time is over."""
        now_s, digest = self._clock_s(), digest_of(token)
        with self._lock:
            found = self._find(digest)
            if found is None or found.is_expired(now_s):
                return None
            self._tokens.used_at_s[found.name] = now_s
        return Identity(found.name, found.role, found.expires_at_s, found.digest)

    def by_session(self, secret: str) -> Identity | None:
        """Whose cookie this is; None for one that has ended, by time, sign-out or with its token."""
        now_s, digest = self._clock_s(), digest_of(secret)
        with self._lock:
            session = self._sessions.find(digest, now_s)
            token = self._with_digest(session.token_digest) if session is not None else None
            if session is None or token is None or token.is_expired(now_s):
                return None
            session = self._sessions.use(session, now_s)
            self._tokens.used_at_s[token.name] = now_s
        return _signed_in(token, session, secret)

    def stands(self, identity: Identity) -> bool:
        """Whether who was let in would be let in now: asked again and again while an answer lasts."""
        now_s = self._clock_s()
        with self._lock:
            token = self._with_digest(identity.token_digest)
            is_open = identity.session_digest is None or self._sessions.find(identity.session_digest, now_s) is not None
        return is_open and token is not None and not token.is_expired(now_s)

    def _find(self, digest: str) -> Token | None:
        found = self._tokens.find(digest)
        return self._admin if is_same(self._admin.digest, digest) else found

    def _with_digest(self, digest: str) -> Token | None:
        return self._admin if digest == self._admin.digest else self._tokens.with_digest(digest)

    # -- sessions -----------------------------------------------------------------------------------------------

    def sign_in(self, token: str) -> tuple[str, Identity] | None:
        """A cookie's secret and who it stands for; None for a token that is unknown or over. Unwritten, it ends with the daemon."""
        found = self.by_token(token)
        if found is None:
            return None
        secret, now_s = new_secret(), self._clock_s()
        session = Session(digest_of(secret), found.name, found.token_digest, digest_of(_media_token(secret)), now_s, now_s)
        with self._lock:
            known = self._with_digest(found.token_digest)
            self._sessions.open(session)
        self._publish("signed_in", name=found.name, role=found.role.value)
        self._keep_sessions()
        return (secret, _signed_in(known, session, secret)) if known is not None else None

    def sign_out(self, identity: Identity) -> None:
        """End the session."""
        with self._lock:
            ended = identity.session_digest is not None and self._sessions.close(identity.session_digest)
        if ended:
            self._publish("signed_out", name=identity.name)
            self._keep_sessions()

    # -- tokens -------------------------------------------------------------------------------------------------

    def described(self) -> list[dict[str, Any]]:
        """Each token without itself, the file's first. Times are seconds since 1970 or None."""
        now_s = self._clock_s()
        with self._lock:
            tokens, used_at_s = [self._admin, *self._tokens], dict(self._tokens.used_at_s)
            counts = [sum(session.token_digest == token.digest for session in self._sessions) for token in tokens]
        return [
            {
                "name": token.name,
                "role": token.role.value,
                "created_at_s": token.created_at_s,
                "expires_at_s": token.expires_at_s,
                "used_at_s": used_at_s.get(token.name),
                "is_expired": token.is_expired(now_s),
                "sessions": count,
            }
            for token, count in zip(tokens, counts, strict=True)
        ]

    def add(self, name: str, role: Role, expires_at_s: float | None, *, by: str) -> tuple[str, Token]:
        """Make a token; it is told here and never again. Raises NameTaken, TooManyTokens; BookError, and then there is none."""
        secret = new_token()
        token = Token(name, role, digest_of(secret), self._clock_s(), expires_at_s)
        with self._lock:
            if name == ADMIN_NAME or self._tokens.named(name) is not None:
                raise NameTaken(f"there is a token {name!r} already")
            if len(self._tokens) >= MAX_TOKENS:
                raise TooManyTokens(f"there are {MAX_TOKENS} tokens")
            self._tokens.add(token)
        try:
            self._write(self._token_book, self._tokens)
        except BookError:
            with self._lock:
                self._tokens.remove(name)
            raise
        self._publish("token_added", name=name, role=role.value, by=by)
        self._tell_keys()
        return secret, token

    def revoke(self, name: str, *, by: str) -> int | None:
        """End a token and its sessions; gives how many these were, None when there is no such token.

        Raises BookError: it is revoked, but the file still has it, so that a restart would bring it back.
        """
        with self._lock:
            token = self._tokens.remove(name)
            ended = self._sessions.close_of(token.digest) if token is not None else 0
        if token is None:
            return None
        self._publish("token_revoked", name=name, role=token.role.value, by=by)
        self._tell_keys()
        self._write(self._token_book, self._tokens)
        self._keep_sessions()
        return ended

    # -- viewers ------------------------------------------------------------------------------------------------

    def follow(self, listener: Callable[[tuple[ViewerKey, ...]], None]) -> None:
        """Have the media listener told what opens it, now and after each change."""
        self._listener = listener
        self._tell_keys()

    def _tell_keys(self) -> None:
        now_s = self._clock_s()
        with self._lock:
            tokens = {token.digest: token.expires_at_s for token in (self._admin, *self._tokens) if not token.is_expired(now_s)}
            keys = [ViewerKey(digest, ends_at_s) for digest, ends_at_s in tokens.items()]
            for session in self._sessions:
                if session.token_digest in tokens and now_s < session.ends_at_s:
                    keys.append(ViewerKey(session.media_digest, _sooner(session.ends_at_s, tokens[session.token_digest])))
        self._listener(tuple(keys))

    # -- files --------------------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """What was used when should be written."""
        return self._clock_s() - self._saved_at_s >= SAVE_EVERY_S

    def save(self) -> None:
        """Write both files; a failure is told in the log only, as nothing but the time of last use is lost."""
        self._saved_at_s = self._clock_s()
        try:
            if len(self._tokens) or self._token_book.path.exists():
                self._write(self._token_book, self._tokens)
        except BookError as error:
            _log_failure(error)
        self._keep_sessions()

    def _keep_sessions(self) -> None:
        now_s = self._clock_s()
        with self._lock:
            self._sessions.prune(now_s, frozenset({self._admin.digest, *(token.digest for token in self._tokens)}))
        try:
            if len(self._sessions) or self._session_book.path.exists():
                self._write(self._session_book, self._sessions)
        except BookError as error:
            _log_failure(error)
        self._tell_keys()

    def _write(self, book: Book, table: Tokens | Sessions) -> None:
        with self._writing:  # the rows are taken inside, so that the last one to write has the newest
            with self._lock:
                rows = table.rows()
            book.write(rows)


def _read(book: Book, kind: type[TableT]) -> TableT:
    try:
        return kind.read(book.read())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        book.put_aside(str(error))
        return kind()


def _log_failure(error: BookError) -> None:
    _log.warning("access_not_written", error=str(error), consequence="who signed in must do so again after a restart")


def _signed_in(token: Token, session: Session, secret: str) -> Identity:
    return Identity(
        token.name,
        token.role,
        _sooner(session.ends_at_s, token.expires_at_s),
        token.digest,
        session.digest,
        derived(secret, "channeld csrf"),
        _media_token(secret),
    )


def _media_token(secret: str) -> str:
    return derived(secret, "channeld media")


def _sooner(ends_at_s: float, other_s: float | None) -> float:
    return ends_at_s if other_s is None else min(ends_at_s, other_s)
