"""Daemons of one test alone, for rows that stop, start or starve a whole daemon: small, with clips that are prepared already."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clips import numbered_clip
from running import RunningDaemon, prepare

CLIP_FRAMES = 50
HLS: dict[str, Any] = {"hls": {"segment_seconds": 1, "window": 6}}


def make_clips(folder: Path, count: int = 2) -> list[Path]:
    """Numbered clips of two seconds: the pictures' numbers go on from one to the next."""
    clips = [folder / f"solo{number}.mp4" for number in range(count)]
    for number, path in enumerate(clips):
        numbered_clip(path, frames=CLIP_FRAMES, base=number * CLIP_FRAMES, size=(320, 180))
    return clips


def write_list(path: Path, clips: Sequence[Path]) -> Path:
    """A list of these clips, put in place whole."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text("".join(f"{clip}\n" for clip in clips))
    draft.replace(path)
    return path


def channel_of(playlist: Path, *outputs: dict[str, Any]) -> dict[str, Any]:
    """A channel with HLS, and other outputs if any."""
    return {"playlist": str(playlist), "outputs": [copy.deepcopy(HLS), *outputs]}


def prepared_cache(folder: Path, clips: Sequence[Path]) -> Path:
    """The clips as `channeld prepare` makes them: a cache folder to copy."""
    folder.mkdir()
    playlist = write_list(folder / "all.txt", clips)
    return prepare(folder, {"all": {"playlist": str(playlist), "media_roots": [str(clips[0].parent)]}})


def solo(folder: Path, playlist: Path, cache: Path | None, media: Path, *outputs: dict[str, Any]) -> RunningDaemon:
    """A daemon with one channel, `one`; not started."""
    daemon = RunningDaemon(folder, {"one": channel_of(playlist, *outputs)}, cache=cache)
    daemon.config["media_roots"] = [str(folder), str(media)]
    return daemon
