"""Webhooks and alerts of a configuration: names, secrets, and what they refer to.

Rule: as in `config_rules`: every fault is noted at its key, and no message shows a secret; a target of apprise is one as a whole.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from channeld.base.redact import MASK
from channeld.config_model import AlertRuleModel, ConfigModel, WebhookModel
from channeld.config_rules import Findings, check_url, secret_in
from channeld.config_yaml import KeyPath
from channeld.notices.apprise_target import is_target
from channeld.notices.settings import ABOVE_PERCENT, OF_CHANNELS, AlertRule, AlertSettings, AlertTarget, WebhookSettings


def make_webhooks(found: Findings, model: ConfigModel) -> tuple[WebhookSettings, ...]:
    """Every webhook that has no fault of its own."""
    names = _names(found, ("webhooks",), [hook.name for hook in model.webhooks], "webhook")
    hooks = []
    for number, hook in enumerate(model.webhooks):
        here: KeyPath = ("webhooks", number)
        if not _is_refused(found, here):
            hooks.append(_webhook(found, here, names[number], hook, model))
    return tuple(hooks)


def _webhook(found: Findings, here: KeyPath, name: str, hook: WebhookModel, model: ConfigModel) -> WebhookSettings:
    url = found.expand((*here, "url"), hook.url)
    check_url(found, (*here, "url"), url, ("https", "http"))
    secret, secret_path = _secret(found, here, hook)
    return WebhookSettings(
        name,
        url,
        _shown(url),
        secret,
        frozenset(hook.kinds) or None,
        _channels(found, (*here, "channels"), hook.channels, model),
        hook.private,
        hook.timeout_seconds,
        secret_path,
    )


def _shown(url: str) -> str:
    """Scheme and host: the path of many a webhook is its password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or MASK
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return MASK
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}" + (f"/{MASK}" if parts.path.strip("/") or parts.query else "/")


def _secret(found: Findings, here: KeyPath, hook: WebhookModel) -> tuple[str, Path | None]:
    if (hook.secret is None) == (hook.secret_file is None):
        found.fault(here, "a webhook is signed: write exactly one of secret_file: FILE and secret: ${NAME}")
        return MASK, None
    if hook.secret_file is not None:
        key = (*here, "secret_file")
        return secret_in(found, key, found.expand(key, hook.secret_file), "secret")
    key = (*here, "secret")
    if re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", hook.secret or "") is None:
        found.fault(key, "a secret has no place in this file. Write secret_file: FILE, or ${NAME} for an environment variable")
        return MASK, None
    return found.expand(key, hook.secret or "") or MASK, None


def make_alerts(found: Findings, model: ConfigModel) -> AlertSettings:
    """Targets and rules."""
    alerts = model.alerts
    names = _names(found, ("alerts", "targets"), [target.name for target in alerts.targets], "target")
    targets = []
    for number, target in enumerate(alerts.targets):
        key: KeyPath = ("alerts", "targets", number)
        if _is_refused(found, key):
            continue
        url = found.expand((*key, "url"), target.url)
        if url and not is_target(url):
            found.fault(key, "apprise knows no such target. Write its URL as https://github.com/caronc/apprise/wiki says, or ${NAME}")
        targets.append(AlertTarget(names[number], url))
    written = [rule.name or rule.when.value for rule in alerts.rules]
    rule_names = _names(found, ("alerts", "rules"), [rule.name for rule in alerts.rules], "", written)
    rules = [
        _rule(found, ("alerts", "rules", number), rule_names[number], rule, names, model)
        for number, rule in enumerate(alerts.rules)
        if not _is_refused(found, ("alerts", "rules", number))
    ]
    return AlertSettings(tuple(targets), tuple(rules), alerts.group_seconds)


def _rule(found: Findings, here: KeyPath, name: str, rule: AlertRuleModel, targets: list[str], model: ConfigModel) -> AlertRule:
    if rule.above is not None and rule.when not in ABOVE_PERCENT:
        usable = ", ".join(ABOVE_PERCENT)
        found.fault((*here, "above"), f"{rule.when.value} has no figure. Remove the key; it belongs to {usable}")
    if rule.channels and rule.when not in OF_CHANNELS:
        found.fault((*here, "channels"), f"{rule.when.value} concerns the whole daemon. Remove the key")
    for number, target in enumerate(rule.targets):
        if target not in targets:
            usable = ", ".join(targets) or "none yet: add it under alerts.targets"
            found.fault((*here, "targets", number), f"there is no target {target!r}. There are {usable}")
    if not targets:
        found.fault(here, "nobody is told. Add a target under alerts.targets")
    channels = _channels(found, (*here, "channels"), rule.channels, model)
    return AlertRule(name, rule.when, tuple(rule.targets or targets), rule.for_seconds, rule.above, channels, rule.repeat_seconds)


def _channels(found: Findings, key: KeyPath, channels: Iterable[str], model: ConfigModel) -> frozenset[str] | None:
    """Those named; None for all."""
    for number, channel in enumerate(channels):
        if channel not in model.channels and ("channels", channel) not in found.refused and not _is_refused(found, (*key, number)):
            found.fault((*key, number), f"there is no channel {channel!r}. There are {', '.join(model.channels)}")
    return frozenset(channels) or None


def _names(found: Findings, key: KeyPath, given: list[str | None], kind: str, bases: list[str] | None = None) -> list[str]:
    """Names as written; one without is named for its kind, then `kind-2` and so on."""
    taken: set[str] = set()
    for number, name in enumerate(given):
        if name in taken:
            found.fault((*key, number, "name"), f"another one is named {name!r}. Choose another name")
        taken |= {name} if name else set()
    names: list[str] = []
    for number, name in enumerate(given):
        base = bases[number] if bases else kind
        free = (base if count == 1 else f"{base}-{count}" for count in range(1, len(given) + len(taken) + 2))
        names.append(name or next(each for each in free if each not in taken))
        taken.add(names[-1])
    return names


def _is_refused(found: Findings, key: KeyPath) -> bool:
    """It, or a part of it, was refused: what stands in its place is not the user's."""
    return any(known[: len(key)] == key for known in found.refused)
