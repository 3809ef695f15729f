"""`channeld check` says how much of a loop is prepared, and leaves the cache as it is."""

import shutil
from pathlib import Path

import pytest
from clips import numbered_clip, text_file

from channeld.check import check
from channeld.check_stock import measure_once
from channeld.config import load
from channeld.media.cache import ClipCache
from channeld.media.prepare import PrepareRequest, prepare

CONFIG = """
state_dir: state
runtime_dir: run
hls_dir: hls
prepare: {{cache_max_bytes: {limit}}}
profiles:
  small: {{width: 320, height: 180, fps: 25, video_bitrate: 400k, audio_bitrate: 64k, gop_seconds: 1}}
defaults: {{profile: small}}
channels:
  one: {{playlist: list.yaml, outputs: [{{hls: {{segment_seconds: 2}}}}]}}
"""


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    numbered_clip(tmp_path / "a.mp4", frames=50, size=(320, 180))
    numbered_clip(tmp_path / "b.mp4", frames=75, base=500, size=(320, 180))
    text_file(tmp_path / "fake.mp4")
    (tmp_path / "list.yaml").write_text("- a.mp4\n- missing.mp4\n- {path: a.mp4, repeat: 3}\n- fake.mp4\n- b.mp4\n")
    path = tmp_path / "channeld.yaml"
    path.write_text(CONFIG.format(limit="1G"))
    return path


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def prepare_one(config_path: Path) -> Path:
    config = load(config_path)
    root = config.folders.state / "cache"
    cache = ClipCache(root, 1 << 30)
    prepare(PrepareRequest(config_path.parent / "a.mp4", config.profile("small")), cache)
    return root


def test_what_is_prepared_counts_as_often_as_it_airs(config_path: Path) -> None:
    prepare_one(config_path)
    found = check(config_path, measure=measure_once()).readiness["one"]
    assert (found.ready_s, found.needed_s, found.dry_after_s, found.fits_cache) == (8.0, 11.0, 8.0, True)


def test_nothing_is_written_into_the_cache(config_path: Path) -> None:
    root = prepare_one(config_path)
    (root / ("0" * 24)).mkdir()
    (root / ("0" * 24) / "broken.idx").write_bytes(b"not an index")
    before = everything_in(root.parent)
    check(config_path, measure=measure_once())
    assert everything_in(root.parent) == before


def test_a_cache_that_is_not_there_is_not_made(config_path: Path) -> None:
    found = check(config_path, measure=measure_once()).readiness["one"]
    assert (found.ready_s, found.needed_s, found.dry_after_s) == (0.0, 11.0, 0.0)
    assert not (config_path.parent / "state").exists()


def test_a_loop_larger_than_the_cache_is_told(config_path: Path) -> None:
    config_path.write_text(CONFIG.format(limit="100000"))
    report = check(config_path, measure=measure_once())
    assert report.errors == []
    assert report.readiness["one"].fits_cache is False
    assert any(warning.key == "prepare.cache_max_bytes" for warning in report.warnings)


def test_a_whole_loop_never_runs_dry(config_path: Path) -> None:
    prepare_one(config_path)
    shutil.copy(config_path.parent / "a.mp4", config_path.parent / "copy.mp4")
    (config_path.parent / "list.yaml").write_text("- a.mp4\n- copy.mp4\n")
    found = check(config_path, measure=measure_once()).readiness["one"]
    assert (found.ready_s, found.needed_s, found.dry_after_s) == (4.0, 4.0, None)
