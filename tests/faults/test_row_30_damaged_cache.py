"""Row 30: prepared clips are damaged, lose their index, or are gone with their folder."""

import shutil
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from judge.ts import Allowances, read_ts
from nginx_origin import wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon
from stage import Row, Stage, record


def _overwrite(ts: Path) -> None:
    with ts.open("r+b") as file:
        file.seek(ts.stat().st_size // 2)
        file.write(bytes(4096))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "overwritten": _overwrite,
    "cut short": lambda ts: ts.open("r+b").truncate(ts.stat().st_size // 2),
    "without index": lambda ts: ts.with_suffix(".idx").unlink(),
    "gone": lambda ts: (ts.unlink(), ts.with_suffix(".idx").unlink()),
}


def test_damage_is_noticed_before_it_airs_and_the_clips_are_prepared_again(stage: Stage) -> None:
    """Every kind of damage at once, each to another clip; one that is already in memory may air once more from there."""
    daemon = stage.daemon
    with stage.row(30) as row:
        files = dict(zip(DAMAGES, (_prepared(stage, clip) for clip in stage.shorts), strict=False))
        told = len(daemon.log("clip_damaged"))
        for name, ts in files.items():
            DAMAGES[name](ts)
        wait_until(lambda: len(daemon.log("clip_damaged")) >= told + 2, what="the damage to be noticed")
        wait_until(lambda: all(_is_whole(ts) for ts in files.values()), what="the clips to be prepared again", timeout_s=60)
        aired = len(daemon.airings("hit"))
        for clip in stage.shorts[: len(files)]:
            daemon.wait_for_airing("hit", str(clip), after=aired)
        stage.wait_for_news(["hit"])
        seen = stage.look("hit", row.since["hit"])
        row.measured["pictures_of_the_filler"] = seen.strange
    assert (seen.faults, seen.discontinuities) == ((), 0)


def _prepared(stage: Stage, clip: Path) -> Path:
    """The packets of a clip's prepared form: the smallest, where a file of this name once held a longer clip."""
    found = []
    for idx in (stage.daemon.folder / "state" / "cache").glob("*/*.idx"):
        if f'"source": "{clip.name}"'.encode() in idx.read_bytes().replace(b'":"', b'": "'):
            found.append(idx.with_suffix(".ts"))
    return min(found, key=lambda ts: ts.stat().st_size)


def _is_whole(ts: Path) -> bool:
    idx = ts.with_suffix(".idx")
    return ts.exists() and idx.exists() and b"END1" in idx.read_bytes()


def test_a_cache_folder_that_is_removed_whole_is_made_again_while_the_channel_is_on_air(
    solo_daemon: Callable[..., RunningDaemon], solo_clips: list[Path], tmp_path: Path
) -> None:
    daemon, row = solo_daemon({"ts": {}}), Row(30, time.monotonic(), {})
    daemon.start()
    cache = daemon.folder / "state" / "cache"
    daemon.wait_for("one", lambda found: found["state"] == "on_air", what="the channel on air")
    with TsRecorder(daemon.ts_url("one"), tmp_path / "seen.ts") as viewer:
        before = len(list(cache.glob("*/*.idx")))
        shutil.rmtree(cache)
        begun_s = time.monotonic()
        wait_until(
            lambda: len([idx for idx in cache.glob("*/*.idx") if _is_whole(idx.with_suffix(".ts"))]) >= len(solo_clips), what="the clips"
        )
        row.measured["folder removed: prepared_again_s"] = round(time.monotonic() - begun_s, 1)
        aired = len(daemon.airings("one"))
        for clip in solo_clips:
            daemon.wait_for_airing("one", str(clip), after=aired)
    record(row)
    assert before > len(solo_clips), "the clips and the filler"
    assert viewer.trouble == []
    assert read_ts(tmp_path / "seen.ts", fps=Fraction(FPS), allowances=Allowances(open_start=True, open_end=True)).faults() == []
    assert daemon.channel("one")["state"] == "on_air"
    assert list(cache.glob("*/reference.json")), "what all clips of the profile share is kept again"
