"""The catalogue of prepared clips: what became of each source, kept where people can ask, whatever becomes of the cache.

Rule: the cache is the truth for what is on the disk; this only remembers what was told of it. Secrets of URLs stay out.
Called from the library's threads.
"""

from collections.abc import Callable

from channeld.base.redact import redact_source, redact_text
from channeld.media.clip import PreparedClip
from channeld.media.clip_state import ClipState, Stage
from channeld.store.records import ClipRecord

Keep = Callable[[ClipRecord], None]


def keep_nothing(_: ClipRecord) -> None:
    """For a library that nobody asks about."""


def record(clip: str, state: ClipState) -> ClipRecord | None:
    """What is worth remembering of a clip, named `profile|source|in|out|duration`; None while nothing is decided."""
    profile, _, cut = clip.partition("|")
    source, *trims = cut.rsplit("|", 3)
    shown = redact_source(source)
    name = "|".join((profile, shown, *trims))
    if state.stage is Stage.REFUSED:
        return ClipRecord(name, profile, shown, refusal=redact_text(state.reason))
    if state.stage is not Stage.READY or state.clip is None:
        return None
    made = state.clip
    gain_db, warnings = made.facts.get("gain_db"), tuple(redact_text(str(each)) for each in made.facts.get("warnings", ()))
    return ClipRecord(name, profile, shown, made.key, made.duration_s, made.bytes, gain_db, _made_at_s(made), warnings)


def _made_at_s(clip: PreparedClip) -> float | None:
    """When its index was finished; None where it is gone by now."""
    try:
        return clip.idx_path.stat().st_mtime
    except OSError:
        return None
