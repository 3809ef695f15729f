"""The desks that show and take media on people's behalf: made here, closed in reverse by the daemon's stack.

Rule: none of them is needed for the air.
"""

import contextlib
from collections.abc import Callable

from channeld.api.admin_desks import Desks
from channeld.api.proxy_book import ProxyBook
from channeld.api.relay_assign import AssignBook
from channeld.api.relay_book import ProfileBook
from channeld.base.clock import SystemClock
from channeld.channel.pictures import Pictures
from channeld.channel.proxy_worker import Refresher
from channeld.config_values import Config
from channeld.control_attendance import AttendanceDesk
from channeld.control_audience import AudienceDesk
from channeld.control_library import LibraryDesk
from channeld.control_override import OverrideDesk
from channeld.control_pictures import ring_lender
from channeld.control_relay_watch import RelayWatch
from channeld.control_relays import RelayDesk
from channeld.control_uploads import UploadDesk
from channeld.daemon_house import Running
from channeld.daemon_relays import list_fetcher
from channeld.media.drafts import DraftBook
from channeld.media.glance import GlanceBook, Glancer
from channeld.media.tools import find_tools


def open_desks(config: Callable[[], Config], running: Running, parts: contextlib.ExitStack) -> Desks:
    """Start them all. `config` gives the one that is in force."""
    tools, cache = find_tools(), running.clips.cache
    pictures = Pictures(ring_lender(running.loop, running.registry), tools.ffmpeg)
    pictures.start()
    parts.callback(pictures.close)
    glancer = Glancer(GlanceBook(cache.root / "glances.json"), cache.fingerprints, tools)
    folders = config().folders
    own = folders.state, folders.runtime, folders.hls
    library = LibraryDesk(running.loop, running.registry, running.clips, running.events.airings.totals, glancer, tools, without=own)
    library.start()
    parts.callback(library.close)
    drafts = DraftBook(folders.state / "uploads", tools)
    uploads = UploadDesk(config, drafts, publish=running.events.publish, heard=library.walker.forget)
    uploads.start()
    parts.callback(uploads.close)
    overrides = OverrideDesk(running.loop, running.registry, running.overrides, running.events)
    audience = AudienceDesk(running.loop, running.registry, running.media, running.hosts)
    viewers = running.media.audience.attendance
    viewers.start(running.loop, running.store.add_audience)
    parts.callback(viewers.close)
    attendance = AttendanceDesk(running.loop, running.registry, viewers, running.store)
    stage = running.relays
    if stage.machine is not None:
        stage.machine.told = stage.follow
        stage.machine.start()
        parts.callback(stage.machine.close)
    profiles = ProfileBook(stage.relays, stage.follow, stage.availability)
    refresher = Refresher(stage.relays, list_fetcher(config, stage), SystemClock(), stage.follow)
    refresher.start()
    parts.callback(refresher.close)
    watch = RelayWatch(running.loop, running.registry, running.sources, running.events, stage)
    watch.start()
    parts.callback(watch.close)
    runs = RelayDesk(running.loop, running.registry, stage, watch, lambda: running.sources.limit)
    books = profiles, ProxyBook(stage.relays, refresher), AssignBook(stage.relays, stage, stage.fault)
    return Desks(pictures, library, uploads, overrides, audience, attendance, *books, runs)
