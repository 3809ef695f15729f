"""The programme guide of a channel on air says what the as-run log says of the past and the queue of the future, also after an edit."""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from listings import Shown, read_m3u, read_xmltv, shown
from running import RunningDaemon, wait_until
from timeline import LONG

from channeld.channel.guide import HORIZON_S

NEAR_S = 2.0
"""Whole seconds, and how far the guide lets what airs stray before it is made again."""
LOGO = "https://example.com/one.png"


def list_of(folder: Path, deck: Path, *clips: str) -> Path:
    """Write the channel's list; each clip's title is its name with marks that XML must escape."""
    playlist = folder / "list.m3u"
    playlist.write_text("#EXTM3U\n" + "".join(f"#EXTINF:-1,<{clip}> & co\n{deck / clip}\n" for clip in clips))
    return playlist


@pytest.fixture
def on_air(daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path) -> RunningDaemon:
    """A channel with a name, a logo and a number, in the middle of a list of short clips and a long one."""
    playlist = list_of(tmp_path, deck, "d0.mp4", "d1.mp4", "d2.mp4", LONG, "d3.mp4")
    shown_as = {"name": "Käse TV", "number": 7, "logo": LOGO, "group": "Films"}
    daemon = daemon_of({"one": {"playlist": str(playlist), "media_roots": [str(deck)], **shown_as}}, cache=prepared)
    daemon.start()
    daemon.wait_for_airing("one", str(deck / LONG))
    return daemon


def media(daemon: RunningDaemon, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{daemon.media_port}{path}").raise_for_status()


def guide(daemon: RunningDaemon) -> list[Shown]:
    return shown(media(daemon, "/guide.xml").content, "one")


def wall_s(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def untold(told: list[Shown], title: str, starts_s: float) -> str | None:
    """What the guide does not tell of an airing; None when it does."""
    if any(each.title == title and abs(each.starts_s - starts_s) <= NEAR_S for each in told):
        return None
    return f"{title} at {starts_s:.1f} is not among {[(each.title, round(each.starts_s - starts_s, 1)) for each in told[:12]]}"


def disagreements(daemon: RunningDaemon) -> list[str]:
    """The guide against what aired, what airs and what comes."""
    channel, lines, told = daemon.channel("one"), daemon.get("/api/v1/as-run?channel=one"), guide(daemon)
    airings = [(line["title"] or "Käse TV", wall_s(line["started_at"])) for line in lines if line["ended_at"]]
    airings += [(channel["now"]["title"], wall_s(channel["now"]["started_at"]))] if channel["now"] else []
    airings += [(each["title"], wall_s(each["starts_at"])) for each in channel["next"]]
    found = [untold(told, *airing) for airing in airings]
    return [each for each in found if each is not None]


def test_past_and_future_agree_with_the_log_and_the_queue(on_air: RunningDaemon) -> None:
    wait_until(lambda: disagreements(on_air) == [], what="a guide that agrees", timeout_s=20)
    told = guide(on_air)
    assert all(before.stops_s == after.starts_s for before, after in pairwise(told))
    assert told[-1].stops_s >= time.time() + HORIZON_S - 7200
    (channel,) = read_xmltv(media(on_air, "/guide.xml").content).iter("channel")
    assert channel.get("id") == "one"
    assert [name.text for name in channel.iter("display-name")] == ["Käse TV", "7"]
    assert [icon.get("src") for icon in channel.iter("icon")] == [LOGO]


def test_the_guide_moves_with_an_edit_within_seconds_and_still_agrees(on_air: RunningDaemon, deck: Path, tmp_path: Path) -> None:
    wait_until(lambda: guide(on_air), what="a guide")
    list_of(tmp_path, deck, "d5.mp4", LONG, "d6.mp4")
    titles: set[Any] = set()

    def moved() -> bool:
        titles.clear()
        titles.update(each.title for each in guide(on_air) if each.starts_s > time.time() + 20)
        return "<d6.mp4> & co" in titles

    wait_until(moved, what="the edit in the guide", timeout_s=10)
    assert titles <= {"<d5.mp4> & co", f"<{LONG}> & co", "<d6.mp4> & co", "Käse TV"}
    wait_until(lambda: disagreements(on_air) == [], what="a guide that agrees", timeout_s=20)


def test_the_list_of_channels_leads_to_the_stream_and_the_guide(on_air: RunningDaemon) -> None:
    wait_until(lambda: guide(on_air), what="a guide")
    head, (station,) = read_m3u(media(on_air, "/channels.m3u").text)
    expected = {"tvg-id": "one", "tvg-name": "Käse TV", "tvg-chno": "7", "tvg-logo": LOGO, "group-title": "Films"}
    assert station.attributes == expected
    wait_until(lambda: httpx.get(station.url).status_code == 200, what="the manifest")
    assert httpx.get(station.url).text.startswith("#EXTM3U")
    assert read_xmltv(httpx.get(head["url-tvg"]).content) is not None
    for name in ("guide.xml", "channels.m3u"):  # who asks the admin listener is sent on
        answer = httpx.get(f"{on_air.admin_url}/{name}", follow_redirects=True)
        assert (answer.history[0].status_code, answer.status_code) == (307, 200)
