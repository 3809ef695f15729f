"""What the configuration says of webhooks and alerts, as plain values. Secrets and targets are never part of a repr."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One address that is sent events. `kinds`, `channels` None: all; `is_private`: its host may have a private address.

    `secret_path`: where the secret was read, None for one of the environment.
    """

    name: str
    url: str = field(repr=False)
    shown_url: str
    secret: str = field(repr=False)
    kinds: frozenset[str] | None = None
    channels: frozenset[str] | None = None
    is_private: bool = False
    timeout_s: float = 10.0
    secret_path: Path | None = None


class Trouble(StrEnum):
    """What an alert may be about."""

    OUTPUT_DOWN = "output_down"
    MANIFEST_STALE = "manifest_stale"
    OUTPUT_FAULTY = "output_faulty"
    CHANNEL_DOWN = "channel_down"
    CHANNEL_FILLER = "channel_filler"
    SOURCE_LOST = "source_lost"
    CLIP_FAILED = "clip_failed"
    PREPARE_BEHIND = "prepare_behind"
    DISK_FULL = "disk_full"
    CPU = "cpu"
    MEMORY = "memory"
    CONFIG_REFUSED = "config_refused"
    ALARM = "alarm"


OF_CHANNELS = frozenset(
    {
        *(Trouble.OUTPUT_DOWN, Trouble.MANIFEST_STALE, Trouble.OUTPUT_FAULTY, Trouble.CHANNEL_DOWN),
        *(Trouble.CHANNEL_FILLER, Trouble.SOURCE_LOST, Trouble.CLIP_FAILED, Trouble.PREPARE_BEHIND),
    }
)
"""These concern a channel, so that a rule may name channels."""

ABOVE_PERCENT = {Trouble.DISK_FULL: 90.0, Trouble.CPU: 90.0, Trouble.MEMORY: 90.0}
"""These have a figure, in percent, and this mark unless the rule names another."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When whom to tell. `for_s`: so long it must last; `above_percent`: more than that, where there is a figure.

    `channels` None: all; `repeat_s`: told again while it lasts, 0 never; `targets` are names.
    """

    name: str
    when: Trouble
    targets: tuple[str, ...]
    for_s: float = 0.0
    above_percent: float | None = None
    channels: frozenset[str] | None = None
    repeat_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Where alerts are sent, as apprise writes it."""

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """All rules and targets. `group_s`: what happens within it goes into one message."""

    targets: tuple[AlertTarget, ...] = ()
    rules: tuple[AlertRule, ...] = ()
    group_s: float = 10.0
