"""The catalogue: what is prepared and what is refused, remembered by what it is."""

from collections.abc import Callable
from pathlib import Path

from station import Station, settings, until

from channeld.channel.catalogue import record
from channeld.media.clip_state import pending, refused
from channeld.store.records import ClipRecord

OpenStation = Callable[..., Station]


def test_ready_and_refused_clips_are_told_once_each_way(station_of: OpenStation, shelf: Path) -> None:
    (shelf / "noise.mp4").write_bytes(bytes(5000))
    (shelf / "list.txt").write_text("a.mp4\nnoise.mp4\n")
    station = station_of(settings(shelf / "list.txt"))

    def kept() -> list[ClipRecord]:
        station.store.flush()
        return station.store.clips()

    until(lambda: {clip.refusal is None for clip in kept()} == {True, False}, "one of each")
    ready = next(clip for clip in kept() if clip.refusal is None)
    assert (ready.profile, ready.source, ready.duration_s) == ("small", str(shelf / "a.mp4"), 1.0)
    assert ready.key and ready.bytes and ready.prepared_at_s
    bad = next(clip for clip in kept() if clip.refusal is not None)
    assert bad.source == str(shelf / "noise.mp4") and bad.key is None and bad.refusal


def test_what_is_not_decided_is_not_told_and_secrets_are_not_kept() -> None:
    clip = "720p30|https://user:pw@example.org/a|b.mp4?token=s3cr3t|1|2|"
    assert record(clip, pending("waits")) is None
    kept = record(clip, refused("https://user:pw@example.org/a?token=s3cr3t is gone"))
    shown = "https://***@example.org/a|b.mp4?token=***"
    assert kept is not None and (kept.source, kept.profile, kept.clip) == (shown, "720p30", f"720p30|{shown}|1|2|")
    assert "s3cr3t" not in str(kept) and isinstance(kept, ClipRecord)
