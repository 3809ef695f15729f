"""The as-run log as proof: without a hole and exact to the frame, though control was killed while clips went by."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from running import RunningDaemon, wait_until
from timeline import DECK


def lines(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """All that aired, oldest first."""
    found: list[dict[str, Any]] = daemon.get("/api/v1/as-run?channel=one&limit=5000")
    return found[::-1]


def looped(daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, folder: Path) -> RunningDaemon:
    """A channel that airs three clips of 1.2 s round and round."""
    playlist = folder / "loop.txt"
    playlist.write_text("".join(f"{deck / name}\n" for name in list(DECK)[:3]))
    daemon = daemon_of({"one": {"playlist": str(playlist), "media_roots": [str(deck)]}}, cache=prepared)
    daemon.start()
    wait_until(lambda: len(lines(daemon)) >= 3, what="three clips")
    return daemon


def faults(told: list[dict[str, Any]]) -> list[str]:
    """Sentences on lines that do not follow each other on the timeline, or have not the outcome and frames of their clip."""
    found = [
        f"{line['serial']} is {line['outcome']} after {line['frames']}" for line in told[:-1] if line["outcome"] != "end" and line["path"]
    ]
    found += [
        f"{after['serial']} follows {before['serial']}" for before, after in pairwise(told) if after["serial"] != before["serial"] + 1
    ]
    for before, after in pairwise(told):
        if before["frames"] is None or after["ticks"] is None or before["ticks"] is None:
            found.append(f"{before['serial']} is not known to its end")
        elif after["ticks"] - before["ticks"] != before["frames"] * 3600:
            found.append(f"{after['serial']} begins {after['ticks'] - before['ticks']} ticks after {before['frames']} frames")
    return found


def test_no_line_is_missing_though_control_was_killed_while_clips_went_by(
    daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path, tmp_path: Path
) -> None:
    daemon = looped(daemon_of, deck, prepared, tmp_path)
    before = lines(daemon)
    daemon.kill()
    away = time.monotonic() + 4.0
    wait_until(lambda: time.monotonic() > away, what="some clips to go by unheard", timeout_s=10)
    daemon.start()
    wait_until(lambda: lines(daemon)[-1]["serial"] >= before[-1]["serial"] + 6, what="clips that control heard again")
    told = lines(daemon)
    assert len({line["timeline"] for line in told}) == 1
    assert faults(told) == []
    assert [line["id"] for line in told[: len(before)]] == [line["id"] for line in before]
    events = daemon.get("/api/v1/as-run?outcome=lost")
    assert events == []
