"""Whether a source is copied is decided by what it sends, and by nothing that happened before it did."""

import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from prepared import TINY, PreparedShelf, air, blocks_of, feed_of, stream_format

from channeld.media import child
from channeld.media.live_input import PATTERN, LiveInput
from channeld.media.reference import Reference
from channeld.media.tools import find_tools
from channeld.sources.attempt import Attempt, BetterWay, Choice, Figures, Means
from channeld.sources.ingest import Intake
from channeld.sources.spec import SourceSpec
from channeld.ts.nal import ParameterSets, VideoCodec
from channeld.ts.splicer import Splicer

H265 = replace(TINY, name="h265", codec=VideoCodec.H265)
REFERENCE = Reference(ParameterSets(b"\x42\x01", b"\x44\x01", b"\x40\x01"), b"")


def attempt_of(url: str, folder: Path, choice: Choice, figures: Figures) -> Attempt:
    spec = SourceSpec("up", url, str(folder), H265)
    return Attempt(Means(spec, LiveInput(url), REFERENCE, find_tools(), lambda *told: None, lambda: False), choice, figures, "up-1-1")


def test_a_source_that_is_not_there_is_still_to_be_copied(tmp_path: Path) -> None:
    choice = Choice(copies=True)
    attempt_of(str(tmp_path / "missing.ts"), tmp_path, choice, Figures()).run()
    assert (choice.copies, choice.refused) == (True, "")


def made(path: Path, params: str) -> str:
    """Three seconds in the house format, by another's x265."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", "-f", "lavfi", "-i", "sine=r=48000", "-t", "3", "-c:a", "aac", "-ac", "2")
    picture = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:keyint=25:scenecut=0:ref=2:{params}")
    subprocess.run(["ffmpeg", "-v", "error", *source, *picture, "-pix_fmt", "yuv420p", "-f", "mpegts", str(path)], check=True, timeout=60)
    return str(path)


@pytest.mark.parametrize("params", ["open-gop=0:bframes=0", "open-gop=0:bframes=3:b-pyramid=0"])
def test_h265_of_any_making_is_copied_and_splices_with_slates(params: str, prepared: PreparedShelf, tmp_path: Path) -> None:
    url, choice, figures = made(tmp_path / "up.ts", params), Choice(copies=False), Figures()
    folder = tmp_path / "live"
    folder.mkdir()
    tries = 0
    while True:
        attempt = attempt_of(url, folder, choice, figures)
        try:
            attempt.run()
            break
        except BetterWay:
            tries += 1
            assert tries <= 2
    assert (figures.mode, choice.is_shifted, choice.refused) == ("copy", "bframes=0" in params, "")
    assert attempt.clip is not None
    for kind in ("ts", "idx"):
        (folder / f"up-1-1.{kind}.part").rename(folder / f"up-1-1.{kind}")
    live, slate = blocks_of(attempt.clip), blocks_of(prepared.filler(H265))  # type: ignore[arg-type]
    assert sum(len(block.video) for block in live) > 60
    splicer, stream = Splicer(stream_format(H265)), tmp_path / "air.ts"
    stream.write_bytes(b"".join(air(splicer, feed_of(blocks)) for blocks in (slate, live, slate)))
    decoded = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(stream), "-f", "null", "-"]
    found = subprocess.run(decoded, capture_output=True, timeout=60, check=False)
    assert (found.returncode, found.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    ("params", "why"),
    [("open-gop=1:bframes=3:b-pyramid=0", "its GOPs are open"), ("open-gop=0:bframes=4:b-pyramid=1:b-adapt=0", "reordered further")],
)
def test_what_cannot_be_spliced_is_transcoded_and_the_reason_told(params: str, why: str, tmp_path: Path) -> None:
    """At once where it comes at once; where the first GOP was on air before the second came, from the next attempt on."""
    url, choice, figures = made(tmp_path / "up.ts", params), Choice(copies=True), Figures()
    with suppress(BetterWay):
        attempt_of(url, tmp_path, choice, figures).run()
    assert not choice.copies and why in choice.refused


def test_what_breaks_a_rule_behind_its_first_gop_is_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would come and go for ever."""
    monkeypatch.setattr(child, "CHUNK_BYTES", 1504)  # so that the first GOP is kept before the second is there
    url, choice = made(tmp_path / "up.ts", "open-gop=1:bframes=3:b-pyramid=0"), Choice(copies=True)
    spec = SourceSpec("up", url, str(tmp_path), H265)
    intake = Intake(replace(spec, url=PATTERN), REFERENCE, lambda *_, **__: None)
    # A file, which no configuration could name: it comes at once, and ends.
    intake._means = Means(spec, LiveInput(url), REFERENCE, find_tools(), lambda *told: None, lambda: False)
    intake._attempt(choice)
    assert intake.figures.mode == "copy" and intake.figures.frames > 0, "its first GOP was on air"
    assert not choice.copies and "its GOPs are open" in choice.refused
    intake._attempt(choice)
    assert intake.figures.mode == "transcode" and "its GOPs are open" in intake.figures.why
