"""Row 13: the wire of a push carries less than the stream."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import av_sync
from far_network import FarNetwork
from injection import rss_mb
from nginx_origin import wait_until
from stage import Stage, poll_s

pytestmark = pytest.mark.long

SEGMENTS, SEGMENT_S = 6, 1
PART = 4
"""The wire carries so little of the stream: what is left over fills FFmpeg's queue of some ten seconds."""
TOLD_LIMIT_S = 80.0
CAUGHT_UP = 8
"""Segments until what waited in buffers, and the hole behind it, has passed."""
SYNC_MS = 80.0

Slowed = Callable[[Stage, int], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def slow_relay(stage: Stage, bytes_per_s: int) -> Iterator[None]:
    """Every byte waits for its turn, and none is lost."""
    stage.wire.bytes_per_s = bytes_per_s
    try:
        yield
    finally:
        stage.wire.bytes_per_s = None


def slow_link(stage: Stage, bytes_per_s: int) -> contextlib.AbstractContextManager[None]:
    """A link that drops packets: TCP has to find out what it carries."""
    if not isinstance(stage.far, FarNetwork):
        pytest.skip(stage.far)
    return stage.far.slowed(bits_per_s=8 * bytes_per_s)


def _bytes_per_s(stage: Stage) -> int:
    """Of the stream, as the last segments have it."""
    since = stage.newest("air") - SEGMENTS + 1
    return round(len(stage.segments("air", since)) / SEGMENTS / SEGMENT_S)


@pytest.mark.parametrize("slowed", [slow_relay, slow_link], ids=["relay", "link"])
def test_a_wire_below_the_bitrate_costs_little_memory_and_the_stream_is_in_sync_afterwards(
    stage: Stage, tmp_path: Path, slowed: Slowed
) -> None:
    kind = "relay" if slowed is slow_relay else "link"
    with stage.row(13) as row:
        pid = stage.push_pid("air")
        stage.wait_for_news(["air"], SEGMENTS)
        complaints = len(_told(stage))
        before_mb = rss_mb([pid, stage.daemon.pid])
        with slowed(stage, _bytes_per_s(stage) // PART):
            told_s = poll_s(lambda: len(_told(stage)) > complaints, what="the slow wire to be told", timeout_s=TOLD_LIMIT_S)
            more_mb = round(rss_mb([pid, stage.daemon.pid]) - before_mb, 1)
        stage.push_pid("air")
        stage.wait_for_news(["air"], CAUGHT_UP)
        healed = stage.newest("air@nginx") + 1
        wait_until(lambda: stage.newest("air@nginx") >= healed + 4, what="segments after the wire is well")
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", healed)
        joined = tmp_path / "healed.ts"
        joined.write_bytes(stage.segments("air@nginx", healed))
        worst_ms = max(map(abs, av_sync(joined)), default=0.0)
        row.measured |= {f"{kind}: told_s": told_s, f"{kind}: more_mb": more_mb, f"{kind}: av_offset_ms": round(worst_ms, 1)}
    assert embedded.complaints() == []
    assert (nginx.lost, nginx.repeated, nginx.strange) == (0, 0, 0)
    assert more_mb <= 50
    assert worst_ms <= SYNC_MS


def _told(stage: Stage) -> list[dict[str, object]]:
    """What the log has of the push: its states, and FFmpeg's complaints."""
    return [entry for entry in stage.daemon.log() if entry.get("output") == "rtmp" and entry.get("channel") == "air"]
