"""Row 30: prepared clips are damaged, lose their index, or are gone with their folder."""

from collections.abc import Callable
from pathlib import Path

from nginx_origin import wait_until
from stage import Stage


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
