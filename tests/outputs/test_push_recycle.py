"""The planned recycle of an egress FFmpeg before RTMP's clock of milliseconds wraps at 2**31 (24.86 days)."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin, missing_parts
from push_feeding import Feeder, Until

from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushCondition, PushState
from channeld.outputs.push_plan import DAY_S, PushTiming
from channeld.process.holder import Holder

UP, RETRYING = PushCondition.UP, PushCondition.RETRYING
WRAP_S = 2**31 / 1000
pytestmark = pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")

# An FFmpeg whose first life begins so many seconds before the wrap; those after it begin at 0, as every FFmpeg does.
OFFSETTING = """#!{python}
import os, sys
from pathlib import Path
arguments = sys.argv[1:]
mark = Path({mark!r})
if not mark.exists():
    mark.touch()
    at = arguments.index("-map")
    arguments[at:at] = ["-output_ts_offset", {offset!r}]
os.execv({ffmpeg!r}, [{ffmpeg!r}, *arguments])
"""


class Pushing:
    """A push and the states that it was seen in."""

    def __init__(self, url: str, *, holder: Holder, feeder: Feeder, folder: Path, timing: PushTiming, ffmpeg: str) -> None:
        self.seen: list[PushState] = []
        self.folder = folder
        self.output = PushOutput(
            "rtmp",
            "live1",
            url,
            holder=holder,
            runtime_dir=folder,
            on_writer=feeder.take,
            on_state=self.seen.append,
            timing=timing,
            ffmpeg=ffmpeg,
        )
        self.output.start()

    @property
    def pid(self) -> int:
        assert self.output.state.pid is not None
        return self.output.state.pid

    def is_up_but_not(self, pid: int) -> bool:
        state = self.output.state
        return state.condition is UP and state.pid not in (pid, None)

    def fifos(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "fifo").iterdir())


@pytest.fixture
def holder() -> Iterator[Holder]:
    held = Holder()
    yield held
    held.close()


@pytest.fixture
def push(holder: Holder, feeder: Feeder, tmp_path: Path, nginx_rtmp: NginxOrigin, ffmpeg: str) -> Iterator[Callable[..., Pushing]]:
    made: list[Pushing] = []

    def start(recycle_s: float, program: str = ffmpeg) -> Pushing:
        timing = PushTiming(recycle_s=recycle_s, recycle_jitter_s=0.0)
        made.append(Pushing(nginx_rtmp.rtmp_url("a"), holder=holder, feeder=feeder, folder=tmp_path / "run", timing=timing, ffmpeg=program))
        return made[-1]

    yield start
    for each in made:
        each.output.close()


Push = Callable[..., Pushing]


def test_a_push_that_grows_old_waits_for_the_word_with_its_successor_ready(
    push: Push, holder: Holder, feeder: Feeder, nginx_rtmp: NginxOrigin, until: Until
) -> None:
    pushing = push(recycle_s=3.0)
    until(lambda: pushing.output.wants_recycle)
    first = pushing.pid
    until(lambda: pushing.output.state.condition is UP)
    assert (pushing.pid, pushing.fifos(), len(holder.held().children)) == (first, ["live1.rtmp", "live1.rtmp+"], 2)
    pushing.output.recycle()
    until(lambda: pushing.is_up_but_not(first))
    assert feeder.told == [True, False, True]
    assert RETRYING not in {state.condition for state in pushing.seen}, "the name was free when the successor came"
    assert (pushing.output.state.restarts, pushing.output.state.last_error) == (0, None)
    segments = nginx_rtmp.segments("a")
    until(lambda: len(nginx_rtmp.segments("a")) > len(segments))
    assert (nginx_rtmp.manifest("a") or "").count("#EXT-X-DISCONTINUITY\n") == 2  # at the beginning, and now


@pytest.mark.long
def test_a_successor_that_dies_while_it_waits_is_started_again_and_the_old_one_goes_on(push: Push, holder: Holder, until: Until) -> None:
    pushing = push(recycle_s=1.0)
    until(lambda: pushing.output.wants_recycle)
    first = pushing.pid
    (successor,) = [child.pid for child in holder.held().children if child.pid != first]
    os.kill(successor, signal.SIGKILL)
    until(lambda: not pushing.output.wants_recycle)
    pushing.output.recycle()  # now, at the price of waiting for its start
    until(lambda: pushing.is_up_but_not(first))
    assert pushing.output.state.pid != successor
    assert pushing.output.state.restarts == 0


def test_the_usual_age_is_well_before_the_wrap_and_differs_from_push_to_push() -> None:
    ages = {PushTiming().draw_recycle_s() for _ in range(100)}
    assert len(ages) > 90
    assert 18 * DAY_S < min(ages) < max(ages) < WRAP_S - 3 * DAY_S


def undecodable_beginnings(origin: NginxOrigin, ffmpeg: str) -> list[str]:
    """Segments of the manifest that do not begin with what a decoder needs, each by itself."""
    names = []
    for name in origin.segments("a"):
        line = [ffmpeg, "-nostdin", "-v", "error", "-i", str(origin.hls_dir("a") / name), "-f", "null", "-"]
        if "non-existing PPS" in subprocess.run(line, capture_output=True, text=True, timeout=60).stderr:
            names.append(name)
    return names


@pytest.mark.long
@pytest.mark.parametrize("recycle_s", [6.0, 1e9], ids=["recycled", "wrapped"])
def test_a_push_recycled_before_two_to_the_31_ms_never_meets_the_wrap(
    recycle_s: float, push: Push, nginx_rtmp: NginxOrigin, until: Until, tmp_path: Path, ffmpeg: str
) -> None:
    """The same 14 s before the wrap, with and without the recycle: without it, a segment begins in the midst of a GOP."""
    script = tmp_path / "ffmpeg-near-the-wrap"
    script.write_text(OFFSETTING.format(python=sys.executable, mark=str(tmp_path / "mark"), offset=f"{WRAP_S - 14:.3f}", ffmpeg=ffmpeg))
    script.chmod(0o755)
    pushing = push(recycle_s=recycle_s, program=str(script))
    until(lambda: pushing.output.state.condition is UP)
    first = pushing.pid
    if recycle_s < 1e9:
        until(lambda: pushing.output.wants_recycle)
        pushing.output.recycle()
        until(lambda: pushing.is_up_but_not(first))
    nginx_rtmp.wait_for_segments("a", 20)
    assert (nginx_rtmp.manifest("a") or "").count("#EXT-X-DISCONTINUITY\n") == 2  # the beginning; and the recycle, or the wrap
    assert len(undecodable_beginnings(nginx_rtmp, ffmpeg)) == (0 if recycle_s < 1e9 else 1)
