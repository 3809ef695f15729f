"""Row 13: the wire of a push carries less than the stream."""

import threading
from pathlib import Path

import pytest
from clips import av_sync
from injection import rss_mb
from nginx_origin import wait_until
from stage import Stage

pytestmark = pytest.mark.long

SLOW_BYTES_PER_S = 25_000
SLOW_S = 12.0
SYNC_MS = 80.0


def test_a_wire_below_the_bitrate_costs_little_memory_and_the_stream_is_in_sync_afterwards(stage: Stage, tmp_path: Path) -> None:
    with stage.row(13) as row:
        pid = stage.push_pid("air")
        before_mb = rss_mb([pid, stage.daemon.pid])
        stage.wire.bytes_per_s = SLOW_BYTES_PER_S
        try:
            threading.Event().wait(SLOW_S)  # the fault's own length
            more_mb = round(rss_mb([pid, stage.daemon.pid]) - before_mb, 1)
        finally:
            stage.wire.bytes_per_s = None
        stage.push_pid("air")
        stage.wait_for_news(["air", "air@nginx"], 3)
        healed = stage.newest("air@nginx") + 1
        wait_until(lambda: stage.newest("air@nginx") >= healed + 4, what="segments after the wire is well")
        embedded, nginx = stage.look("air", row.since["air"]), stage.look("air@nginx", healed)
        joined = tmp_path / "healed.ts"
        joined.write_bytes(stage.segments("air@nginx", healed))
        worst_ms = max(map(abs, av_sync(joined)), default=0.0)
        row.measured.update(more_mb=more_mb, av_offset_ms=round(worst_ms, 1))
        told = [entry for entry in stage.daemon.log() if entry.get("output") == "rtmp" and entry.get("channel") == "air"]
    assert embedded.complaints() == []
    assert (nginx.lost, nginx.repeated, nginx.strange) == (0, 0, 0)
    assert more_mb <= 50
    assert worst_ms <= SYNC_MS
    assert told, "nobody was told"
