"""What becomes of clips, as events: begun, prepared, refused.

Rule: what the cache had all along is no news; what is refused is told whenever it is found out. Secrets of URLs stay out. Called from the
library's threads.
"""

from typing import Any

from channeld.base.redact import redact_source, redact_text
from channeld.channel.means import Publish
from channeld.media.clip_state import ClipState, Stage


def tell_nobody(_kind: str, **_facts: Any) -> None:
    """For a library that nobody follows."""


class ClipNews:
    """Publishes what is new of the clips of all channels."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def tell(self, channel: str, clip: str, before: Stage | None, now: ClipState) -> None:
        """A clip, named `profile|source|in|out|duration`, stands otherwise than `before` (None: it was not known)."""
        if now.stage is before:
            return
        source = clip.partition("|")[2].rsplit("|", 3)[0]
        facts: dict[str, Any] = {"channel": channel, "path": redact_source(source)}
        if now.stage is Stage.REFUSED:
            self._publish("clip_refused", reason=redact_text(now.reason), **facts)
        elif now.stage is Stage.PREPARING:
            self._publish("clip_preparing", total_s=round(now.total_s, 3), **facts)
        elif now.stage is Stage.READY and before is not None:
            self._publish("clip_prepared", duration_s=round(now.total_s, 3), **facts)
