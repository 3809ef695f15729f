"""What a draft must be before it is written: lengths, ranges, names that are free, records that exist.

Rule: reads only; what an argument means to FFmpeg is judged elsewhere, before. Raises EditRefused.
"""

import math
import re
import unicodedata

from sqlalchemy import ColumnElement, Connection, Table, func, select

from channeld.store import relay_questions as questions
from channeld.store.relay_errors import AlreadyTaken, UnknownRecord, UnknownReference, ValueRefused
from channeld.store.relay_records import FALLBACKS, LIFECYCLES, ConfigDraft, ProfileDraft, ProxyDraft, RelayConfig
from channeld.store.schema import channel_relay_configs, relay_proxies

MAX_NAME = 100
MAX_TEXT = 8_192
MAX_DURATION_S = 86_400.0
MAX_SEGMENTS = 10_000
IDLE_S = (5.0, 86_400.0)
REFRESH_S = (60.0, 31 * 86_400.0)
_WORD = re.compile(r"[a-z0-9_]{1,32}")


def check_profile(draft: ProfileDraft) -> None:
    """All fields of a profile."""
    _check_name(draft.name)
    _check_text("description", draft.description)
    _check_text("ffmpeg_args", draft.ffmpeg_args)
    _check_word("output_format", draft.output_format)
    if draft.hardware_acceleration is not None:
        _check_word("hardware_acceleration", draft.hardware_acceleration)
    _check_number("segment_duration", draft.segment_duration, 0.1, MAX_DURATION_S)
    _check_number("max_segments", draft.max_segments, 1, MAX_SEGMENTS)
    _check_number("input_timeout", draft.input_timeout, 0.1, MAX_DURATION_S)


def check_proxy(draft: ProxyDraft) -> None:
    """Name, source and refresh of a proxy."""
    _check_name(draft.name)
    _check_text("source", draft.source)
    if not draft.source.strip() or not draft.source.isprintable():
        raise ValueRefused("source", "write the path or the URL of an M3U list, on one line")
    if draft.refresh_s is not None:
        _check_number("refresh_s", draft.refresh_s, *REFRESH_S)


def check_config(connection: Connection, draft: ConfigDraft, before: RelayConfig | None) -> None:
    """All fields of a relay. What it had `before` may stay: a channel that is missing from its list today, a profile that is inactive."""
    _check_name(draft.name)
    if draft.custom_args is not None:
        _check_text("custom_args", draft.custom_args)
    _check_choice("lifecycle", draft.lifecycle, LIFECYCLES)
    _check_choice("hardware_fallback", draft.hardware_fallback, FALLBACKS)
    if draft.idle_seconds is not None:
        _check_number("idle_seconds", draft.idle_seconds, *IDLE_S)
    if before is None or (before.proxy_id, before.channel_id) != (draft.proxy_id, draft.channel_id):
        _check_channel(connection, draft)
    if before is None or before.profile_id != draft.profile_id:
        try:
            profile = questions.profile(connection, draft.profile_id)
        except UnknownRecord as error:
            raise UnknownReference("profile_id", error.message) from None
        if not profile.is_active:
            raise ValueRefused("profile_id", f"profile {profile.name!r} is inactive. Activate it, or take another one")


def _check_channel(connection: Connection, draft: ConfigDraft) -> None:
    try:
        questions.proxy(connection, draft.proxy_id)
    except UnknownRecord as error:
        raise UnknownReference("proxy_id", error.message) from None
    try:
        questions.channel(connection, draft.proxy_id, draft.channel_id)
    except UnknownRecord as error:
        raise UnknownReference("channel_id", error.message) from None
    other = questions.config_of(connection, draft.proxy_id, draft.channel_id)
    if other is not None:
        raise AlreadyTaken("channel_id", f"this channel is relayed already, by relay {other.id}")


def check_free(connection: Connection, table: Table, column: str, value: str, own_id: int | str | None) -> None:
    """No other row has this value."""
    if not is_free(connection, table, column, value, own_id):
        raise AlreadyTaken(column, f"{value[:MAX_NAME]!r} is taken already. Choose another one")


def is_free(connection: Connection, table: Table, column: str, value: str, own_id: int | str | None = None) -> bool:
    """Whether no other row has this value."""
    found = connection.execute(select(table.c.id).where(table.c[column] == value)).scalar()
    return found is None or found == own_id


def count(connection: Connection, condition: ColumnElement[bool]) -> int:
    """How many relays there are of some kind."""
    return connection.execute(select(func.count()).select_from(channel_relay_configs).where(condition)).scalar() or 0


def made_id(connection: Connection, name: str) -> str:
    """An id for a proxy of this name that is free."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:56].rstrip("-") or "proxy"
    made, number = base, 1
    while not is_free(connection, relay_proxies, "id", made):
        number += 1
        made = f"{base}-{number}"
    return made


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ValueRefused("name", f"write one line of at most {MAX_NAME} characters, without spaces around it")


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueRefused(field, f"longer than {MAX_TEXT} characters")
    if "\0" in text or (not text.isascii() and text != text.encode("utf-8", "replace").decode()):
        raise ValueRefused(field, "it holds a character that is none (NUL, or half of a surrogate pair)")


def _check_word(field: str, word: str) -> None:
    if not _WORD.fullmatch(word):
        raise ValueRefused(field, "write a word of lower-case letters, digits and underscores, at most 32")


def _check_choice(field: str, word: str, choices: tuple[str, ...]) -> None:
    if word not in choices:
        raise ValueRefused(field, f"write {' or '.join(choices)}")


def _check_number(field: str, number: float, least: float, most: float) -> None:
    if not math.isfinite(number) or not least <= number <= most:
        raise ValueRefused(field, f"must be from {least:g} to {most:g}")
