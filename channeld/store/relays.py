"""Profiles, proxies and relays, as people edit them and as the daemon writes what they do.

Rule: an edit that returns is on the disk; one that raises changed nothing, except where the error says that it cannot know. Status and
events never wait. Questions are answered from the database; what people made is remembered besides, for one that must be made anew.
Safe from any thread.

Edits raise EditRefused (with the field at fault) and StoreError, questions UnknownRecord and StoreError.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from channeld.base.clock import Clock
from channeld.base.redact import redact_text
from channeld.store import relay_edits as edits
from channeld.store import relay_questions as questions
from channeld.store.relay_questions import ChannelFilter
from channeld.store.relay_records import (
    ChannelChanges,
    ConfigDraft,
    Kept,
    ProfileDraft,
    ProxyChannel,
    ProxyDraft,
    RelayConfig,
    RelayEvent,
    RelayProfile,
    RelayProxy,
    RelayStatus,
)

T = TypeVar("T")
EVERY = ChannelFilter()
EDIT_S = 10.0
LIST_S = 60.0
"""How long an edit, and the import of a list of 50,000 channels, waits for the disk."""


class Editor(Protocol):
    """Makes a change in the writer's thread."""

    def __call__(self, change: Callable[[Connection], T], committed: Callable[[T], None], timeout_s: float, /) -> T: ...


class Asker(Protocol):
    """Answers a question by a connection of its own."""

    def __call__(self, question: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class _Change(Generic[T]):
    """What an edit gave, and what is to be remembered of it."""

    result: T
    kept: Sequence[Kept] = ()
    dropped: Sequence[Kept] = ()


class Relays:
    """Of one store; `load` once the database is open."""

    def __init__(self, edit: Editor, ask: Asker, put: Callable[[RelayStatus | RelayEvent], Any], clock: Clock) -> None:
        self._edit_by, self._ask, self._put, self._clock = edit, ask, put, clock
        self._lock = threading.Lock()  # guards what is below
        self._kept: dict[tuple[type[Kept], int | str], Kept] | None = None
        self._ids: itertools.count[int] | None = None

    def load(self) -> None:
        """Remember what there is. Raises StoreError; then the first edit does it."""
        kept, newest = self._ask(questions.everything_kept), self._ask(questions.newest_event_id)
        with self._lock:
            self._kept = {(type(each), each.id): each for each in kept}
            self._ids = itertools.count(newest + 1)

    def remembered(self) -> list[Kept]:
        """What people made, for a new database. It has no channels: their lists are to be fetched at once."""
        with self._lock:
            kept = list((self._kept or {}).values())
        return [replace(each, fetched_at_s=None) if isinstance(each, RelayProxy) else each for each in kept]

    def _edit(self, change: Callable[[Connection, float], _Change[T]], *, timeout_s: float = EDIT_S) -> T:
        def make(connection: Connection) -> tuple[_Change[T], list[Kept] | None]:
            before = questions.everything_kept(connection) if self._kept is None else None
            return change(connection, self._clock.wall_s()), before

        return self._edit_by(make, self._committed, timeout_s)[0].result

    def _committed(self, made: tuple[_Change[Any], list[Kept] | None]) -> None:
        change, before = made
        with self._lock:
            if self._kept is None:
                self._kept = {(type(each), each.id): each for each in before or ()}
            self._kept |= {(type(each), each.id): each for each in change.kept}
            for each in change.dropped:
                self._kept.pop((type(each), each.id), None)

    def _put_in(self, change: Callable[[Connection, float], Any]) -> Any:
        def make(connection: Connection, now_s: float) -> _Change[Any]:
            record = change(connection, now_s)
            return _Change(record, kept=(record,))

        return self._edit(make)

    def _take_out(self, change: Callable[[Connection], Any]) -> None:
        def make(connection: Connection, _now_s: float) -> _Change[None]:
            return _Change(None, dropped=(change(connection),))

        self._edit(make)

    # -- profiles -----------------------------------------------------------------------------------------------

    def profiles(self) -> list[RelayProfile]:
        """System defaults first, then by name."""
        return self._ask(questions.profiles)

    def profile(self, profile_id: int) -> RelayProfile:
        """One of them."""
        return self._ask(lambda connection: questions.profile(connection, profile_id))

    def add_profile(self, draft: ProfileDraft) -> RelayProfile:
        """Make a new one."""
        record: RelayProfile = self._put_in(lambda connection, now_s: edits.add_profile(connection, draft, now_s))
        return record

    def change_profile(self, profile_id: int, draft: ProfileDraft) -> RelayProfile:
        """All of it anew."""
        record: RelayProfile = self._put_in(lambda connection, now_s: edits.change_profile(connection, profile_id, draft, now_s))
        return record

    def remove_profile(self, profile_id: int) -> None:
        """Refused while a relay uses it."""
        self._take_out(lambda connection: edits.remove_profile(connection, profile_id))

    def keep_system_profiles(self, drafts: Sequence[ProfileDraft]) -> list[RelayProfile]:
        """Make the system defaults these, known by name; at start. Gives them, and the former ones that relays still use."""

        def make(connection: Connection, now_s: float) -> _Change[list[RelayProfile]]:
            kept, removed = edits.keep_system_profiles(connection, drafts, now_s)
            return _Change(kept, kept=kept, dropped=removed)

        return self._edit(make)

    # -- proxies ------------------------------------------------------------------------------------------------

    def proxies(self) -> list[RelayProxy]:
        """By name."""
        return self._ask(questions.proxies)

    def proxy(self, proxy_id: str) -> RelayProxy:
        """One of them."""
        return self._ask(lambda connection: questions.proxy(connection, proxy_id))

    def add_proxy(self, draft: ProxyDraft) -> RelayProxy:
        """Make a new one; its list is still to be fetched."""
        record: RelayProxy = self._put_in(lambda connection, now_s: edits.add_proxy(connection, draft, now_s))
        return record

    def change_proxy(self, proxy_id: str, draft: ProxyDraft) -> RelayProxy:
        """Name, source and refresh anew; another source is to be fetched at once."""
        record: RelayProxy = self._put_in(lambda connection, now_s: edits.change_proxy(connection, proxy_id, draft, now_s))
        return record

    def remove_proxy(self, proxy_id: str) -> None:
        """With all its channels. Refused while one of them is relayed."""
        self._take_out(lambda connection: edits.remove_proxy(connection, proxy_id))

    def replace_channels(self, proxy_id: str, channels: Sequence[ProxyChannel], fetched_at_s: float) -> ChannelChanges:
        """What its list holds now: all of it or nothing."""
        # Not in the writer's thread, where positions wait: of a long list the comparison takes longer than the writing.
        plan = self._ask(lambda connection: edits.plan_channels(connection, proxy_id, channels))

        def make(connection: Connection, _now_s: float) -> _Change[ChannelChanges]:
            proxy, changes = edits.replace_channels(connection, proxy_id, channels, fetched_at_s, plan)
            return _Change(changes, kept=(proxy,))

        return self._edit(make, timeout_s=LIST_S)

    def note_failure(self, proxy_id: str, error: str) -> RelayProxy:
        """Why its list could not be fetched; its channels stay."""
        record: RelayProxy = self._put_in(lambda connection, _now_s: edits.note_failure(connection, proxy_id, error))
        return record

    def channels(self, proxy_id: str, wanted: ChannelFilter = EVERY, limit: int | None = None) -> list[ProxyChannel]:
        """In the list's order."""
        return self._ask(lambda connection: questions.channels(connection, proxy_id, wanted, limit))

    def channel(self, proxy_id: str, channel_id: str) -> ProxyChannel:
        """One of them."""
        return self._ask(lambda connection: questions.channel(connection, proxy_id, channel_id))

    def groups(self, proxy_id: str) -> list[tuple[str | None, int]]:
        """Groups by name, with how many channels each has; those in none are last."""
        return self._ask(lambda connection: questions.groups(connection, proxy_id))

    # -- relays -------------------------------------------------------------------------------------------------

    def configs(self, proxy_id: str | None = None) -> list[RelayConfig]:
        """Of one proxy, or all, by id."""
        return self._ask(lambda connection: questions.configs(connection, proxy_id))

    def config(self, config_id: int) -> RelayConfig:
        """One of them."""
        return self._ask(lambda connection: questions.config(connection, config_id))

    def config_of(self, proxy_id: str, channel_id: str) -> RelayConfig | None:
        """That of a channel; None where it is not relayed."""
        return self._ask(lambda connection: questions.config_of(connection, proxy_id, channel_id))

    def add_config(self, draft: ConfigDraft) -> RelayConfig:
        """Have a channel relayed."""
        record: RelayConfig = self._put_in(lambda connection, now_s: edits.add_config(connection, draft, now_s))
        return record

    def change_config(self, config_id: int, draft: ConfigDraft) -> RelayConfig:
        """All of it anew."""
        record: RelayConfig = self._put_in(lambda connection, now_s: edits.change_config(connection, config_id, draft, now_s))
        return record

    def remove_config(self, config_id: int) -> None:
        """With its status; its events stay as long as all history."""
        self._take_out(lambda connection: edits.remove_config(connection, config_id))

    # -- what runs: any thread, never waits ---------------------------------------------------------------------

    def save_status(self, status: RelayStatus) -> None:
        """What a relay does now; only the newest counts, and that of an unknown one is dropped."""
        self._put(replace(status, error=_redacted(status.error)))

    def add_event(self, config_id: int, kind: str, details: dict[str, Any]) -> RelayEvent:
        """Something happened; gives it with its id."""
        with self._lock:
            if self._ids is None:
                # The newest id cannot be read: the wall clock in milliseconds is greater than any that was counted.
                self._ids = itertools.count(int(self._clock.wall_s() * 1000))
            number = next(self._ids)
        event = RelayEvent(number, config_id, self._clock.wall_s(), kind, _redacted(details))
        self._put(event)
        return event

    def statuses(self) -> dict[int, RelayStatus]:
        """What was written last, by relay."""
        return self._ask(questions.statuses)

    def events(self, config_id: int | None = None, *, before: int | None = None, limit: int = 100) -> list[RelayEvent]:
        """Newest first; `before`: with a smaller id only."""
        return self._ask(lambda connection: questions.events(connection, config_id, before, limit))


def _redacted(value: Any) -> Any:
    """A value fit for JSON, with every URL in its texts redacted."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return value
