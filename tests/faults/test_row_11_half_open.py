"""Row 11: an RTMP connection dies without a word to either end, and its session at nginx still holds the name.

`air` may ask nginx to drop whoever holds its name; without that, nginx drops a silent one by itself (tests/nginx/test_origin.py).
"""

import contextlib
from typing import Any

import pytest
from far_network import FarNetwork
from stage import Row, Stage, poll_s

GENEROUS_S = 60.0
GAP_LIMIT_S = 30.0


def _survive(stage: Stage, row: Row, kind: str, fault: contextlib.AbstractContextManager[None]) -> float:
    """Let the connection die until that is noticed; gives what nginx's viewers missed, in seconds, once they see news."""
    stage.push_pid("air")
    told = len(_told(stage))
    with fault:
        noticed_s = poll_s(lambda: stage.output("air")["state"] != "up", what="the dead connection to be noticed", timeout_s=GENEROUS_S)
    back_s = poll_s(lambda: stage.output("air")["state"] == "up", what="the push to be up again", timeout_s=GENEROUS_S)
    stage.wait_for_news(["air@nginx"], 1)
    stage.wait_for_news(["air", "air@nginx"], 2)
    seen = stage.look("air@nginx", row.since["air@nginx"])
    figures = {"noticed_s": noticed_s, "back_s": back_s, "gap_s": seen.gap_s, "lost_s": seen.lost / 25}
    row.measured |= {f"{kind}: {name}": value for name, value in figures.items()}
    assert len(_told(stage)) > told, "nobody was told"
    return seen.gap_s


def _told(stage: Stage) -> list[dict[str, Any]]:
    changes = stage.daemon.log("output_changed")
    return [entry for entry in changes if (entry["channel"], entry["output"], entry["state"]) == ("air", "rtmp", "retrying")]


def test_a_half_open_connection_is_left_for_a_new_one(stage: Stage) -> None:
    """Behind a relay that goes silent, as a router does that forgets a connection."""
    with stage.row(11) as row:
        gap_s = _survive(stage, row, "silent", contextlib.nullcontext(stage.wire.forget()))
        embedded = stage.look("air", row.since["air"])
    assert embedded.complaints() == []
    assert gap_s <= GAP_LIMIT_S


@pytest.mark.long
def test_a_link_that_goes_down_is_noticed_and_used_again_when_it_is_up(stage: Stage) -> None:
    far = stage.far
    if not isinstance(far, FarNetwork):
        pytest.skip(far)
    with stage.row(11) as row:
        gap_s = _survive(stage, row, "link down", far.pulled())
        embedded = stage.look("air", row.since["air"])
    assert embedded.complaints() == []
    assert gap_s <= GAP_LIMIT_S
