"""A source that sends pictures nobody wants to see: FFmpeg's own detectors on a real stream, and what is made of their words."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared import TINY

from channeld.channel.failover import Failover, FailoverRules, Standing
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_reference
from channeld.media.live_input import live_input
from channeld.media.picture_rules import PictureRules
from channeld.media.tools import find_tools
from channeld.sources.attempt import Attempt, Choice, Figures, Means
from channeld.sources.picture_watch import PictureWatch
from channeld.sources.spec import Reason, SourceSpec, SourceState

RULES = PictureRules(frozen_s=1.5, black_s=1.0, silent_s=1.5)
_SIZE = "s=160x90:r=25"
PICTURES = (
    f"testsrc2={_SIZE}:d=2[a];color=black:{_SIZE}:d=2.5[b];testsrc2={_SIZE}:d=1.5[c];"
    f"color=gray:{_SIZE}:d=2.5[d];testsrc2={_SIZE}:d=4[e];[a][b][c][d][e]concat=n=5:v=1:a=0[out0]"
)
SOUND = "sine=440:d=9[x];anullsrc=cl=mono,atrim=end=3[y];[x][y]concat=n=2:v=0:a=1[out0]"


def test_black_frozen_and_silent_are_told_in_turn_and_so_is_their_end(free_port: Callable[[], int], tmp_path: Path) -> None:
    reference = ensure_reference(ClipCache(tmp_path / "cache", 1 << 30), TINY, find_tools())
    url = f"udp://127.0.0.1:{free_port()}"
    told: list[tuple[SourceState, Reason | None]] = []

    def tell(state: SourceState, reason: Reason | None, _detail: str, _clip: str | None) -> None:
        if not told or told[-1] != (state, reason):
            told.append((state, reason))

    (tmp_path / "live").mkdir()
    spec = SourceSpec("cam", url, str(tmp_path / "live"), TINY, timeout_s=2.0, loss_grace_s=1.5, picture=RULES)
    means = Means(spec, live_input(url, timeout_s=2.0), reference, find_tools(), tell, lambda: False)
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-f", "mpegts", f"{url}?pkt_size=1316")
    inputs = ("-re", "-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", SOUND)
    with subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", *inputs, *encoder], stdin=subprocess.DEVNULL) as sender:
        try:
            ended = Attempt(means, Choice(copies=False), Figures(), "cam-1").run()
        finally:
            sender.kill()
    live = (SourceState.LIVE, None)
    lost = [(SourceState.LOST, reason) for reason in (Reason.BLACK, Reason.FROZEN, Reason.SILENT)]
    assert told[:6] == [live, lost[0], live, lost[1], live, lost[2]], ended


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        (["[freezedetect @ 0x1] [info] lavfi.freezedetect.freeze_start: 4"], Reason.FROZEN),
        (["[Parsed_metadata_2 @ 0x1] [info] lavfi.black_start=4"], Reason.BLACK),
        (["lavfi.black_start=4", "lavfi.freezedetect.freeze_start: 4"], Reason.BLACK),
        (["lavfi.black_start=4", "lavfi.black_end=5"], None),
        (["lavfi.freezedetect.freeze_start: 4", "lavfi.freezedetect.freeze_duration: 4", "lavfi.freezedetect.freeze_end: 8"], None),
        (["[silencedetect @ 0x1] [info] silence_start: 3"], Reason.SILENT),
        (["silence_start: 3", "silence_end: 8.00002 | silence_duration: 5.00002"], None),
        (["[blackdetect @ 0x1] [info] black_start:4 black_end:8 black_duration:4"], None),
        (["frame:200  pts:8000000 pts_time:8", "nothing of the kind", ""], None),
    ],
)
def test_what_the_detectors_say_is_understood(lines: list[str], trouble: Reason | None) -> None:
    watch = PictureWatch(RULES)
    for line in lines:
        watch.feed(line, 10.0)
    found = watch.trouble(12.0)
    assert (found[0] if found else None) is trouble


def test_a_black_picture_counts_only_after_its_time() -> None:
    watch = PictureWatch(PictureRules(black_s=5.0))
    watch.feed("lavfi.black_start=4", 10.0)
    assert watch.trouble(14.9) is None
    assert watch.trouble(15.0) == (Reason.BLACK, "the picture is black for 5 s")


def test_what_nobody_asked_for_is_nothing() -> None:
    watch = PictureWatch(PictureRules(black_s=5.0))
    watch.feed("silence_start: 3", 10.0)
    assert watch.trouble(100.0) is None
    assert not PictureRules().any and not PictureRules().picture_filters() and not PictureRules().sound_filters()


def test_a_frozen_source_leaves_the_air_at_once_as_it_had_its_time() -> None:
    failover = Failover(["cam"], FailoverRules(loss_grace_s=2.0))
    failover.told("cam", Standing(SourceState.LOST, Reason.FROZEN, since_s=100.0))
    assert failover.must_leave_in_s("cam", 100.0) == 0.0


def test_a_source_that_has_no_sound_at_all_is_silent_when_the_limit_is_over():
    watch = PictureWatch(PictureRules(silent_s=3.0))
    watch.begin_mute(10.0)
    assert watch.trouble(12.9) is None
    assert watch.trouble(13.0) == (Reason.SILENT, "no sound for 3 s")
    unwatched = PictureWatch(PictureRules(frozen_s=3.0))
    unwatched.begin_mute(10.0)
    assert unwatched.trouble(100.0) is None
