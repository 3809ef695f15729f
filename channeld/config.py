"""The configuration file: YAML in, checked plain values out, or every error at once.

Rule: nothing is started from a file with a fault; each fault names its line, its key and what to do.
Run by the daemon at start and reload, and by `channeld check`.
"""

import copy
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from channeld.base.errors import ConfigError
from channeld.base.redact import redact_text
from channeld.config_model import AttachModel, ConfigModel, MediaModel, key_patterns, section_at
from channeld.config_notices import make_alerts, make_webhooks
from channeld.config_rules import Findings, make_channels, make_database, make_profiles, make_tls
from channeld.config_told import told_settings
from channeld.config_values import (
    AdminSpec,
    AttachSpec,
    Config,
    DiskSpec,
    FolderSpec,
    HistorySpec,
    LogSpec,
    MediaSpec,
    PrepareSpec,
    RelaySpec,
    UploadSpec,
    UrlRules,
    WatchSpec,
    Whereabouts,
)
from channeld.config_yaml import MAX_BYTES, KeyPath, PlacedError, key_text, parse

DEFAULT_PATHS = (Path("channeld.yaml"), Path("/etc/channeld/channeld.yaml"))

_MESSAGES = {
    "missing": "the key is missing. Add it",
    "model_type": "keys and values belong here. Write `key: value`, or remove the key",
    "model_attributes_type": "keys and values belong here. Write `key: value`, or remove the key",
    "dict_type": "keys and values belong here. Write `key: value`",
    "list_type": "a list belongs here. Write `[a, b]`, or one `- item` per line",
    "string_type": "a text belongs here. Write one value",
    "int_type": "a whole number belongs here. Write digits only",
    "int_parsing": "a whole number belongs here. Write digits only",
    "int_from_float": "a whole number belongs here. Write digits only",
    "float_type": "a number belongs here. Write digits, such as 4 or 2.5",
    "float_parsing": "a number belongs here. Write digits, such as 4 or 2.5",
    "finite_number": "a number belongs here. Write digits, such as 4 or 2.5",
    "bool_type": "true or false belongs here",
    "bool_parsing": "true or false belongs here",
    "greater_than": "too small. Write more than {gt}",
    "greater_than_equal": "too small. Write {ge} or more",
    "less_than_equal": "too large. Write {le} or less",
    "less_than": "too large. Write less than {lt}",
}

# What takes a refused list item's place while the other keys are checked: it must pass every rule.
_STAND_INS: dict[str, Any] = {
    "outputs": {"rtmp": {"url": "rtmp://refused/output", "enabled": "false"}},
    "sources": {"pattern": "true"},
    "schedule": {"at": "00:00", "text": "refused", "once": "true"},
    "days": "mon",
    "media_roots": ".",
    "allowed_hosts": "localhost",
    "schemes": "https",
    "webhooks": {"url": "https://refused/"},
    "kinds": "alarm",
    "channels": "refused",
    "targets": "refused",
    "rules": {"when": "alarm"},
}


class ConfigErrors(ConfigError):
    """Every fault of a configuration, in the order of its lines."""

    def __init__(self, errors: list[PlacedError]) -> None:
        self.errors: list[PlacedError] = sorted(errors, key=lambda error: (error.line or 0, error.column or 0))
        super().__init__("\n".join(map(str, self.errors)), path=self.errors[0].path, line=self.errors[0].line, key=self.errors[0].key)


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file to read when none is named: `$CHANNELD_CONFIG`, else the first default that exists. Raises ConfigError."""
    if named := environ.get("CHANNELD_CONFIG"):
        return Path(named)
    for path in DEFAULT_PATHS:
        if path.exists():
            return path
    places = " or ".join(map(str, DEFAULT_PATHS))
    raise ConfigError(f"no configuration file. Write {places}, name one with --config, or set CHANNELD_CONFIG")


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration file. Raises ConfigErrors with every fault in it."""
    return parse_config(_read(path), path, environ)


def load_whereabouts(path: Path) -> Whereabouts:
    """What a client of the daemon needs of a configuration file. Raises ConfigErrors for faults of these keys only.

    All else is for the daemon to judge: secrets that only it is given, and keys of a file that is just being edited.
    """
    tree = parse(_read(path), path)
    if tree.values is None and tree.errors:
        raise ConfigErrors(tree.errors)
    values = tree.values if isinstance(tree.values, dict) else {}
    # The model wants a channel; this one is looked at by nobody.
    tree.values = {key: values[key] for key in ("admin", "media", "state_dir", "runtime_dir") if key in values} | {"channels": {"any": {}}}
    found = Findings(path, tree, {})
    model = _validate(found)
    where = None
    if model is not None:
        folders = found.absolute(model.state_dir), found.absolute(model.runtime_dir)
        where = Whereabouts(_make_admin(found, model), *folders, _make_media(found, model.media))
    if found.errors or where is None:
        raise ConfigErrors(found.errors)
    return where


def _read(path: Path) -> bytes:
    """The file's bytes, one more than it may have. Raises ConfigErrors."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigErrors([PlacedError(f"cannot be read: {reason}. Name another file with --config", path=path)]) from None


def parse_config(raw: bytes, path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Check a configuration's text as if it stood in `path`. Raises ConfigErrors."""
    tree = parse(raw, path)
    if tree.values is None and tree.errors:
        raise ConfigErrors(tree.errors)
    found = Findings(path, tree, environ, errors=list(tree.errors))
    model = _validate(found)
    config = None if model is None else _make(found, model)
    if found.errors or config is None:
        raise ConfigErrors(found.errors)
    return config


def _validate(found: Findings) -> ConfigModel | None:
    """Check key by key; a faulty key is told and taken out, so that the rules between the others are checked too."""
    values = copy.deepcopy(found.tree.values)
    refused: set[KeyPath] = set()
    for _ in range(8):  # taking out a key may reveal that its parent is now incomplete, one level at a time
        try:
            model = ConfigModel.model_validate(values)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        else:
            found.refused = frozenset(refused)
            return model
        for fault in faults:
            key = tuple(part for part in fault["loc"] if part != "[key]")
            if not any(key[: len(known)] == known or known[: len(key)] == key for known in refused):
                found.errors.append(_placed(found, key, fault))
            refused.add(key)
            # What misses a key goes as a whole.
            _take_out(values, key[:-1] if fault["type"] == "missing" else key)
    return None


def _take_out(values: Any, key: KeyPath) -> None:
    """Remove the value at a key path, if it is still there."""
    here: Any = {None: values}
    parent: Any = None
    last: Any = None
    for part in (None, *key):
        present = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int) and part < len(here)
        if not present:
            return
        parent, here, last = here, here[part], part
    # A list keeps its length, or the places of its later items would be wrong.
    if isinstance(parent, list):
        parent[last] = copy.deepcopy(_STAND_INS[str(key[-2])])
    elif last is not None:
        del parent[last]


def _placed(found: Findings, key: KeyPath, fault: Any) -> PlacedError:
    tree = found.tree
    kind, context = fault["type"], fault.get("ctx", {})
    place = tree.key_place(key) if kind == "extra_forbidden" or "[key]" in fault["loc"] else tree.value_place(key)
    if kind == "extra_forbidden":
        message = _unknown_key(key)
    elif kind == "enum":
        message = _unknown_value(fault["input"], re.findall(r"'([^']*)'", context["expected"]))
    elif kind == "value_error":
        message = str(context["error"])
    elif kind == "missing" and key == ("channels",):
        message = "the key is missing. Add `channels:` with at least one channel below it"
    else:
        message = _MESSAGES.get(kind, fault["msg"]).format(**context)
    return PlacedError(redact_text(message), path=found.path, place=place, key=redact_text(key_text(key)) or None)


def _nearest(word: str, valid: list[str]) -> str | None:
    close = difflib.get_close_matches(word.lower().replace("-", "_"), valid, n=1, cutoff=0.6)
    return close[0] if close else None


def _unknown_key(key: KeyPath) -> str:
    """Say what was meant: a near key of this section, else a section that has such a key, else what is valid here."""
    section = section_at(key[:-1])
    valid = list(section.model_fields) if section else []
    word = str(key[-1])
    if nearest := _nearest(word, valid):
        return f"unknown key. Did you mean `{nearest}`?"
    homes = [pattern for pattern in key_patterns() if re.split(r"[.\]]+", pattern)[-1] == word]
    if homes:
        return f"unknown key here. It belongs to {' or '.join(homes[:3])}"
    return f"unknown key. Valid here: {', '.join(valid)}"


def _unknown_value(value: Any, valid: list[str]) -> str:
    nearest = _nearest(value, valid) if isinstance(value, str) else None
    shown = f"{value[:40]!r} is unknown. " if isinstance(value, str) else ""
    return f"{shown}Did you mean `{nearest}`?" if nearest else f"{shown}Write one of {', '.join(valid)}"


def _make_admin(found: Findings, model: ConfigModel) -> AdminSpec:
    admin = model.admin
    return AdminSpec(admin.listen, make_tls(found, admin.tls), tuple(admin.allowed_hosts), admin.event_readers)


def _make_media(found: Findings, media: MediaModel) -> MediaSpec:
    limits = media.max_clients_per_channel, media.max_clients_per_address, media.stale_seconds
    geoip = found.absolute(media.geoip) if media.geoip is not None else None
    return MediaSpec(media.listen, media.workers, media.access, make_tls(found, media.tls), *limits, geoip)


def _make_attach(attach: AttachModel) -> AttachSpec:
    half = -(-attach.max_readers // 2)
    return AttachSpec(attach.enabled, attach.group, attach.max_readers, attach.max_readers_per_user or half)


def _make(found: Findings, model: ConfigModel) -> Config:
    prepare, relay = model.prepare, model.relay
    return Config(
        path=found.path.absolute(),
        folders=FolderSpec(
            found.absolute(model.state_dir), found.absolute(model.runtime_dir), found.absolute(model.hls_dir), model.hls_max_bytes
        ),
        hosts=model.hosts,
        admin=_make_admin(found, model),
        media=_make_media(found, model.media),
        url_rules=UrlRules(tuple(model.url_allow.schemes), model.url_allow.private),
        prepare=PrepareSpec(prepare.jobs, prepare.cache_max_bytes, prepare.tolerance.min_duration, prepare.tolerance.max_errors),
        relay=RelaySpec(
            relay.enabled,
            relay.max_concurrent_processes,
            relay.cleanup_interval_seconds,
            relay.default_timeout_seconds,
            None if relay.temp_directory is None else found.absolute(relay.temp_directory),
        ),
        log=LogSpec(model.log.level, model.log.format, None if model.log.file is None else found.absolute(model.log.file)),
        default_profile=model.defaults.profile,
        profiles=make_profiles(found, model),
        channels=make_channels(found, model),
        disk=DiskSpec(model.disk.low, model.disk.critical),
        uploads=UploadSpec(model.uploads.enabled, model.uploads.max_bytes, model.uploads.expire_hours * 3600),
        watch=WatchSpec(model.watch.enabled, model.watch.cpu_budget, model.watch.timeout_seconds, model.watch.recover_after_seconds),
        reload_on_change=model.reload_on_change,
        database=None if model.database is None else make_database(found, model.database),
        history=HistorySpec(model.history.event_days, model.history.as_run_days, model.history.audience_days),
        webhooks=make_webhooks(found, model),
        alerts=make_alerts(found, model),
        attach=_make_attach(model.attach),
        told=told_settings(model, found.tree),
    )


__all__ = ["Config", "ConfigErrors", "Whereabouts", "default_path", "load", "load_whereabouts", "parse_config"]
