"""The last ten minutes in figures, of a real channel on air."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from station import Station, settings, until

from channeld.channel import recent as module
from channeld.channel.recent import KEPT, Recent


def test_a_channel_on_air_is_written_down_step_by_step_and_only_the_newest_are_kept(
    tmp_path: Path, house_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.25)
    playlist = tmp_path / "media" / "list.txt"
    playlist.parent.mkdir()
    playlist.write_text("a.mp4\n")
    (playlist.parent / "a.mp4").write_bytes(house_clip.read_bytes())
    with Station(tmp_path, [settings(playlist)]) as station:
        figures = Recent(station.loop, station.registry)
        figures.start()
        since: Callable[[float], list[dict[str, Any]]] = lambda moment_s: station.order(lambda: figures.since("one", moment_s))  # noqa: E731
        until(lambda: any(sample["bitrate_kbps"] for sample in since(0)), "a bitrate")
        last = since(0)[-1]
        assert last["lateness_ms"] is not None
        assert last["ahead_s"] is not None
        assert last["behind_slices"] is None, "there is no push"
        assert since(4e9) == []
        monkeypatch.setattr(module, "STEP_S", 0.001)
        until(lambda: len(since(0)) == KEPT, "as many as are kept")
        oldest = since(0)[0]["at"]
        until(lambda: since(0)[0]["at"] > oldest, "the oldest to give way")
        assert len(since(0)) == KEPT
