"""What the admin interface asks of the daemon, and what the daemon may answer.

Rule: the interface knows nothing else of the daemon. Every call may block (≤ 5 s) and comes from any thread; the API makes
them off its event loop. Values are plain and frozen, so that they may be read from any thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from channeld.base.errors import ChannelError
from channeld.channel.as_run import Page
from channeld.playlist.orders import Order
from channeld.store.questions import AiringFilter

ACTIONS = ("start", "stop", "restart", "skip", "reload")


class UnknownChannel(ChannelError):
    """No channel has this id: the request is refused."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"there is no channel {channel!r}")
        self.channel = channel


class Refused(ChannelError):
    """The daemon will not do it, and why; `status` is the HTTP status that says so (400 to 599)."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


class Stale(ChannelError):
    """The playlist has become another since it was read; `revision` is its present one, `tag` the ETag of what is there now."""

    def __init__(self, revision: int, tag: str | None = None) -> None:
        super().__init__(f"the playlist is at revision {revision}")
        self.revision, self.tag = revision, tag or str(revision)


class Invalid(ChannelError):
    """The playlist cannot be read; `line` counts from 1 where one is at fault. The last valid list stays."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


class ConfigRefused(ChannelError):
    """The new configuration is invalid: the running one stays. Each fault has `file`, `line`, `column`, `key` and `message`."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(_fault_text(fault) for fault in faults))
        self.faults = faults


def _fault_text(fault: dict[str, Any]) -> str:
    place = ":".join(str(fault[part]) for part in ("file", "line", "column") if fault.get(part) is not None)
    return ": ".join(part for part in (place, fault.get("key"), str(fault["message"])) if part)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a trigger led to. `effective_at`: ISO 8601 in UTC; `changed` is False when it was so already."""

    revision: int
    effective_at: str | None
    changed: bool


Tags = frozenset[str] | None
"""What an If-Match names, without quotes; None: any."""


@dataclass(frozen=True, slots=True)
class PlaylistDocument:
    """A playlist as its file has it, and as entries: `total` of them, of which these are a page; `next` is where the next begins.

    `tag` is the ETag: the revision, with a suffix while the file's bytes are not those that the revision was made of. `reason`: why
    single entries cannot be edited, None where they can.
    """

    text: str
    media_type: str
    revision: int
    entries: list[dict[str, Any]]
    tag: str
    total: int
    next: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit did, or would do. `entry`: the one that was added, changed or moved; `diff` and `airs` as the API shows them."""

    revision: int
    tag: str
    effective_at: str | None
    changed: bool
    entry: str | None
    diff: dict[str, Any]
    airs: list[dict[str, Any]]
    airs_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the control loop and every host turn; `parts` tells each."""

    ok: bool
    parts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether viewers are served; `channels` holds the state of each, `verdicts` what viewers find at its outputs.

    `store_problem`: why state and history are not written, if so.
    """

    ok: bool
    channels: dict[str, str]
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    store_problem: str | None = None


class Control(Protocol):
    """The daemon as the admin interface sees it."""

    def channels(self) -> list[dict[str, Any]]:
        """The channel object of each channel."""
        ...

    def channel(self, channel: str) -> dict[str, Any] | None:
        """The channel object, None when there is no such channel."""
        ...

    def trigger(self, channel: str, action: str, *, path: str | None = None) -> Trigger:
        """Do one of ACTIONS, or `play-next` with its path. Raises UnknownChannel, Refused."""
        ...

    def read_playlist(self, channel: str, after: str | None = None, limit: int | None = None) -> PlaylistDocument:
        """The newest valid list, `limit` entries behind one. Raises UnknownChannel, Refused."""
        ...

    def write_playlist(
        self, channel: str, *, text: str | None, entries: list[dict[str, Any]] | None, if_match: Tags, dry_run: bool = False
    ) -> Edited:
        """Replace the file by text or entries. Raises UnknownChannel, Stale, Invalid, Refused (507 on a full disk)."""
        ...

    def edit_playlist(self, channel: str, order: Order, *, if_match: Tags, dry_run: bool = False) -> Edited:
        """Edit one entry in the file. Raises UnknownChannel, Stale, Invalid, Refused (404: no such entry)."""
        ...

    def reload(self) -> dict[str, Any]:
        """Take the configuration file as it is now; gives what changed. Raises ConfigRefused."""
        ...

    def restart(self, part: str) -> dict[str, Any]:
        """Have another control, or other hosts, take the place of what runs; the air goes on. Gives `part` and `since`."""
        ...

    def status(self) -> dict[str, Any]:
        """The daemon itself: its configuration, what is wrong just now."""
        ...

    def settings(self) -> dict[str, Any]:
        """The configuration in force: `path`, `error`, `needs_restart`, and `settings`, each with `key`, `value` and `line`."""
        ...

    def readings(self, channel: str, since_s: float) -> dict[str, Any]:
        """A channel's `samples` of the last ten minutes, those after a moment of the wall clock. Raises UnknownChannel."""
        ...

    def health(self) -> Health:
        """Whether everything turns."""
        ...

    def readiness(self) -> Readiness:
        """Whether there is something to watch."""
        ...

    def metrics(self) -> bytes:
        """Prometheus text format."""
        ...

    def follow(self, tell: Callable[[dict[str, Any]], None], last_id: int | None) -> Callable[[], None]:
        """Have `tell` called with each event (`id`, `kind`, `at`, `channel` …) after `last_id`, those that are kept first.

        None: new ones only. `tell` comes from any thread, in the order of the ids, and must not wait. Gives how to end it; idempotent,
        does not block.
        """
        ...

    def as_run(self, wanted: AiringFilter, limit: int) -> Page:
        """The newest `limit` lines of the as-run log, newest first. Raises UnknownChannel."""
        ...

    def as_run_totals(self, wanted: AiringFilter) -> Page:
        """How often and how long each clip aired. Raises UnknownChannel."""
        ...

    def clips(self, after: str | None, limit: int) -> list[dict[str, Any]]:
        """What became of each clip, by name, from behind one on. Raises Refused (503 while the database cannot be read)."""
        ...
