"""Who visits a channel: kinds of players by the names they give themselves, and when a viewer of HLS is there and gone."""

import pytest

from channeld.base.clock import FakeClock
from channeld.outputs.visitors import AGENTS, GONE_S, MAX_PLACES, MAX_VISITS_EACH, SegmentVisits, agent_class, counted_places


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("VLC/3.0.20 LibVLC/3.0.20", "vlc"),
        ("mpv 0.35.1", "mpv"),
        ("Kodi/20.2 (X11; Linux x86_64) App_Bitness/64", "kodi"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36", "tv"),
        ("AppleCoreMedia/1.0.0.20G75 (iPhone; U; CPU OS 16_6 like Mac OS X)", "apple"),
        ("MyApp/1.2 (Linux;Android 13) ExoPlayerLib/2.19.1", "android"),
        ("Lavf/59.27.100", "ffmpeg"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "browser"),
        ("curl/8.5.0", "tool"),
        ("", "other"),
    ],
)
def test_players_are_known_by_their_user_agent(user_agent: str, kind: str) -> None:
    assert agent_class(user_agent) == kind and kind in AGENTS


def test_a_viewer_of_segments_is_there_until_a_while_after_its_last_request() -> None:
    clock = FakeClock()
    visits = SegmentVisits(clock, {"192.0.2.7": "DE/Berlin"}.get)
    for _ in range(5):
        visits.asked("one", "192.0.2.7", "VLC/3", "hls")
        visits.asked("one", "192.0.2.8", "VLC/3", "dash")
        clock.advance(10)
        visits.sweep()
    assert sorted(visits.present()["one"], key=str) == [("dash", "vlc", None), ("hls", "vlc", "DE/Berlin")]
    visits.asked("one", "192.0.2.7", "VLC/3", "hls")
    clock.advance(GONE_S - 5)
    visits.sweep()
    assert visits.present() == {"one": [("hls", "vlc", "DE/Berlin")]}
    clock.advance(10)
    visits.sweep()
    assert visits.present() == {}
    stays = visits.stays["one"]
    assert stays.by_seconds[2] == 2 and stays.seconds == 40 + 50


def test_one_address_does_not_take_the_room_of_all() -> None:
    clock = FakeClock()
    visits = SegmentVisits(clock, {}.get)
    for number in range(MAX_VISITS_EACH + 50):
        visits.asked("one", "2001:db8::" + f"{number:x}", f"Player/{number}", "hls")
    visits.asked("one", "192.0.2.7", "VLC/3", "hls")
    assert len(visits.present()["one"]) == MAX_VISITS_EACH + 1
    clock.advance(GONE_S + 1)
    visits.sweep()
    visits.asked("one", "2001:db8::1", "Player/1", "hls")
    assert len(visits.present()["one"]) == 1


def test_few_places_are_told_and_all_viewers_with_one_are_counted() -> None:
    counts = counted_places([*(f"place {n}" for n in range(MAX_PLACES + 10)), "DE", "DE", None])
    assert counts["DE"] == 2 and counts["other"] == 11 and sum(counts.values()) == MAX_PLACES + 12
