"""A push over the death of its control: FFmpeg is left with the holder, adopted, fed on, or found to be another one."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from nginx_origin import NginxOrigin, missing_parts
from push_feeding import Feeder, Until

from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import UNFED, PushCondition, PushState
from channeld.outputs.push_plan import PushTiming, kept_fifos
from channeld.process.fifo import clean_stale
from channeld.process.hold_client import HolderClient, start_holder

UP, RETRYING = PushCondition.UP, PushCondition.RETRYING
pytestmark = pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")


class Controls:
    """One control after the other, each with its connection to the one holder and its push."""

    def __init__(self, folder: Path, feeder: Feeder) -> None:
        self.folder, self._feeder = folder, feeder
        self._clients: list[HolderClient] = []
        self._outputs: list[PushOutput] = []

    @property
    def holder(self) -> HolderClient:
        return self._clients[-1]

    def next(self, url: str, *, adopt: bool = True, timing: PushTiming | None = None) -> PushOutput:
        """A control that has just started; the one before is gone or was killed."""
        quiet = ("--log-level", "warning")
        self._clients.append(start_holder(self.folder, linger_s=60, on_lost=lambda: None, arguments=quiet))
        seen: list[PushState] = []
        output = PushOutput(
            "rtmp",
            "live1",
            url,
            holder=self.holder,
            runtime_dir=self.folder,
            on_writer=self._feeder.take,
            on_state=seen.append,
            adopt=adopt,
            timing=timing,
        )
        self._outputs.append(output)
        output.start()
        return output

    def close(self) -> None:
        for output in reversed(self._outputs):
            output.close()
        for client in reversed(self._clients):
            client.end(grace_s=0.5)


@pytest.fixture
def controls(tmp_path: Path, feeder: Feeder) -> Iterator[Controls]:
    made = Controls(tmp_path / "run", feeder)
    yield made
    made.close()


def lives(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def is_in(output: PushOutput, condition: PushCondition) -> Callable[[], bool]:
    return lambda: output.state.condition is condition


def test_a_push_that_was_left_is_adopted_without_a_word_to_its_feeder_and_a_new_feeder_goes_on_at_the_byte(
    nginx_rtmp: NginxOrigin, controls: Controls, feeder: Feeder, until: Until
) -> None:
    """First control alone is replaced, then the playout host too: FFmpeg reads on as if nothing had been."""
    first = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(first, UP))
    pid = first.state.pid
    first.leave()
    first.leave()
    controls.holder.close()
    assert lives(pid)
    second = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(second, UP))
    assert (second.state.pid, second.state.restarts, feeder.told) == (pid, 0, [True])
    feeder.pause()
    second.refeed()
    until(lambda: feeder.continued == [False, True])
    count = len(nginx_rtmp.segments("a"))
    nginx_rtmp.wait_for_segments("a", count + 3)  # more than what was on its way
    assert (second.state.pid, second.state.restarts, second.state.condition) == (pid, 0, UP)
    assert (nginx_rtmp.manifest("a") or "").count("#EXT-X-DISCONTINUITY") == 1  # at its very beginning


def test_a_push_to_another_target_is_not_adopted_but_ended_and_started_anew(
    nginx_rtmp: NginxOrigin, controls: Controls, feeder: Feeder, until: Until
) -> None:
    first = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(first, UP))
    pid = first.state.pid
    first.leave()
    second = controls.next(nginx_rtmp.rtmp_url("b"))
    until(is_in(second, UP))
    assert second.state.pid != pid and not lives(pid)
    assert [child.name for child in controls.holder.held().children] == ["push:live1/rtmp"]
    assert controls.holder.held().fds == ("push:live1/rtmp",)


@pytest.mark.long
def test_a_push_that_died_while_nobody_looked_is_started_anew(nginx_rtmp: NginxOrigin, controls: Controls, until: Until) -> None:
    first = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(first, UP))
    pid = first.state.pid
    assert pid is not None
    first.leave()
    controls.holder.close()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lives(pid))
    second = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(second, UP))
    assert second.state.pid != pid


@pytest.mark.long
def test_a_push_whose_fifo_was_removed_is_not_adopted(nginx_rtmp: NginxOrigin, controls: Controls, until: Until) -> None:
    first = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(first, UP))
    pid = first.state.pid
    first.leave()
    for path in (controls.folder / "fifo").iterdir():
        path.unlink()
    second = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(second, UP))
    assert second.state.pid != pid and not lives(pid)


@pytest.mark.long
def test_an_adopted_push_whose_target_is_away_is_not_called_up(nginx_rtmp: NginxOrigin, controls: Controls, until: Until) -> None:
    first = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(first, UP))
    nginx_rtmp.crash()
    until(is_in(first, RETRYING))
    pid = first.state.pid
    first.leave()
    second = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(second, RETRYING))
    assert second.state.reason == "connection refused"
    nginx_rtmp.start()
    until(is_in(second, UP))
    assert (second.state.pid, second.state.restarts) == (pid, 0)


@pytest.mark.long
def test_ffmpeg_without_anything_to_send_is_not_killed_and_is_offered_its_write_end_again(
    nginx_rtmp: NginxOrigin, controls: Controls, feeder: Feeder, until: Until
) -> None:
    """The feeder died and nobody said so: 2 s with patience of 1 s, and FFmpeg keeps its pid."""
    output = controls.next(nginx_rtmp.rtmp_url("a"), timing=PushTiming(stall_s=1.0))
    until(is_in(output, UP))
    pid = output.state.pid
    feeder.pause()
    until(lambda: output.state.reason == UNFED)
    until(lambda: feeder.continued[-1])
    until(is_in(output, UP))
    assert (output.state.pid, output.state.restarts) == (pid, 0)


def test_only_fifos_that_belong_to_nothing_held_are_stale(nginx_rtmp: NginxOrigin, controls: Controls, until: Until) -> None:
    output = controls.next(nginx_rtmp.rtmp_url("a"))
    until(is_in(output, UP))
    folder = controls.folder / "fifo"
    os.mkfifo(folder / "dead.rtmp")
    (folder / "note.txt").write_text("not a FIFO")
    assert clean_stale(folder, kept_fifos(controls.holder.held())) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["live1.rtmp", "note.txt"]
