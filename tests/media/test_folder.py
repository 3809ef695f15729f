"""Whole folders of unlike real files: what must air airs, what is broken is refused with a reason.

CHANNELD_TEST_MEDIA names a folder with a MANIFEST.tsv (columns `file` and `expected`: air or refuse); without it, the project's own clips.
"""

import csv
import os
from pathlib import Path

import pytest
from judge.decode import decode_faults

from channeld.base.errors import MediaError
from channeld.media.prepare import PrepareRequest, prepare

OWN = Path(__file__).resolve().parents[2] / "playlists" / "media"
SUFFIXES = {".mp4", ".mkv", ".mov", ".flv", ".webm", ".avi", ".mpg", ".ogv", ".ts", ".wmv"}


def expectations() -> list[tuple[Path, str]]:
    """Every file with what it must come to."""
    named = os.environ.get("CHANNELD_TEST_MEDIA")
    if named:
        with (Path(named) / "MANIFEST.tsv").open(newline="") as file:
            return [(Path(named) / row["file"], row["expected"]) for row in csv.DictReader(file, delimiter="\t")]
    return [
        (path, "refuse" if path.parent.name == "broken" else "air")
        for path in sorted(OWN.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file()
    ]


@pytest.mark.parametrize(("source", "expected"), expectations(), ids=lambda value: value.name if isinstance(value, Path) else value)
def test_a_file_airs_or_is_refused_with_a_reason(shared_cache, small, source: Path, expected: str):
    try:
        clip = prepare(PrepareRequest(source, small), shared_cache)
    except MediaError as error:
        assert expected == "refuse", str(error)
        assert 8 < len(str(error)) < 200
        return
    assert expected == "air"
    assert decode_faults(clip.ts_path, frames=clip.frames) == []
