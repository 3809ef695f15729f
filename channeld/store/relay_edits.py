"""What people change of profiles, proxies and relays, inside of the writer's transaction.

Rule: everything is checked before anything is written, so that an error names its field; there is one writer, so what was checked stays so.
Raises EditRefused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, update

from channeld.base.redact import redact_text
from channeld.store import relay_questions as questions
from channeld.store.relay_checks import MAX_TEXT, check_config, check_free, check_profile, check_proxy, count, is_free, made_id
from channeld.store.relay_errors import ReadOnlyRecord, StillUsed, ValueRefused
from channeld.store.relay_records import (
    ChannelChanges,
    ConfigDraft,
    ProfileDraft,
    ProxyChannel,
    ProxyDraft,
    RelayConfig,
    RelayProfile,
    RelayProxy,
)
from channeld.store.rows import replace_rows
from channeld.store.schema import channel_relay_configs, relay_profiles, relay_proxies, relay_proxy_channels


def add_profile(connection: Connection, draft: ProfileDraft, now_s: float, *, is_system: bool = False) -> RelayProfile:
    """A new profile."""
    check_profile(draft)
    check_free(connection, relay_profiles, "name", draft.name, None)
    row = {**asdict(draft), "is_system_default": is_system, "created_at_s": now_s, "updated_at_s": now_s}
    return questions.profile(connection, _inserted(connection, relay_profiles, row))


def change_profile(connection: Connection, profile_id: int, draft: ProfileDraft, now_s: float) -> RelayProfile:
    """All of a profile anew."""
    if questions.profile(connection, profile_id).is_system_default:
        raise ReadOnlyRecord("id", "this profile comes with channeld and cannot be changed. Make a copy of it")
    check_profile(draft)
    check_free(connection, relay_profiles, "name", draft.name, profile_id)
    row = {**asdict(draft), "updated_at_s": now_s}
    connection.execute(update(relay_profiles).where(relay_profiles.c.id == profile_id).values(row))
    return questions.profile(connection, profile_id)


def remove_profile(connection: Connection, profile_id: int) -> RelayProfile:
    """A profile that no relay uses."""
    found = questions.profile(connection, profile_id)
    if found.is_system_default:
        raise ReadOnlyRecord("id", "this profile comes with channeld and cannot be removed")
    if users := count(connection, channel_relay_configs.c.profile_id == profile_id):
        raise StillUsed("id", f"{users} relays use this profile. Give them another one first")
    connection.execute(delete(relay_profiles).where(relay_profiles.c.id == profile_id))
    return found


def keep_system_profiles(
    connection: Connection, drafts: Sequence[ProfileDraft], now_s: float
) -> tuple[list[RelayProfile], list[RelayProfile]]:
    """Make the system profiles these, known by name; gives them, and what was removed.

    One that is no system profile any more, yet used by relays, becomes a person's own.
    """
    before = {each.name: each for each in questions.profiles(connection) if each.is_system_default}
    kept: list[RelayProfile] = []
    for draft in drafts:
        check_profile(draft)
        old = before.pop(draft.name, None)
        if old is None:
            free = draft if is_free(connection, relay_profiles, "name", draft.name) else replace(draft, name=f"{draft.name} (system)")
            old = before.pop(free.name, None) or add_profile(connection, free, now_s, is_system=True)
            draft = free
        if any(getattr(old, name) != value for name, value in asdict(draft).items()):
            row = {**asdict(draft), "updated_at_s": now_s}
            connection.execute(update(relay_profiles).where(relay_profiles.c.id == old.id).values(row))
        kept.append(questions.profile(connection, old.id))
    removed: list[RelayProfile] = []
    for old in before.values():
        if count(connection, channel_relay_configs.c.profile_id == old.id):
            connection.execute(update(relay_profiles).where(relay_profiles.c.id == old.id).values(is_system_default=False))
            kept.append(questions.profile(connection, old.id))
        else:
            connection.execute(delete(relay_profiles).where(relay_profiles.c.id == old.id))
            removed.append(old)
    return kept, removed


def add_proxy(connection: Connection, draft: ProxyDraft, now_s: float) -> RelayProxy:
    """A new proxy, without channels yet."""
    check_proxy(draft)
    proxy_id = draft.id if draft.id is not None else made_id(connection, draft.name)
    if not questions.SLUG.fullmatch(proxy_id):
        raise ValueRefused("id", "write lower-case letters and digits, with single hyphens between, at most 64 characters")
    check_free(connection, relay_proxies, "id", proxy_id, None)
    check_free(connection, relay_proxies, "name", draft.name, None)
    row = {**asdict(draft), "id": proxy_id, "created_at_s": now_s, "updated_at_s": now_s}
    connection.execute(insert(relay_proxies).values(row))
    return questions.proxy(connection, proxy_id)


def change_proxy(connection: Connection, proxy_id: str, draft: ProxyDraft, now_s: float) -> RelayProxy:
    """Another name, source or refresh. Its id stays, and so do its channels until the list was fetched."""
    before = questions.proxy(connection, proxy_id)
    check_proxy(draft)
    if draft.id not in (None, proxy_id):
        raise ValueRefused("id", "the id of a proxy cannot be changed: addresses are made of it")
    check_free(connection, relay_proxies, "name", draft.name, proxy_id)
    row = {"name": draft.name, "source": draft.source, "refresh_s": draft.refresh_s, "updated_at_s": now_s}
    if draft.source != before.source:
        row |= {"fetched_at_s": None, "last_error": None}
    return _changed_proxy(connection, proxy_id, row)


def remove_proxy(connection: Connection, proxy_id: str) -> RelayProxy:
    """A proxy without relays, and its channels."""
    found = questions.proxy(connection, proxy_id)
    if users := count(connection, channel_relay_configs.c.proxy_id == proxy_id):
        raise StillUsed("id", f"{users} of its channels are relayed. Remove these relays first")
    connection.execute(delete(relay_proxies).where(relay_proxies.c.id == proxy_id))
    return found


def note_failure(connection: Connection, proxy_id: str, error: str) -> RelayProxy:
    """Its list could not be fetched or understood."""
    return _changed_proxy(connection, questions.proxy(connection, proxy_id).id, {"last_error": redact_text(error)[:MAX_TEXT]})


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """What is to be written so that a proxy has other channels. `of_s`: when those were fetched that it begins with."""

    of_s: float | None
    fresh: list[ProxyChannel]
    unlisted: list[ProxyChannel]
    gone: list[str]
    added: int


def plan_channels(connection: Connection, proxy_id: str, channels: Iterable[ProxyChannel]) -> ChannelPlan:
    """Only what differs. Reads; to be made beforehand, for a long list takes long."""
    of_s = questions.proxy(connection, proxy_id).fetched_at_s
    before = {each.channel_id: each for each in questions.channels(connection, proxy_id, questions.ChannelFilter(), None)}
    wanted = {each.channel_id: each for each in channels}
    if any(each.proxy_id != proxy_id or not questions.SLUG.fullmatch(each.channel_id) for each in wanted.values()):
        raise ValueRefused("channel_id", "a channel is of another proxy, or its id is none")
    fresh = [each for each in wanted.values() if before.get(each.channel_id) != each]
    added = sum(each.channel_id not in before for each in fresh)
    relayed = _relayed(connection, proxy_id)
    missing = [each for each in before.values() if each.channel_id not in wanted]
    unlisted = [replace(each, is_listed=False) for each in missing if each.channel_id in relayed and each.is_listed]
    gone = [each.channel_id for each in missing if each.channel_id not in relayed]
    return ChannelPlan(of_s, fresh, unlisted, gone, added)


def _relayed(connection: Connection, proxy_id: str) -> set[str]:
    """Channels of a proxy that are relayed: what a relay needs of them must not go with a list that was cut short once."""
    return {each.channel_id for each in questions.configs(connection, proxy_id)}


def replace_channels(
    connection: Connection, proxy_id: str, channels: Iterable[ProxyChannel], fetched_at_s: float, plan: ChannelPlan
) -> tuple[RelayProxy, ChannelChanges]:
    """The channels of a newer list in place of all others, by a plan that is made anew if it is out of date."""
    if questions.proxy(connection, proxy_id).fetched_at_s != plan.of_s or not _relayed(connection, proxy_id).isdisjoint(plan.gone):
        plan = plan_channels(connection, proxy_id, channels)
    columns = relay_proxy_channels.c
    if plan.gone:
        one = (columns.proxy_id == proxy_id) & (columns.channel_id == bindparam("gone"))
        connection.execute(delete(relay_proxy_channels).where(one), [{"gone": channel_id} for channel_id in plan.gone])
    if written := plan.fresh + plan.unlisted:
        # Not asdict: it copies every value, and there may be 50,000 rows.
        names = relay_proxy_channels.columns.keys()
        replace_rows(connection, relay_proxy_channels, [{name: getattr(each, name) for name in names} for each in written])
    proxy = _changed_proxy(connection, proxy_id, {"fetched_at_s": fetched_at_s, "last_error": None})
    return proxy, ChannelChanges(plan.added, len(plan.fresh) - plan.added, len(plan.gone) + len(plan.unlisted))


def add_config(connection: Connection, draft: ConfigDraft, now_s: float) -> RelayConfig:
    """A new relay of a channel that is in its proxy's list."""
    check_config(connection, draft, None)
    row = {**asdict(draft), "created_at_s": now_s, "updated_at_s": now_s}
    return questions.config(connection, _inserted(connection, channel_relay_configs, row))


def change_config(connection: Connection, config_id: int, draft: ConfigDraft, now_s: float) -> RelayConfig:
    """All of a relay anew."""
    check_config(connection, draft, questions.config(connection, config_id))
    row = {**asdict(draft), "updated_at_s": now_s}
    connection.execute(update(channel_relay_configs).where(channel_relay_configs.c.id == config_id).values(row))
    return questions.config(connection, config_id)


def remove_config(connection: Connection, config_id: int) -> RelayConfig:
    """A relay and its status. Its events are history."""
    found = questions.config(connection, config_id)
    connection.execute(delete(channel_relay_configs).where(channel_relay_configs.c.id == config_id))
    return found


def _inserted(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Write a new row; gives its id."""
    key = connection.execute(insert(table).values(**row)).inserted_primary_key
    return int(key[0]) if key is not None else 0


def _changed_proxy(connection: Connection, proxy_id: str, row: Mapping[str, Any]) -> RelayProxy:
    connection.execute(update(relay_proxies).where(relay_proxies.c.id == proxy_id).values(**row))
    return questions.proxy(connection, proxy_id)
