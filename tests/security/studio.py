"""A daemon with two channels on air, and a token for each role: what the tests of the whole interface ask.

Rule: requests may do to `live1` what they like; nothing may happen to `watched`, whose list no request names. A token that is wrong is
sent from another address of this machine only, as an address that guesses is not listened to for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from clips import ClipShelf, numbered_clip
from running import RunningDaemon

ROLES = ("admin", "operator", "viewer")
STRANGER = "127.0.0.77"
CLIPS = ("a.mp4", "b.mp4", "c.mp4")


@dataclass(frozen=True, slots=True)
class Studio:
    """The daemon, its folder of media, and a token by role."""

    daemon: RunningDaemon
    media: Path
    tokens: Mapping[str, str]
    lists: Mapping[str, Path]
    first_text: str

    def headers(self, role: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"} if role is not None else {}

    def document(self) -> dict[str, Any]:
        """The OpenAPI document as it is served."""
        found: dict[str, Any] = self.daemon.get("/api/openapi.json")
        return found

    def entries(self, channel: str = "live1") -> list[str]:
        """Ids of what stands in its list now."""
        with self.daemon.client() as client:
            answer = client.get(f"/api/v1/channels/{channel}/playlist", headers={"Accept": "application/json"})
        return [entry["entry"] for entry in answer.raise_for_status().json()["entries"]]

    def client(self, *, role: str | None = None, address: str = "127.0.0.1") -> httpx.Client:
        """Asks with this role's token, from this address of the machine."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.daemon.admin_url, headers=self.headers(role), transport=transport, timeout=30)


def start_studio(folder: Path, *, suffix: str = ".m3u") -> Studio:
    """On air with both channels, their lists of this format (.m3u or .yaml); whoever calls stops the daemon."""
    media = folder / "media"
    shelf = ClipShelf(media)
    for number, name in enumerate(CLIPS):
        shelf.get(name, numbered_clip, frames=50 + 25 * number, base=1000 * number, size=(320, 180))
    first_text = "".join(f"- {name}\n" if suffix == ".yaml" else f"#EXTINF:-1,{name}\n{name}\n" for name in CLIPS)
    lists = {channel: media / f"{channel}{suffix}" for channel in ("live1", "watched")}
    for path in lists.values():
        path.write_text(first_text)
    daemon = RunningDaemon(folder / "daemon", {name: {"playlist": str(path), "outputs": [{"hls": {}}]} for name, path in lists.items()})
    daemon.start()
    for channel in lists:
        daemon.wait_for(channel, lambda shown: shown["state"] == "on_air", what=f"{channel} on air", timeout_s=60)
    tokens = {role: daemon.post("/api/v1/tokens", name=f"of-{role}", role=role).raise_for_status().json()["token"] for role in ROLES}
    return Studio(daemon, media, tokens, lists, first_text)
