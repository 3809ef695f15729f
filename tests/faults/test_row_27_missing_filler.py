"""Row 27, its other half: the filler itself is missing, at the start or while the channel is on air."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from clips import numbered_clip
from judge.decode import gray_frames
from judge.marks import read_number
from judge.ts import Allowances, read_ts
from recordings import TsRecorder
from running import FPS, RunningDaemon
from solo import channel_of, write_list
from stage import Row, record

FILLER_BASE = 5000
FILLER_FRAMES = 50


def test_a_channel_without_its_filler_shows_the_card_and_one_that_loses_it_on_air_goes_on_showing_it(
    solo_daemon: Callable[..., RunningDaemon], solo_clips: list[Path], tmp_path: Path
) -> None:
    """Two channels of one daemon: the filler of `one` was never there, that of `two` is removed when it is on air."""
    daemon, row = solo_daemon({"ts": {}}), Row(27, time.monotonic(), {})
    filler = numbered_clip(daemon.folder / "soon.mp4", frames=FILLER_FRAMES, base=FILLER_BASE, size=(320, 180))
    lists = {"one": daemon.folder / "one.txt", "two": write_list(daemon.folder / "two.txt", solo_clips)}
    daemon.config["channels"]["two"] = channel_of(lists["two"], {"ts": {}})
    daemon.config["channels"]["one"]["filler"] = str(daemon.folder / "never-there.mp4")
    daemon.config["channels"]["two"]["filler"] = str(filler)
    daemon.start()
    for name in lists:
        daemon.wait_for(name, lambda found: found["state"] == "on_air", what=f"{name} on air", timeout_s=60)
    (told,) = daemon.log("filler_replaced")
    assert "never-there.mp4" in told["path"] and "No such file" in told["error"]

    filler.unlink()
    viewers = {name: TsRecorder(daemon.ts_url(name), tmp_path / f"{name}.ts").start() for name in lists}
    for name, playlist in lists.items():
        write_list(playlist, [])
        daemon.wait_for(name, lambda found: found["state"] == "filler", what=f"the filler of {name}")
    begun_s = time.monotonic()
    for name, playlist in lists.items():
        write_list(playlist, solo_clips)
        daemon.wait_for(name, lambda found: found["state"] == "on_air", what=f"the list of {name} to air again")
    row.measured["missing filler: entry_after_filler_s"] = round(time.monotonic() - begun_s, 2)
    for viewer in viewers.values():
        viewer.close()
    record(row)
    judged = Allowances(open_start=True, open_end=True)
    faults = {name: read_ts(viewer.path, fps=Fraction(FPS), allowances=judged).faults() for name, viewer in viewers.items()}
    assert faults == {"one": [], "two": []}
    seen = {name: {read_number(picture) for picture in gray_frames(viewer.path, size=(160, 90))} for name, viewer in viewers.items()}
    assert None in seen["one"], "the card has no number"
    assert seen["two"] & set(range(FILLER_BASE, FILLER_BASE + FILLER_FRAMES)), "the lost filler is still shown"
