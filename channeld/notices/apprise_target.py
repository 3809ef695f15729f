"""The only place that knows apprise: whether a target's URL means something, and sending to it.

Rule: apprise is loaded when the first target is looked at: it takes 0.5 s and 33 MB with all its services. A target's URL is a secret: what
apprise says of a failure is shown without anything that stands in the URL.
"""

import logging
import re
from typing import Any

from channeld.base.redact import MASK, redact_text
from channeld.notices.letters import Letter

_LOGGER = "apprise"


def is_target(url: str) -> bool:
    """apprise knows the service, and the URL has what it needs."""
    return _loaded().Apprise.instantiate(url) is not None


def send(url: str, letter: Letter) -> str | None:
    """Send it; None when it was taken, else why not. Blocks for seconds at most: the services' sockets have time limits."""
    apprise = _loaded()
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return "the URL means nothing to apprise"
    kind = apprise.NotifyType.FAILURE if letter.is_bad else apprise.NotifyType.SUCCESS
    complaints = _Complaints()
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(complaints)
    try:
        taken = bool(service.notify(body=letter.body, title=letter.title, notify_type=kind))
    except Exception as error:  # noqa: BLE001  # a service's own mistake must not end the sender: it is told as its reason
        return f"the service failed: {type(error).__name__}"
    finally:
        logger.removeHandler(complaints)
    return None if taken else without_secrets(complaints.last or "the service did not take it", url)


def without_secrets(text: str, url: str) -> str:
    """A complaint without what stands in a target's URL, its scheme and a loopback host apart."""
    shown = redact_text(text)
    for part in sorted(set(re.split(r"[:/@?&=#,]+", url.partition("://")[2])), key=len, reverse=True):
        if len(part) >= 4 and part not in ("127.0.0.1", "localhost"):
            shown = shown.replace(part, MASK)
    return shown


class _Complaints(logging.Handler):
    """Keeps the last warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _loaded() -> Any:
    import apprise

    # Its own lines may hold what a target's URL holds.
    logging.getLogger(_LOGGER).propagate = False
    return apprise
