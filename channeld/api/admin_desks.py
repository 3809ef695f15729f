"""What the admin interface has beside Control: the desks that show and take media, and who watches it.

Rule: each desk is safe from any thread and never makes the event loop wait. Made by the daemon, which starts and closes them.
"""

from dataclasses import dataclass

from fastapi import APIRouter

from channeld.api.admin_calls import Calls
from channeld.api.admin_client_history import HistoryReader, client_history_routes
from channeld.api.admin_clients import AudienceReader, client_routes
from channeld.api.admin_library import LibraryReader, library_routes
from channeld.api.admin_override import Overrides, override_routes
from channeld.api.admin_pictures import picture_routes
from channeld.api.admin_proxies import proxy_routes
from channeld.api.admin_relay_profiles import profile_routes
from channeld.api.admin_relays import RelayRuns, relay_routes
from channeld.api.admin_uploads import upload_routes
from channeld.api.control import Control
from channeld.api.proxy_book import ProxyBook
from channeld.api.relay_assign import AssignBook
from channeld.api.relay_book import ProfileBook
from channeld.api.upload_desk import Uploads
from channeld.channel.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Desks:
    """All of them."""

    pictures: Pictures
    library: LibraryReader
    uploads: Uploads
    overrides: Overrides
    audience: AudienceReader
    attendance: HistoryReader
    profiles: ProfileBook
    proxies: ProxyBook
    assignments: AssignBook
    relays: RelayRuns


def desk_routes(control: Control, desks: Desks | None, calls: Calls, media_base_url: str) -> APIRouter:
    """The routes of every desk."""
    router = APIRouter()
    if desks is not None:
        router.include_router(picture_routes(control, desks.pictures, calls))
        router.include_router(library_routes(desks.library, calls))
        router.include_router(upload_routes(desks.uploads, calls))
        router.include_router(override_routes(desks.overrides, calls))
        router.include_router(client_routes(desks.audience, calls))
        router.include_router(client_history_routes(desks.attendance, calls))
        router.include_router(profile_routes(desks.profiles, calls))
        router.include_router(proxy_routes(desks.proxies, calls, media_base_url))
        router.include_router(relay_routes(desks.assignments, desks.relays, calls))
    return router
