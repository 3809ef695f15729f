"""Row 21: a thousand edits within a second."""

import random
import time

from stage import Stage

EDITS = 1000


def test_a_thousand_edits_a_second_end_with_the_last_one_and_touch_no_process(stage: Stage) -> None:
    daemon, order = stage.daemon, random.Random(21)
    with stage.row(21) as row:
        pids = {channel: stage.push_pid(channel) for channel in ("hit", "air", "calm")}
        begun = time.monotonic()
        for _ in range(EDITS):
            stage.write_list("hit", order.sample(stage.shorts, len(stage.shorts)))
            time.sleep(max(0.0, begun + _ / EDITS - time.monotonic()))
        wanted = order.sample(stage.shorts, 4)
        stage.write_list("hit", wanted)
        written = time.monotonic()
        row.measured["edits_each_second"] = round(EDITS / (written - begun))
        daemon.wait_for("hit", lambda _: listed(stage) == [str(path) for path in wanted], what="the last list to be taken")
        row.measured["last_taken_s"] = round(time.monotonic() - written, 2)
        stage.wait_for_news(["hit"])
        seen = stage.look("hit", row.since["hit"])
        assert {channel: stage.push_pid(channel) for channel in pids} == pids
    assert (seen.faults, seen.discontinuities) == ((), 0)


def listed(stage: Stage) -> list[str]:
    """Paths of the list that counts now."""
    with stage.daemon.client() as client:
        answer = client.get("/api/v1/channels/hit/playlist", headers={"Accept": "application/json"}).raise_for_status()
    return [entry["path"] for entry in answer.json()["entries"]]
