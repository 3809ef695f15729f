"""The filler: what airs when nothing else can.

Rule: a channel's filler is prepared before the channel starts; a file that cannot be prepared is replaced by the built-in card.
Blocking; run by control at channel start.
"""

from pathlib import Path

from channeld.base.errors import MediaError
from channeld.media import child
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_card
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import Profile
from channeld.media.tools import Tools, find_tools
from channeld.telemetry import log

MAX_FILLER_S = 60.0

_log = log.get("filler")


def ensure_filler(
    cache: ClipCache,
    profile: Profile,
    file: Path | None,
    *,
    title: str = "",
    tools: Tools | None = None,
    should_stop: child.Stop = child.never,
) -> PreparedClip:
    """The filler clip, pinned for good; the card when the given file cannot be it, which is noted in the cache.

    The first minute of a file is taken: a filler is held in memory. Raises ProcessError and OSError when nothing can be prepared at all,
    ChildStopped when `should_stop` became true.
    """
    tools = tools or find_tools()
    clip = None
    if file is not None:
        try:
            clip = prepare(PrepareRequest(file.resolve(), profile, duration_s=MAX_FILLER_S), cache, tools=tools, should_stop=should_stop)
        except (MediaError, OSError) as error:
            cache.notes.append(f"filler {file.name}: {error}; the built-in card stands in")
            _log.warning("filler_replaced", path=str(file), error=str(error), by="the built-in card")
    clip = clip or ensure_card(cache, profile, title, tools)
    cache.pin(clip.key)
    return clip
