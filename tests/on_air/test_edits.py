"""What single edits and orders do on air: empty lists, media that comes late or changes, play-next, skip, and lists over HTTP.

Rule: one daemon for all, a channel for each test; whatever a test does, its channel's stream stays clean.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from judge.decode import decode_faults
from judge.ts import read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from timeline import DECK, LONG, LONG_FRAMES, WATCHED, read_pictures

ORDERS = ("long.mp4", "d0.mp4", "d1.mp4")
CHANNELS = {
    "empty": "",
    "late": "d0.mp4\ncomes-late.mp4\n",
    "replaced": "d0.mp4\nchanges.mp4\n",
    "orders": "".join(f"{name}\n" for name in ORDERS),
    "http": "#EXTM3U\nd0.mp4\nd1.mp4\n",
}
SUFFIXES = {"http": ".m3u"}
WHOLE = DECK["d0.mp4"].frames
OLD, NEW = DECK["d3.mp4"].first, DECK["d4.mp4"].first


@dataclass(frozen=True, slots=True)
class Desk:
    """The daemon, its playlists, and who watches."""

    daemon: RunningDaemon
    folder: Path
    viewers: dict[str, TsRecorder]

    def playlist(self, channel: str) -> Path:
        return self.folder / f"{channel}{SUFFIXES.get(channel, '.txt')}"

    def write(self, channel: str, *names: str) -> None:
        """A new list, written in place."""
        self.playlist(channel).write_text("".join(f"{name}\n" for name in names))

    def put_media(self, source: str, name: str) -> None:
        """Media in one step, as a careful copy does."""
        shutil.copyfile(self.folder / source, self.folder / f".{name}")
        (self.folder / f".{name}").replace(self.folder / name)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    for name in (*DECK, LONG):
        shutil.copyfile(deck / name, folder / name)
    shutil.copyfile(deck / "d3.mp4", folder / "changes.mp4")
    paths = {channel: folder / f"{channel}{SUFFIXES.get(channel, '.txt')}" for channel in CHANNELS}
    for channel, text in CHANNELS.items():
        paths[channel].write_text(text)
    settings = {channel: {"playlist": str(path), "outputs": [{"ts": {}}]} for channel, path in paths.items()}
    daemon = RunningDaemon(folder / "daemon", settings, cache=prepared)
    daemon.config["media_roots"] = [str(folder)]
    viewers = {channel: TsRecorder(daemon.ts_url(channel), folder / "kept" / f"{channel}.ts") for channel in CHANNELS}
    try:
        daemon.start()
        for viewer in viewers.values():
            viewer.start()
        made = Desk(daemon, folder, viewers)
        _change_media(made)
        yield made
    finally:
        for viewer in viewers.values():
            viewer.close()
        daemon.stop()


def _change_media(desk: Desk) -> None:
    """What takes the daemon some seconds to find is done first, and looked at last."""
    # The viewer may have come in the middle of the old clip's first airing; it sees the second from its beginning.
    first = desk.daemon.wait_for_airing("replaced", "changes.mp4")
    desk.daemon.wait_for_airing("replaced", "changes.mp4", after=first + 1)
    desk.put_media("d4.mp4", "changes.mp4")
    desk.put_media("d5.mp4", "comes-late.mp4")


def test_an_empty_list_airs_the_filler_and_the_first_ready_entry_cuts_in(desk: Desk) -> None:
    desk.daemon.wait_for("empty", lambda channel: channel["state"] == "filler", what="the filler")
    assert desk.daemon.channel("empty")["now"] is None
    desk.write("empty", "d0.mp4", "d1.mp4")
    first = desk.daemon.wait_for_airing("empty", "d0.mp4")
    filler, clip = desk.daemon.airings("empty")[first - 1 : first + 1]
    assert (filler["path"], filler["ended"]) == (None, "cut")
    assert clip["path"] == "d0.mp4"


def test_a_list_emptied_entry_by_entry_plays_its_last_clip_to_the_end_and_then_the_filler(desk: Desk) -> None:
    desk.write("empty", "d2.mp4", "d3.mp4")
    begun = desk.daemon.wait_for_airing("empty", "d2.mp4")
    desk.write("empty", "d2.mp4")
    begun = desk.daemon.wait_for_airing("empty", "d2.mp4", after=begun)
    desk.write("empty")
    at = desk.daemon.wait_for_airing("empty", None, after=begun)
    last = desk.daemon.airings("empty")[at - 1]
    assert (last["path"], last["frames"], last["ended"]) == ("d2.mp4", WHOLE, "end")
    assert desk.daemon.channel("empty")["state"] == "filler"
    assert desk.daemon.channel("empty")["edit_error"] is None


def test_play_next_airs_a_clip_once_and_the_list_goes_on_where_it_was(desk: Desk) -> None:
    begun = desk.daemon.wait_for_airing("orders", "long.mp4")
    answer = desk.daemon.post("/api/v1/channels/orders/play-next", path="d7.mp4")
    assert answer.status_code == 202
    desk.daemon.wait_for("orders", lambda channel: _is_next(channel, "d7.mp4"), what="d7.mp4 to stand next, ready")
    desk.daemon.post("/api/v1/channels/orders/skip")
    at = desk.daemon.wait_for_airing("orders", "d7.mp4", after=begun)
    wait_until(lambda: len(desk.daemon.aired("orders")) > at + len(ORDERS), what="the list to go on")
    aired = desk.daemon.aired("orders")
    # On a busy machine the clip that was on air may have ended before this one was prepared: then it airs behind the next.
    turn = ORDERS.index(aired[at - 1])
    assert aired[at + 1 : at + 1 + len(ORDERS)] == [*ORDERS[turn + 1 :], *ORDERS[: turn + 1]]


def test_skip_ends_the_playing_clip_and_the_next_begins(desk: Desk) -> None:
    desk.daemon.wait_for("orders", lambda channel: (channel["now"] or {}).get("path") == "long.mp4", what="long.mp4 to air")
    answer = desk.daemon.post("/api/v1/channels/orders/skip")
    assert answer.status_code == 202
    begun = max(at for at, path in enumerate(desk.daemon.aired("orders")) if path == "long.mp4")
    desk.daemon.wait_for_airing("orders", "d0.mp4", after=begun)
    cut = desk.daemon.airings("orders")[begun]
    assert cut["ended"] == "cut"
    assert 0 < cut["frames"] < LONG_FRAMES


def test_a_list_put_over_http_airs_and_is_the_file(desk: Desk) -> None:
    with desk.daemon.client() as client:
        read = client.get("/api/v1/channels/http/playlist")
        text = "#EXTM3U\n#EXTINF:-1,The seventh\nd6.mp4\n"
        answer = client.put(
            "/api/v1/channels/http/playlist", content=text, headers={"If-Match": read.headers["etag"], "Content-Type": "text/plain"}
        )
    assert answer.status_code == 202
    assert answer.json()["revision"] == int(read.headers["etag"].strip('"')) + 1
    assert desk.playlist("http").read_text() == text
    at = desk.daemon.wait_for_airing("http", "d6.mp4")
    assert desk.daemon.airings("http")[at]["title"] == "The seventh"


def test_a_list_put_over_one_that_was_edited_since_is_refused_and_nothing_changes(desk: Desk) -> None:
    with desk.daemon.client() as client:
        before = client.get("/api/v1/channels/http/playlist").headers["etag"]
        desk.write("http", "#EXTM3U", "d1.mp4", "d2.mp4")
        wait_until(lambda: client.get("/api/v1/channels/http/playlist").headers["etag"] != before, what="the edit to be taken")
        answer = client.put(
            "/api/v1/channels/http/playlist", content="d7.mp4\n", headers={"If-Match": before, "Content-Type": "text/plain"}
        )
    assert answer.status_code == 412
    assert desk.playlist("http").read_text() == "#EXTM3U\nd1.mp4\nd2.mp4\n"


def test_an_invalid_list_put_over_http_is_refused_with_its_line(desk: Desk) -> None:
    before = desk.playlist("http").read_text()
    with desk.daemon.client() as client:
        answer = client.put(
            "/api/v1/channels/http/playlist",
            content=b"d0.mp4\nd1.mp4\n" + b"x" * 5000 + b"\n",
            headers={"If-Match": "*", "Content-Type": "text/plain"},
        )
    assert answer.status_code == 422
    assert answer.json()["line"] == 3
    assert "4096" in answer.text
    assert desk.playlist("http").read_text() == before


def test_media_that_was_missing_airs_once_it_is_there(desk: Desk) -> None:
    desk.daemon.wait_for_airing("late", "comes-late.mp4", timeout_s=40)
    assert [path for path in desk.daemon.aired("late") if path][:2] == ["d0.mp4", "d0.mp4"]


def test_media_whose_content_was_replaced_is_prepared_anew(desk: Desk) -> None:
    desk.daemon.wait_for("replaced", lambda _: NEW in _numbers_of(desk.viewers["replaced"]), what="the new content on air", timeout_s=40)
    numbers = _numbers_of(desk.viewers["replaced"])
    first_new = numbers.index(NEW)
    assert OLD in numbers[:first_new]
    assert [number for number in numbers[first_new:] if OLD <= number < OLD + WHOLE] == []


def _is_next(channel: dict[str, list[dict[str, object]]], path: str) -> bool:
    return [(entry["path"], entry["ready"]) for entry in channel["next"][:1]] == [(path, True)]


def _numbers_of(viewer: TsRecorder) -> list[int]:
    """What the viewer saw until now."""
    return [number for number in read_pictures(viewer.path) if number is not None]


def test_none_of_this_left_a_mark_in_any_stream(desk: Desk) -> None:
    for viewer in desk.viewers.values():
        viewer.close()
        assert viewer.trouble == []
        assert read_ts(viewer.path, fps=Fraction(FPS), allowances=WATCHED).faults() == [], viewer.url
        assert decode_faults(viewer.path) == [], viewer.url
    assert desk.daemon.stop() == []
