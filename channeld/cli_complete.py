"""What the shell offers behind Tab: the channels that the daemon has, and the kinds of events.

Rule: whoever types is never kept waiting nor told an error: no answer in time is nothing to offer.
"""

from pathlib import Path

import typer

from channeld.base.errors import ChannelError
from channeld.base.event_kinds import EVENT_KINDS
from channeld.cli_client import connect

PATIENCE_S = 0.7


def channel_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin so, each with the channel's name."""
    config, url, token = (ctx.params.get(name) for name in ("config", "url", "token"))
    try:
        answer = connect(Path(config) if config else None, url, token, timeout_s=PATIENCE_S).get("/api/v1/channels")
    except (ChannelError, OSError):
        return []
    channels = answer if isinstance(answer, list) else []
    found = [(str(channel.get("id", "")), str(channel.get("name") or "")) for channel in channels if isinstance(channel, dict)]
    return [(channel_id, name) for channel_id, name in found if channel_id.startswith(incomplete)]


def kind_names(incomplete: str) -> list[str]:
    """Kinds of events that begin so."""
    return sorted(kind for kind in EVENT_KINDS if kind.startswith(incomplete))
