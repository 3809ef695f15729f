"""Row 30: prepared clips are damaged, lose their index, or are gone with their folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
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


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_noticed_before_it_airs_and_the_clip_is_prepared_again(stage: Stage, name: str) -> None:
    daemon = stage.daemon
    with stage.row(30) as row:
        ts = _prepared(stage, stage.shorts[2])
        told = len(daemon.log("clip_damaged"))
        DAMAGES[name](ts)
        wait_until(lambda: len(daemon.log("clip_damaged")) > told, what="the damage to be noticed")
        wait_until(lambda: _is_whole(ts), what="the clip to be prepared again")
        aired = len(daemon.airings("hit"))
        daemon.wait_for_airing("hit", str(stage.shorts[2]), after=aired)
        stage.wait_for_news(["hit"])
        seen = stage.look("hit", row.since["hit"])
        row.measured["fillers"] = daemon.aired("hit")[aired:].count(None)
    assert (seen.faults, seen.discontinuities, seen.strange) == ((), 0, 0)


def _prepared(stage: Stage, clip: Path) -> Path:
    """The packets of a clip's prepared form."""
    for idx in (stage.daemon.folder / "state" / "cache").glob("*/*.idx"):
        if f'"source": "{clip.name}"'.encode() in idx.read_bytes().replace(b'":"', b'": "'):
            return idx.with_suffix(".ts")
    raise LookupError(clip.name)


def _is_whole(ts: Path) -> bool:
    idx = ts.with_suffix(".idx")
    return ts.exists() and idx.exists() and b"END1" in idx.read_bytes()
