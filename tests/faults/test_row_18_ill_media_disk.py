"""Row 18: reads of a media file stall, or fail in the middle of it."""

import time
from collections.abc import Iterator

import pytest
from clips import numbered_clip
from injection import IllDisk, ill_disk
from nginx_origin import wait_until
from stage import Stage

FRAMES = 500


@pytest.fixture(scope="module")
def disk(stage: Stage) -> Iterator[IllDisk]:
    """The folder of media, seen through a disk that can fall ill."""
    with ill_disk(stage.media, stage.folder / "ill") as made:
        yield made


@pytest.mark.parametrize(
    ("how", "suffix"), [("eio", "mkv"), *(pytest.param(*each, marks=pytest.mark.long) for each in (("eio", "mp4"), ("stall", "mkv")))]
)
def test_what_is_ready_airs_while_a_disk_is_ill_and_its_clip_when_it_is_well(stage: Stage, disk: IllDisk, how: str, suffix: str) -> None:
    daemon = stage.daemon
    base = 50_000 + 1000 * len(list(stage.media.iterdir()))
    path = numbered_clip(stage.media / f"{how}.{suffix}", frames=FRAMES, size=(640, 360), base=base)
    shown = str(disk.folder / path.name)
    with stage.row(18) as row:
        fillers = daemon.aired("hit").count(None)
        waits = len(daemon.log("clip_waits", "clip_refused"))
        with disk.ill(how, from_byte=path.stat().st_size // 2):
            stage.write_list("hit", [*stage.shorts, shown])
            if how == "eio":
                wait_until(
                    lambda: len(daemon.log("clip_waits", "clip_refused")) > waits, what="the clip's trouble to be told", timeout_s=40
                )
            aired = len(daemon.airings("hit"))
            wait_until(lambda: len(daemon.airings("hit")) > aired + 2, what="ready clips to go on")
            assert shown not in daemon.aired("hit")
        begun = time.monotonic()
        daemon.wait_for_airing("hit", shown, timeout_s=60)
        row.measured[f"{how} of {suffix}: airs_after_s"] = round(time.monotonic() - begun, 1)
        assert daemon.post("/api/v1/channels/hit/skip").status_code == 202
        assert daemon.aired("hit").count(None) == fillers
