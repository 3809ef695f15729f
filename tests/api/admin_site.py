"""A real admin server over a daemon that lives in memory: Control is channeld's own interface, the HTTP is real."""

import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from channeld.access.accounts import Accounts
from channeld.api.admin_app import build_app
from channeld.api.admin_desks import Desks
from channeld.api.control import (
    ConfigRefused,
    Edited,
    Health,
    Invalid,
    PlaylistDocument,
    Readiness,
    Refused,
    Stale,
    Tags,
    Trigger,
    UnknownChannel,
)
from channeld.api.proxy_book import ProxyBook
from channeld.api.relay_assign import AssignBook
from channeld.api.relay_book import ProfileBook
from channeld.api.server import AdminServer
from channeld.api.shelf import Shelf
from channeld.base.clock import SystemClock
from channeld.base.tls import TlsSpec
from channeld.channel import relay_profiles
from channeld.channel.as_run import Page, described, described_total
from channeld.channel.pictures import NoPicture, Pictures, Ring
from channeld.channel.proxy_refresh import Refresh, refresh_once
from channeld.channel.proxy_worker import Refresher
from channeld.config import parse_config
from channeld.control_attendance import merged, totals
from channeld.control_uploads import UploadDesk
from channeld.daemon_relays import RelayChannels, relay_rules
from channeld.media.drafts import DraftBook
from channeld.media.list_fetch import ListReader
from channeld.media.pinned import FetchRules
from channeld.media.tools import find_tools
from channeld.playlist.orders import Order, as_edit
from channeld.playlist.rewrite import rewrite
from channeld.playlist.written import Unwritable
from channeld.relay.hardware import Availability
from channeld.relay.machine import Machine
from channeld.relay.profile import Hardware
from channeld.store.questions import AiringFilter, count
from channeld.store.records import Airing, AudienceSpan, Outcome
from channeld.store.store import Store

TOKEN = "a-token-of-tests-0123456789"
AT = "2026-11-21T10:00:00.000Z"
MOMENT = datetime.fromisoformat(AT).timestamp()
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def listed_entry(index: int, path: str) -> dict[str, Any]:
    """An entry as GET playlist shows it, with an id by its place."""
    known = {"prepared": 1.0, "in_s": None, "out_s": None, "duration_s": 4.0, "repeat": 1, "fault": None, "state": "ready", "reason": None}
    told = {"entry": f"e{index:016x}", "index": index, "line": index + 1, "path": path, "title": path, "is_playing": False, "airs_at": AT}
    return {**told, **known}


class MemoryControl:
    """Two channels, one of them stopped, with all rules of the contract that show in HTTP."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.states = {"live1": "on_air", "live2": "stopped"}
        self.texts = {"live1": "a.mp4\nb.mp4\n", "live2": "c.mp4\n"}
        self.revisions = {"live1": 7, "live2": 1}
        self.written: list[dict[str, Any]] | None = None
        self.asked_next: list[str | None] = []
        self.followers: list[Callable[[dict[str, Any]], None]] = []
        self.past: list[dict[str, Any]] = []
        self.healthy = self.ready = True
        self.history_problem: str | None = None
        self.airings = [
            Airing(3, "live1", MOMENT + 20, Outcome.SKIPPED, path="gone.mp4", title="Gone", reason="there is no such file"),
            Airing(2, "live2", MOMENT + 10, Outcome.END, "life", 1, "e1", "c.mp4", "=1+1", MOMENT + 10, MOMENT + 20, 90_000, 250, 250),
            Airing(1, "live1", MOMENT, Outcome.CUT, "life", 1, "e1", "a.mp4", 'A, "b"', MOMENT, MOMENT + 4, 90_000, 250, 100, "skip"),
        ]
        self.config_faults: list[dict[str, Any]] = []

    def channels(self) -> list[dict[str, Any]]:
        return [found for channel in self.states if (found := self.channel(channel))]

    def channel(self, channel: str) -> dict[str, Any] | None:
        if channel == "broken":
            raise ZeroDivisionError("a secret of the inside")
        if channel not in self.states:
            return None
        return {"id": channel, "name": channel, "state": self.states[channel], "revision": self.revisions[channel], "next": []}

    def trigger(self, channel: str, action: str, *, path: str | None = None) -> Trigger:
        with self.lock:
            revision = self._revision(channel)
            wanted = {"start": "on_air", "stop": "stopped"}.get(action)
            if action == "skip" and self.states[channel] == "stopped":
                raise Refused(409, "Channel is stopped", "Start it first.")
            if action == "play-next" and path == "full.mp4":
                raise Refused(507, "Disk full", "The cache folder is full.")
            changed = wanted != self.states[channel]
            self.states[channel] = wanted or self.states[channel]
            self.asked_next.append(path)
            return Trigger(revision, AT if changed else None, changed)

    def read_playlist(self, channel: str, after: str | None = None, limit: int | None = None) -> PlaylistDocument:
        revision = self._revision(channel)
        lines = self.texts[channel].splitlines()
        start = 0 if after is None else self._index(channel, after) + 1
        end = len(lines) if limit is None else min(len(lines), start + limit)
        entries = [listed_entry(index, lines[index]) for index in range(start, end)]
        following = entries[-1]["entry"] if entries and end < len(lines) else None
        return PlaylistDocument(self.texts[channel], "text/plain", revision, entries, str(revision), len(lines), following)

    def write_playlist(
        self, channel: str, *, text: str | None, entries: list[dict[str, Any]] | None, if_match: Tags, dry_run: bool = False
    ) -> Edited:
        with self.lock:
            self._match(channel, if_match)
            if text is not None and "\0" in text:
                raise Invalid("NUL bytes are no text", line=text[: text.index("\0")].count("\n") + 1)
            self.written = entries
            return self._put(channel, text if text is not None else "".join(f"{entry.get('path')}\n" for entry in entries or ()), dry_run)

    def edit_playlist(self, channel: str, order: Order, *, if_match: Tags, dry_run: bool = False) -> Edited:
        with self.lock:
            self._match(channel, if_match)
            count = len(self.texts[channel].splitlines())
            try:
                edit = as_edit(order, lambda entry: self._index(channel, entry), count)
                edited = rewrite(self.texts[channel].encode(), ".txt", edit).decode()
            except Unwritable as error:
                raise Refused(422, "Cannot be written", str(error)) from error
            return self._put(channel, edited, dry_run)

    def _match(self, channel: str, if_match: Tags) -> None:
        if if_match is not None and str(self._revision(channel)) not in if_match:
            raise Stale(self.revisions[channel])
        self._revision(channel)

    def _index(self, channel: str, entry: str) -> int:
        for index in range(len(self.texts[channel].splitlines())):
            if listed_entry(index, "")["entry"] == entry:
                return index
        raise Refused(404, "Unknown entry", f"the playlist has no entry {entry}")

    def _put(self, channel: str, text: str, dry_run: bool) -> Edited:
        if not dry_run:
            self.texts[channel] = text
            self.revisions[channel] += 1
        revision = self.revisions[channel]
        diff: dict[str, Any] = {"added": [], "removed": [], "moved": [], "changed": [], "counts": {}}
        return Edited(revision, str(revision), AT, True, None, diff, [])

    def reload(self) -> dict[str, Any]:
        if self.config_faults:
            raise ConfigRefused(self.config_faults)
        return {"added": [], "removed": [], "changed": {"live1": ["name"]}, "restarted": [], "daemon": [], "needs_restart": []}

    def restart(self, part: str) -> dict[str, Any]:
        return {"part": part, "since": AT}

    def settings(self) -> dict[str, Any]:
        listen = {"key": "admin.listen", "value": "127.0.0.1:8080", "line": 4}
        return {"path": "channeld.yaml", "error": None, "needs_restart": [], "settings": [listen]}

    def readings(self, channel: str, since_s: float) -> dict[str, Any]:
        if channel not in self.states:
            raise UnknownChannel(channel)
        names = ("lateness_ms", "ahead_s", "behind_slices", "bitrate_kbps", "manifest_age_s")
        samples = [{"at": AT, **dict.fromkeys(names)}] if since_s < MOMENT else []
        return {"step_s": 5.0, "samples": samples}

    def status(self) -> dict[str, Any]:
        return {
            "version": "0",
            "since": AT,
            "hosts": {},
            "config": "channeld.yaml",
            "config_error": None,
            "needs_restart": [],
            "alarms": [],
        }

    def health(self) -> Health:
        return Health(self.healthy, {"control": "ok" if self.healthy else "stuck"})

    def readiness(self) -> Readiness:
        return Readiness(self.ready, dict(self.states), {"live1": {"hls": "ok"}})

    def metrics(self) -> bytes:
        return b"# HELP channeld_up Up.\nchanneld_up 1\n"

    def follow(self, tell: Callable[[dict[str, Any]], None], last_id: int | None) -> Callable[[], None]:
        with self.lock:
            for event in self.past:
                if last_id is not None and event["id"] > last_id:
                    tell(event)
            self.followers.append(tell)
        return self.followers.clear

    def publish(self, kind: str, channel: str) -> None:
        """Something happened."""
        with self.lock:
            event = {"id": len(self.past) + 1, "kind": kind, "at": AT, "channel": channel}
            self.past.append(event)
            for tell in self.followers:
                tell(event)

    def as_run(self, wanted: AiringFilter, limit: int) -> Page:
        if wanted.channel is not None:
            self._revision(wanted.channel)
        found = [described(airing) for airing in self.airings if wanted.admits(airing)]
        return Page(found[:limit], self.history_problem)

    def as_run_totals(self, wanted: AiringFilter) -> Page:
        if wanted.channel is not None:
            self._revision(wanted.channel)
        return Page([described_total(total) for total in count(each for each in self.airings if wanted.admits(each))], self.history_problem)

    def clips(self, after: str | None, limit: int) -> list[dict[str, Any]]:
        if self.history_problem is not None:
            raise Refused(503, "Not now", self.history_problem)
        return [{"clip": name, "source": name[7:]} for name in ("720p30|a.mp4|||", "720p30|b.mp4|||") if name > (after or "")][:limit]

    def _revision(self, channel: str) -> int:
        if channel not in self.revisions:
            raise UnknownChannel(channel)
        return self.revisions[channel]


class MemoryLibrary:
    """Three files that live1 could name."""

    def read(self, channel: str, *, after: str | None, limit: int, words: str = "") -> Shelf:
        if channel != "live1":
            raise UnknownChannel(channel)
        paths = [path for path in ("a.mp4", "b.mp4", "c.mp4") if path > (after or "") and words in path]
        files = [{"path": path, "bytes": 1, "state": "unknown"} for path in paths[:limit]]
        return Shelf(files, 3, 3, False, paths[limit - 1] if len(paths) > limit else None)


class MemoryOverrides:
    """Remembers what was ordered for live1 and live2."""

    def __init__(self) -> None:
        self.orders: list[tuple[str | None, dict[str, Any] | None]] = []

    def _channels(self, channel: str | None) -> list[str]:
        if channel not in (None, "live1", "live2"):
            raise UnknownChannel(str(channel))
        return ["live1", "live2"] if channel is None else [channel]

    def order(self, channel: str | None, *, text: str | None, path: str | None, seconds: float | None, once: bool) -> list[str]:
        if (text is None) == (path is None):
            raise Refused(422, "Invalid order", "give either")
        self.orders.append((channel, {"text": text, "path": path, "seconds": seconds, "once": once}))
        return self._channels(channel)

    def lift(self, channel: str | None) -> list[str]:
        self.orders.append((channel, None))
        return self._channels(channel)


class MemoryAudience:
    """Two clients of live1, and one that has gone."""

    def read(self, channel: str, limit: int) -> dict[str, Any]:
        if channel not in ("live1", "live2"):
            raise UnknownChannel(channel)
        client = {
            "place": "DE/Berlin",
            "user_agent": "VLC/3",
            "since": AT,
            "connected_s": 4.0,
            "bytes": 1000,
            "position": 9,
            "last_read_at": AT,
        }
        rows = [{"id": f"1-{at}", "address": "192.0.2.7", **client, "lag_bytes": 0, "lag_s": 0.0, "skips": 0} for at in range(3)]
        totals = {"clients": 2, "bytes": 3000, "skips": 0, "refused": 0, "ended": 1, "ended_mean_s": 4.0}
        clients, gone = rows[:2][:limit], [{**rows[2], "ended": "left"}]
        left_out = 2 - len(clients)
        reader = {"pid": 4711, "uid": 1000, "command": "mpv", "since": AT, "connected_s": 4.0, "heads_dropped": 0}
        readers = {"readers": [reader], "readers_left_out": 0}
        return {
            "channel": channel,
            "totals": totals,
            "clients": clients,
            "left_out": left_out,
            "is_complete": True,
            "gone": gone,
            **readers,
        }


class MemoryAttendance:
    """An hour in which somebody watched live1."""

    def __init__(self) -> None:
        self.asked: tuple[str, str, float, float, int] | None = None

    def read(self, channel: str, step: str, since_s: float, until_s: float, limit: int) -> dict[str, Any]:
        if channel not in ("live1", "live2"):
            raise UnknownChannel(channel)
        self.asked = channel, step, since_s, until_s, limit
        span = AudienceSpan(channel, 3600, 1_800_000_000, 1, 3, 5400.0, [0, 1, *[0] * 8], 4.0, {"hls": 5400.0}, {"vlc": 5400.0}, {})
        rows = [merged([span], 3600)][:limit]
        return {"channel": channel, "step": step, "rows": rows, "totals": totals([span]), "problem": None}


class MemoryRuns:
    """Relays that the store knows, none of which is on air before it is started."""

    def __init__(self, store: Store) -> None:
        self._relays = store.relays
        self.states: dict[int, str] = {}

    def _figures(self, config_id: int) -> dict[str, Any]:
        config = self._relays.config(config_id)
        told = {
            "config_id": config.id,
            "channel": f"relay-{config.id}",
            "name": config.name,
            "state": self.states.get(config.id, "stopped"),
        }
        unknown = dict.fromkeys(("started_at", "uptime_s", "cpu_percent", "memory_bytes", "pid"))
        known = {key: getattr(config, key) for key in ("proxy_id", "channel_id", "profile_id", "enabled")}
        counts = dict.fromkeys(("bytes", "bitrate_bps", "clients", "restarts", "losses", "losses_last_hour"), 0)
        return {**told, **known, **unknown, **counts, "refused": None}

    def status(self, config_id: int) -> dict[str, Any]:
        return {**self._figures(config_id), "source": None, "error": None, "sources": [], "outputs": [], "events": []}

    def trigger(self, config_id: int, action: str) -> Trigger:
        before = self._figures(config_id)["state"]
        self.states[config_id] = "on_air" if action == "start" else "stopped"
        return Trigger(1, AT, before != self.states[config_id])

    def metrics(self) -> dict[str, Any]:
        relays = [self._figures(each.id) for each in self._relays.configs()]
        return {"at": AT, "enabled": True, "relays": relays, "channels": [], "totals": {}, "system": {}}

    def health_of(self, config_id: int) -> dict[str, Any]:
        figures = self._figures(config_id)
        return {**{key: figures[key] for key in ("config_id", "name", "state")}, "status": "stopped", "reasons": []}

    def health(self) -> dict[str, Any]:
        relays = [self.health_of(each.id) for each in self._relays.configs()]
        return {"status": "healthy", "enabled": True, "counts": {"stopped": len(relays)}, "relays": relays}


UPLOADING = b"""
uploads: {max_bytes: 20M}
disk: {critical: 1M}
channels:
  live1: {playlist: media/list.txt}
  live2: {playlist: media/list.txt}
"""


def refresher_over(folder: Path, store: Store) -> Refresher:
    """Fetches lists that lie in the folder."""
    reader = ListReader(FetchRules(), [folder], base=folder)

    def attempt(proxy_id: str, should_stop: Callable[[], bool]) -> Refresh:
        how: dict[str, Any] = {"reader": reader, "schemes": ("http", "rtsp"), "clock": SystemClock()}
        return refresh_once(proxy_id, relays=store.relays, should_stop=should_stop, **how)

    return Refresher(store.relays, attempt, SystemClock(), lambda: None)


def one_card(hardware: Hardware, device: str) -> Availability:
    """A machine with a card of NVIDIA and nothing else."""
    return Availability(hardware, hardware is Hardware.NVIDIA, "" if hardware is Hardware.NVIDIA else f"there is no {device}")


def desks_over(folder: Path, store: Store, refresher: Refresher, machine: Machine) -> Desks:
    """Desks of a daemon whose channels have no ring; what is sent lies in `media`. Relays are those of a real store."""

    def lend(channel: str) -> Ring:
        raise NoPicture("the channel has just come on air")

    pictures = Pictures(lend, "ffmpeg")
    pictures.start()
    (folder / "media").mkdir(exist_ok=True)
    config = parse_config(UPLOADING, folder / "channeld.yaml")
    drafts = DraftBook(folder / "uploads", find_tools())
    uploads = UploadDesk(lambda: config, drafts, publish=lambda *_, **__: None, heard=lambda: None)
    store.open()
    store.start()
    store.relays.keep_system_profiles(relay_profiles.system_drafts())
    refresher.start()
    stage = RelayChannels(store.relays, relay_rules(config), machine)
    assignments = AssignBook(store.relays, stage, stage.fault)
    books = ProfileBook(store.relays, stage.follow, stage.availability), ProxyBook(store.relays, refresher), assignments
    return Desks(pictures, MemoryLibrary(), uploads, MemoryOverrides(), MemoryAudience(), MemoryAttendance(), *books, MemoryRuns(store))


class Site:
    """A running admin server, its Control, and a client that knows the token."""

    def __init__(self, control: MemoryControl, accounts: Accounts, server: AdminServer, client: httpx.Client, folder: Path) -> None:
        self.control, self.accounts, self.server, self.client = control, accounts, server, client
        self.folder = folder
        self._operations: dict[str, Any] | None = None

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        """One request; whatever the answer, its status is declared in the OpenAPI document and an error is a problem document."""
        answer = self.client.request(method, path, **how)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert problem["title"] and problem["detail"]
            assert "Traceback" not in answer.text
        declared = self._declared(method, path)
        assert declared is None or str(answer.status_code) in declared, f"{method} {path}: {answer.status_code} is not declared"
        return answer

    def _declared(self, method: str, path: str) -> dict[str, Any] | None:
        if self._operations is None:
            self._operations = self.client.get("/api/openapi.json").json()["paths"]
        for template, operations in self._operations.items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in operations:
                responses: dict[str, Any] = operations[method.lower()]["responses"]
                return responses
        return None


@contextmanager
def running_site(
    *, tls: TlsSpec | None = None, verify: Path | None = None, max_event_readers: int = 1_000, home: Path | None = None
) -> Iterator[Site]:
    """A site on a free port of this machine. `home`: where its desks keep what they get; one of its own, where none is given."""
    control, folder = MemoryControl(), tempfile.TemporaryDirectory()
    accounts = Accounts(Path(folder.name), TOKEN)
    where = {"allowed_hosts": ["tv.example.org"], "media_base_url": "http://{host}:8090"}
    store = Store(Path(folder.name))
    here = home or Path(folder.name)
    refresher = refresher_over(here, store)
    machine = Machine("ffmpeg", look=one_card)
    machine.start()
    assert machine.judged(Hardware.QSV, wait_s=30.0) is not None  # the last of those that are tried at start
    desks = desks_over(here, store, refresher, machine)
    app = build_app(
        control,
        accounts=accounts,
        heartbeat_s=0.05,
        max_event_readers=max_event_readers,
        desks=desks,
        **where,  # type: ignore[arg-type]
    )
    server = AdminServer(app, "127.0.0.1:0", tls)
    server.start()
    try:
        base = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        with httpx.Client(
            base_url=base, headers=BEARER, trust_env=False, timeout=30, verify=ssl.create_default_context(cafile=verify)
        ) as client:
            yield Site(control, accounts, server, client, here)
    finally:
        server.close()
        desks.pictures.close()
        machine.close()
        refresher.close()
        store.close()
        folder.cleanup()
