"""The live sources of a channel: names, addresses, and what may stand in them.

Rule: whoever writes the configuration may name any host; the scheme has to be one that FFmpeg may open for us. No message shows a URL.
Run by `config_rules`.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from channeld.base.redact import redact_url
from channeld.channel.settings import SourceSettings
from channeld.config_model import ChannelModel, SourceModel
from channeld.config_values import FailoverSpec
from channeld.config_yaml import KeyPath
from channeld.media.live_input import PATTERN
from channeld.media.picture_rules import PictureRules
from channeld.media.whitelist import LIVE_PROTOCOLS

if TYPE_CHECKING:
    from channeld.config_rules import Findings


def make_sources(found: "Findings", here: KeyPath, channel: ChannelModel) -> tuple[SourceSettings, ...]:
    """Every source, in order, each with a name of its own."""
    names = _names(found, here, channel.sources)
    return tuple(_source(found, (*here, "sources", number), name, model) for number, (name, model) in enumerate(names))


def _names(found: "Findings", here: KeyPath, models: list[SourceModel]) -> list[tuple[str, SourceModel]]:
    """As written; a source without one is `source`, then `source-2` and so on."""
    taken: set[str] = set()
    for number, model in enumerate(models):
        if model.name in taken:
            found.fault((*here, "sources", number, "name"), f"another source of this channel is named {model.name!r}. Choose another name")
        taken |= {model.name} if model.name else set()
    named = []
    for model in models:
        free = ("source" if number == 1 else f"source-{number}" for number in range(1, 2 * len(models) + 2))
        named.append((model.name or next(name for name in free if name not in taken), model))
        taken.add(named[-1][0])
    return named


def _source(found: "Findings", place: KeyPath, name: str, model: SourceModel) -> SourceSettings:
    if model.pattern:
        return SourceSettings(name, model.title or "Test pattern", PATTERN, PATTERN)
    url = found.expand((*place, "url"), model.url or "")
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in LIVE_PROTOCOLS and bool(parts.hostname or parts.netloc.startswith("@")) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        schemes = ", ".join(sorted(LIVE_PROTOCOLS))
        found.fault((*place, "url"), f"not a usable source. Write scheme://host/path without spaces; the schemes are {schemes}")
        return SourceSettings(name, model.title or name, PATTERN, PATTERN)
    timeout_s = model.timeout_seconds
    return SourceSettings(name, model.title or name, url, redact_url(url), model.transport, model.mode, timeout_s)


def failover_of(found: "Findings", here: KeyPath, channel: ChannelModel) -> FailoverSpec:
    """When one source gives way to another; what is only copied cannot be looked at."""
    said = channel.failover
    picture = PictureRules(said.frozen_seconds, said.black_seconds, said.silent_seconds)
    for number, source in enumerate(channel.sources):
        if picture.any and source.mode == "copy":
            keys = "frozen_seconds, black_seconds and silent_seconds"
            message = f"a copied source is not decoded, and {keys} look at decoded pictures. Write `mode: auto`, or remove those keys"
            found.fault((*here, "sources", number, "mode"), message)
    return FailoverSpec(said.loss_grace_seconds, said.recovery_grace_seconds, said.buffer_seconds, said.standby, picture)


def idle_of(found: "Findings", here: KeyPath, channel: ChannelModel, default_s: float) -> float | None:
    """How long after its last viewer a channel's sources are let go of; None where they are connected to always."""
    if channel.lifecycle == "always":
        if channel.idle_seconds is not None:
            found.fault((*here, "idle_seconds"), "counts with `lifecycle: on_demand` only. Add that, or remove this key")
        return None
    if not channel.sources:
        found.fault(
            (*here, "lifecycle"),
            "only live sources are connected to on demand, and this channel has none. Name them, or remove this key",
        )
    for number, output in enumerate(channel.outputs):
        for kind in (kind for kind, push in (("rtmp", output.rtmp), ("srt", output.srt)) if push is not None and push.enabled):
            place = (*here, "outputs", number, kind)
            found.fault(place, "nobody sees who watches a push: on demand it would push a slate. Remove it, or `lifecycle: on_demand`")
    return default_s if channel.idle_seconds is None else channel.idle_seconds
