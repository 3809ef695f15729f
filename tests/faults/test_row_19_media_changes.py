"""Row 19: a media file is deleted, truncated, replaced or grown while it is on air or being prepared."""

import shutil
from pathlib import Path

import pytest
from clips import numbered_clip
from injection import ffmpeg_of
from nginx_origin import wait_until
from stage import SHORT_FRAMES, Stage


def _airs(stage: Stage, path: Path) -> None:
    """Wait until the clip begins once more."""
    stage.daemon.wait_for_airing("hit", str(path), after=len(stage.daemon.airings("hit")))


def test_a_file_deleted_on_air_airs_to_its_end_and_is_skipped_from_then_on(stage: Stage) -> None:
    with stage.row(19):
        path = stage.shorts[1]
        _airs(stage, path)
        path.unlink()
        wait_until(lambda: stage.daemon.channel("hit")["now"]["path"] != str(path), what="the next clip")
        ended = [airing for airing in stage.daemon.airings("hit") if airing["path"] == str(path) and airing["ended"]][-1]
        assert (ended["ended"], ended["frames"]) == ("end", SHORT_FRAMES)
        # The list says that it is gone within 10 s, or at the next edit.
        stage.daemon.wait_for("hit", lambda found: all(each["path"] != str(path) for each in found["next"]), what="the file to be skipped")


@pytest.mark.long
@pytest.mark.parametrize("how", ["moved over it", "written into it"])
def test_a_file_replaced_on_air_is_prepared_anew(stage: Stage, how: str) -> None:
    path, longer = stage.shorts[2], stage.media / f"{how}.other.mp4".replace(" ", "-")
    numbered_clip(longer, frames=2 * SHORT_FRAMES, base=300_000, size=(320, 180))
    with stage.row(19):
        aired = len(stage.daemon.airings("hit"))
        _airs(stage, path)
        if how == "moved over it":
            longer.replace(path)
        else:
            shutil.copyfile(longer, path)
        wait_until(lambda: _frames_of_newest(stage, path) == 2 * SHORT_FRAMES, what="the other content", timeout_s=40)
        frames = {each["frames"] for each in stage.daemon.airings("hit")[aired:] if each["path"] == str(path) and each["ended"] == "end"}
        path.unlink()
        longer.unlink(missing_ok=True)
    assert frames == {SHORT_FRAMES, 2 * SHORT_FRAMES}, "the old content to its end, then the new one, never a mixture"


def _frames_of_newest(stage: Stage, path: Path) -> int | None:
    """How long the newest whole airing of a clip was."""
    frames = [each["frames"] for each in stage.daemon.airings("hit") if each["path"] == str(path) and each["ended"] == "end"]
    return frames[-1] if frames else None


@pytest.mark.long
@pytest.mark.parametrize("how", ["truncated", "deleted"])
def test_a_file_that_is_lost_while_it_is_prepared_is_skipped_without_a_trace_on_air(stage: Stage, how: str) -> None:
    path = numbered_clip(stage.media / f"{how}.mkv", frames=750, size=(640, 360), base=310_000 + len(how))
    with stage.row(19) as row:
        stage.write_list("hit", [*stage.shorts, path])
        ffmpeg_of(path)
        if how == "truncated":
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 4)
        else:
            path.unlink()
        aired = len(stage.daemon.airings("hit"))
        wait_until(lambda: len(stage.daemon.airings("hit")) > aired + len(stage.shorts), what="a round of the list", timeout_s=40)
        seen = stage.look("hit", row.since["hit"])
    assert (seen.faults, seen.discontinuities) == ((), 0)
    if how == "truncated":
        assert str(path) not in stage.daemon.aired("hit")


@pytest.mark.long
def test_a_file_that_is_still_being_copied_airs_when_it_is_whole(stage: Stage) -> None:
    whole = numbered_clip(stage.folder / "whole.mkv", frames=100, size=(320, 180), base=320_000).read_bytes()
    path = stage.media / "growing.mkv"
    with stage.row(19):
        path.write_bytes(whole[: len(whole) // 3])
        stage.write_list("hit", [*stage.shorts, path])
        wait_until(lambda: str(path) in stage.daemon.refusals(), what="the part of a file to be refused")
        with path.open("ab") as file:
            file.write(whole[len(whole) // 3 :])
        stage.daemon.wait_for_airing("hit", str(path), timeout_s=40)
        wait_until(lambda: _frames_of_newest(stage, path) == 100, what="all of it")
        frames = [each["frames"] for each in stage.daemon.airings("hit") if each["path"] == str(path) and each["ended"]]
    assert set(frames) == {100}, "never a part of it"
