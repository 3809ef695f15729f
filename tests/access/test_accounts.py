"""Tokens and sessions: who is known, for how long, and what is kept of it."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from channeld.access.accounts import ADMIN_NAME, SAVE_EVERY_S, Accounts, NameTaken, TooManyTokens, ViewerKey
from channeld.access.book import BookError
from channeld.access.roles import Role
from channeld.access.secret import digest_of
from channeld.access.sessions import ABSOLUTE_S, IDLE_S, MAX_PER_TOKEN, MAX_SESSIONS
from channeld.access.tokens import MAX_TOKENS

ADMIN = "the-token-of-the-file"


class Clock:
    """Seconds since 1970 that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock, events: list[dict[str, Any]]) -> Accounts:
    return Accounts(tmp_path, ADMIN, publish=lambda kind, **facts: events.append({"kind": kind, **facts}), clock_s=clock)


def signed_in(accounts: Accounts, token: str = ADMIN) -> str:
    opened = accounts.sign_in(token)
    assert opened is not None
    return opened[0]


def test_the_files_token_is_an_admin_and_others_are_nobody(accounts: Accounts) -> None:
    identity = accounts.by_token(ADMIN)
    assert identity is not None and (identity.name, identity.role, identity.expires_at_s) == (ADMIN_NAME, Role.ADMIN, None)
    for other in ("", ADMIN[:-1], ADMIN + "x", "\udcff", digest_of(ADMIN)):
        assert accounts.by_token(other) is None


def test_only_digests_are_kept_and_only_for_the_owner(accounts: Accounts, tmp_path: Path) -> None:
    token, _ = accounts.add("wall", Role.VIEWER, None, by="test")
    opened = accounts.sign_in(token)
    assert opened is not None
    secret, identity = opened
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.json", "sessions.json"}
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for hidden in (token, secret, ADMIN, identity.csrf, identity.media_token):
            assert str(hidden) not in path.read_text()


def test_tokens_and_sessions_are_known_to_the_next_daemon(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    token, made = accounts.add("wall", Role.OPERATOR, clock.now_s + 3600, by="test")
    secret = signed_in(accounts, token)
    later = Accounts(tmp_path, ADMIN, clock_s=clock)
    identity = later.by_token(token)
    assert identity is not None and (identity.name, identity.role, identity.expires_at_s) == ("wall", Role.OPERATOR, made.expires_at_s)
    assert later.by_session(secret) == accounts.by_session(secret)


def test_a_token_ends_with_its_time_and_its_sessions_with_it(accounts: Accounts, clock: Clock) -> None:
    token, _ = accounts.add("guest", Role.VIEWER, clock.now_s + 60, by="test")
    secret = signed_in(accounts, token)
    identity = accounts.by_session(secret)
    assert identity is not None and identity.expires_at_s == clock.now_s + 60
    clock.now_s += 60
    assert accounts.by_token(token) is None and accounts.by_session(secret) is None and not accounts.stands(identity)
    assert accounts.sign_in(token) is None


def test_a_session_ends_when_it_is_not_used(accounts: Accounts, clock: Clock) -> None:
    secret = signed_in(accounts)
    for _ in range(3):
        clock.now_s += IDLE_S - 1
        assert accounts.by_session(secret) is not None
    clock.now_s += IDLE_S
    assert accounts.by_session(secret) is None


def test_a_session_ends_however_it_is_used(accounts: Accounts, clock: Clock) -> None:
    secret, begun_s = signed_in(accounts), clock.now_s
    while clock.now_s + IDLE_S / 2 < begun_s + ABSOLUTE_S:
        clock.now_s += IDLE_S / 2
        assert accounts.by_session(secret) is not None
    clock.now_s = begun_s + ABSOLUTE_S
    assert accounts.by_session(secret) is None


def test_signing_out_and_revoking_end_what_stands_on_it(accounts: Accounts, events: list[dict[str, Any]]) -> None:
    token, _ = accounts.add("desk", Role.OPERATOR, None, by="boss")
    first, second = signed_in(accounts, token), signed_in(accounts, token)
    identity, other = accounts.by_session(first), accounts.by_session(second)
    assert identity is not None and other is not None
    accounts.sign_out(identity)
    assert accounts.by_session(first) is None and not accounts.stands(identity) and accounts.stands(other)
    assert accounts.revoke("desk", by="boss") == 1
    assert accounts.by_session(second) is None and accounts.by_token(token) is None and not accounts.stands(other)
    assert accounts.revoke("desk", by="boss") is None
    assert [event["kind"] for event in events] == ["token_added", "signed_in", "signed_in", "signed_out", "token_revoked"]
    assert token not in str(events) and first not in str(events)


def test_a_new_token_of_an_old_name_does_not_bring_back_old_sessions(accounts: Accounts) -> None:
    secret = signed_in(accounts, accounts.add("desk", Role.ADMIN, None, by="test")[0])
    accounts.revoke("desk", by="test")
    accounts.add("desk", Role.ADMIN, None, by="test")
    assert accounts.by_session(secret) is None


def test_the_tables_are_bounded(accounts: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    first = signed_in(accounts)
    clock.now_s += 1
    for _ in range(MAX_PER_TOKEN):
        signed_in(accounts)
    assert accounts.by_session(first) is None
    assert accounts.described()[0]["sessions"] == MAX_PER_TOKEN <= MAX_SESSIONS
    for number in range(MAX_TOKENS):
        accounts.add(f"t{number}", Role.VIEWER, None, by="test")
    with pytest.raises(TooManyTokens):
        accounts.add("more", Role.VIEWER, None, by="test")


def test_names_are_unique_and_admin_is_taken(accounts: Accounts) -> None:
    accounts.add("wall", Role.VIEWER, None, by="test")
    for name in ("wall", ADMIN_NAME):
        with pytest.raises(NameTaken):
            accounts.add(name, Role.VIEWER, None, by="test")


def test_a_token_that_cannot_be_written_is_none(accounts: Accounts, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(BookError, match=r"tokens\.json cannot be written"):
        accounts.add("wall", Role.VIEWER, None, by="test")
    assert [row["name"] for row in accounts.described()] == [ADMIN_NAME]
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.json"]


def test_a_revocation_that_cannot_be_written_counts_and_is_told(accounts: Accounts, tmp_path: Path) -> None:
    token, _ = accounts.add("wall", Role.VIEWER, None, by="test")
    (tmp_path / "tokens.json").unlink()
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(BookError):
        accounts.revoke("wall", by="test")
    assert accounts.by_token(token) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"version": 2, "rows": []}',
        b'{"version": 1, "rows": [1]}',
        b'{"version": 1, "rows": [{"name": "../x", "role": "admin", "digest": "0", "created_at_s": 1, "expires_at_s": null}]}',
        json.dumps({"version": 1, "rows": [{"name": "x", "role": "root", "digest": "0" * 64, "created_at_s": 1}]}).encode(),
        b"[" * 100_000,
    ],
    ids=range(8),
)
def test_a_file_that_cannot_be_read_opens_nothing_and_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokens.json").write_bytes(content)
    accounts = Accounts(tmp_path, ADMIN)
    assert len(accounts.described()) == 1 and accounts.by_token(ADMIN) is not None
    assert (tmp_path / "tokens.json.refused").read_bytes() == content
    accounts.add("wall", Role.VIEWER, None, by="test")
    assert len(Accounts(tmp_path, ADMIN).described()) == 2


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change_is_not_believed(accounts: Accounts, tmp_path: Path, mode: int) -> None:
    token, _ = accounts.add("wall", Role.VIEWER, None, by="test")
    (tmp_path / "tokens.json").chmod(mode)
    assert Accounts(tmp_path, ADMIN).by_token(token) is None


def test_a_link_is_not_followed(accounts: Accounts, tmp_path: Path) -> None:
    token, _ = accounts.add("wall", Role.VIEWER, None, by="test")
    (tmp_path / "tokens.json").rename(tmp_path / "elsewhere")
    (tmp_path / "tokens.json").symlink_to("elsewhere")
    assert Accounts(tmp_path, ADMIN).by_token(token) is None


def test_the_media_listener_is_told_what_opens_it(accounts: Accounts, clock: Clock) -> None:
    told: list[tuple[ViewerKey, ...]] = []
    accounts.follow(told.append)
    assert told == [(ViewerKey(digest_of(ADMIN), None),)]
    token, _ = accounts.add("wall", Role.VIEWER, clock.now_s + 60, by="test")
    assert told[-1][1:] == (ViewerKey(digest_of(token), clock.now_s + 60),)
    opened = accounts.sign_in(token)
    assert opened is not None and opened[1].media_token is not None
    assert told[-1][2:] == (ViewerKey(digest_of(opened[1].media_token), clock.now_s + 60),)
    accounts.revoke("wall", by="test")
    assert told[-1] == told[0]


def test_the_time_of_last_use_is_written_now_and_then(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    token, _ = accounts.add("wall", Role.VIEWER, None, by="test")
    clock.now_s += SAVE_EVERY_S - 1
    assert not accounts.is_due
    clock.now_s += 1
    assert accounts.by_token(token) is not None and accounts.is_due
    accounts.save()
    assert not accounts.is_due
    assert Accounts(tmp_path, ADMIN).described()[1]["used_at_s"] == clock.now_s


def test_what_many_change_at_once_is_all_in_the_file(accounts: Accounts, tmp_path: Path) -> None:
    def work(number: int) -> None:
        accounts.add(f"t{number}", Role.VIEWER, None, by="test")
        if number % 2:
            accounts.revoke(f"t{number}", by="test")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {row["name"] for row in Accounts(tmp_path, ADMIN).described()}
    assert names == {ADMIN_NAME, *(f"t{number}" for number in range(0, 16, 2))}
