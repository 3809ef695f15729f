"""Row 27: a channel has nothing to air: no list, an empty one, only broken entries, entries taken away one by one."""

import time
from typing import Any

import pytest
from clips import text_file
from nginx_origin import wait_until
from stage import Stage


def test_the_filler_airs_where_nothing_else_can_and_a_good_entry_cuts_in_at_once(stage: Stage) -> None:
    daemon, playlist = stage.daemon, stage.playlist("hit")
    broken = [text_file(stage.media / f"broken{number}.mp4") for number in range(2)]
    with stage.row(27) as row:
        for entries in ([], [*broken, stage.media / "none.mp4"]):
            stage.write_list("hit", entries)
            daemon.wait_for("hit", lambda found: found["state"] == "filler", what=f"the filler for {entries}")
            begun = time.monotonic()
            stage.write_list("hit", stage.shorts[:1])
            daemon.wait_for("hit", lambda found: found["state"] == "on_air", what="the entry to air")
            row.measured["entry_after_filler_s"] = round(time.monotonic() - begun, 2)
        for left in range(len(stage.shorts), -1, -1):
            stage.write_list("hit", stage.shorts[:left])
            daemon.wait_for("hit", lambda found, left=left: airs(found) in _paths(stage, left), what=f"{left} entries")  # type: ignore[misc]
        playlist.unlink()
        daemon.wait_for("hit", lambda found: found["edit_error"], what="the missing list to be told")
        assert daemon.channel("hit")["state"] == "filler"
        stage.restore()
        stage.wait_for_news(["hit"])
        seen = stage.look("hit", row.since["hit"])
        row.measured["discontinuities"] = seen.discontinuities
    # One frame after the other, whatever airs: the grid of the stream has no hole.
    assert (seen.faults, seen.discontinuities) == ((), 0)


def airs(channel: dict[str, Any]) -> str | None:
    """Path of what is on air; None is the filler."""
    return channel["now"]["path"] if channel["now"] else None


def _paths(stage: Stage, left: int) -> set[str | None]:
    return {str(path) for path in stage.shorts[:left]} or {None}


@pytest.mark.long
def test_a_list_that_is_lost_on_air_leaves_the_last_one_on_air(stage: Stage) -> None:
    with stage.row(27):
        stage.playlist("hit").unlink()
        told = stage.daemon.wait_for("hit", lambda found: found["edit_error"], what="the missing list to be told")
        assert told["state"] == "on_air"
        before = len(stage.daemon.airings("hit"))
        wait_until(lambda: len(stage.daemon.airings("hit")) > before + 1, what="the last list to go on")
        assert stage.daemon.channel("hit")["state"] == "on_air"
