"""RTMP push: real FFmpeg, real nginx-rtmp, a stream fed in real time."""

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from nginx_origin import NginxOrigin, missing_parts
from push_feeding import Feeder, Until

from channeld.base.errors import OutputError
from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushCondition, PushState
from channeld.outputs.push_plan import PushTiming
from channeld.process.holder import Holder

UP, RETRYING, STOPPED = PushCondition.UP, PushCondition.RETRYING, PushCondition.STOPPED
pytestmark = pytest.mark.skipif(bool(missing_parts()), reason=f"missing on this machine: {missing_parts()}")


@pytest.fixture
def origin(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[NginxOrigin]:
    """An nginx that is not yet started."""
    made = NginxOrigin(tmp_path / "origin", ports=(free_port(), free_port(), free_port()), fragment_s=1)
    yield made
    made.stop()


@pytest.fixture
def holder() -> Iterator[Holder]:
    held = Holder()
    yield held
    held.close()


class Pushing:
    """A push with everything it was seen in."""

    def __init__(self, url: str, *, holder: Holder, feeder: Feeder, folder: Path, name: str = "rtmp", **values: object) -> None:
        self.seen: list[PushState] = []
        self.output = PushOutput(
            name,
            "live1",
            url,
            holder=holder,
            runtime_dir=folder,
            on_writer=feeder.take,
            on_state=self.seen.append,
            **values,  # type: ignore[arg-type]
        )
        self.output.start()

    def is_in(self, condition: PushCondition) -> bool:
        return self.output.state.condition is condition


@pytest.fixture
def push(holder: Holder, feeder: Feeder, tmp_path: Path) -> Iterator[Callable[..., Pushing]]:
    """Starts pushes and closes them with the test."""
    made: list[Pushing] = []

    def start(url: str, **values: object) -> Pushing:
        made.append(Pushing(url, holder=holder, feeder=feeder, folder=tmp_path / "run", **values))
        return made[-1]

    yield start
    for each in made:
        each.output.close()


Push = Callable[..., Pushing]


def test_what_is_fed_reaches_the_viewers_of_the_origin(origin: NginxOrigin, push: Push, until: Until) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(UP))
    assert len(origin.wait_for_segments("a", 2)) >= 2
    assert pushing.output.state.restarts == 0


def test_a_target_that_opens_later_is_reached_by_the_same_process(origin: NginxOrigin, push: Push, until: Until) -> None:
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(RETRYING))
    pid = pushing.output.state.pid
    assert pushing.output.state.reason == "connection refused"
    assert "Connection refused" in (pushing.output.state.last_error or "")
    origin.start()
    until(lambda: pushing.is_in(UP))
    assert (pushing.output.state.pid, pushing.output.state.restarts, pushing.output.state.reason) == (pid, 0, None)
    origin.wait_for_segments("a")


def test_an_origin_that_is_killed_and_started_again_gets_the_stream_from_the_same_process(
    origin: NginxOrigin, push: Push, until: Until
) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(UP))
    pid = pushing.output.state.pid
    origin.crash()
    until(lambda: pushing.is_in(RETRYING))
    origin.start()
    until(lambda: pushing.is_in(UP))
    assert (pushing.output.state.pid, pushing.output.state.restarts) == (pid, 0)


def test_a_killed_ffmpeg_is_replaced_and_the_feeder_gets_a_new_write_end(
    origin: NginxOrigin, push: Push, feeder: Feeder, until: Until
) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(UP))
    first = pushing.output.state.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: pushing.is_in(UP) and pushing.output.state.pid != first)
    assert feeder.told == [True, False, True]
    assert pushing.output.state.restarts == 1
    assert "status -9" in (pushing.output.state.last_error or "")


def test_restart_replaces_ffmpeg_by_another_without_calling_it_a_failure(origin: NginxOrigin, push: Push, until: Until) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(UP))
    first = pushing.output.state.pid
    pushing.output.restart()
    until(lambda: pushing.is_in(UP) and pushing.output.state.pid != first)
    assert (pushing.output.state.restarts, pushing.output.state.last_error) == (1, None)
    assert RETRYING not in {state.condition for state in pushing.seen}


def test_a_name_that_another_publisher_holds_is_told(origin: NginxOrigin, push: Push, until: Until, holder: Holder, house_ts: Path) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"))
    until(lambda: pushing.is_in(UP))
    other_feeder = Feeder(house_ts.read_bytes())
    other = Pushing(origin.rtmp_url("a"), holder=holder, feeder=other_feeder, folder=origin.prefix / "run", name="other")
    try:
        until(lambda: other.is_in(RETRYING))
        assert other.output.state.reason == "already publishing"
        assert pushing.is_in(UP)
    finally:
        other.output.close()


def test_an_application_the_origin_does_not_know_is_never_up(origin: NginxOrigin, push: Push, until: Until) -> None:
    origin.start()
    pushing = push(f"rtmp://127.0.0.1:{origin.rtmp_port}/nosuch/a")
    until(lambda: pushing.is_in(RETRYING))
    assert pushing.output.state.reason in ("input/output error", "refused by the server", "broken pipe")
    assert UP not in {state.condition for state in pushing.seen}


def test_a_frozen_ffmpeg_is_killed_for_its_lack_of_progress(origin: NginxOrigin, push: Push, until: Until) -> None:
    origin.start()
    pushing = push(origin.rtmp_url("a"), timing=PushTiming(stall_s=3.0, eof_grace_s=0.1, int_grace_s=0.1))
    until(lambda: pushing.is_in(UP))
    frozen = pushing.output.state.pid
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    until(lambda: "no progress" in (pushing.output.state.last_error or ""))
    until(lambda: pushing.is_in(UP))
    assert pushing.output.state.pid != frozen
    assert not psutil.pid_exists(frozen)


def test_an_ffmpeg_that_ends_with_status_0_has_failed(push: Push, until: Until) -> None:
    pushing = push("rtmp://127.0.0.1:1/live/a", ffmpeg="true")
    until(lambda: pushing.output.state.restarts >= 2)
    assert "ended with status 0" in (pushing.output.state.last_error or "")


def test_a_missing_ffmpeg_is_told_and_tried_again(push: Push, until: Until) -> None:
    pushing = push("rtmp://127.0.0.1:1/live/a", ffmpeg="no-such-ffmpeg")
    until(lambda: pushing.output.state.restarts >= 1)
    assert "not installed" in (pushing.output.state.last_error or "")


def test_a_stream_key_shows_in_no_state(push: Push, until: Until) -> None:
    """The name can never be resolved (RFC 6761), so that nothing leaves the machine."""
    pushing = push("rtmp://ingest.invalid/live2/SECRET")
    until(lambda: pushing.is_in(RETRYING))
    assert pushing.output.state.reason == "name unknown"
    assert not [state for state in pushing.seen if "SECRET" in str(dataclasses.asdict(state))]


@pytest.mark.parametrize("target", ["up", "away"])
def test_close_leaves_no_child_no_fifo_no_descriptor_and_no_thread(
    target: str, origin: NginxOrigin, holder: Holder, feeder: Feeder, tmp_path: Path, until: Until
) -> None:
    if target == "up":
        origin.start()
    fds, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())  # noqa: PTH208 (names only)
    pushing = Pushing(origin.rtmp_url("a"), holder=holder, feeder=feeder, folder=tmp_path / "run")
    until(lambda: pushing.is_in(UP if target == "up" else RETRYING))
    pid = pushing.output.state.pid
    assert pid is not None
    pushing.output.close()
    pushing.output.close()
    assert not psutil.pid_exists(pid)
    assert list((tmp_path / "run" / "fifo").iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208
    assert set(threading.enumerate()) == threads
    assert (holder.held().fds, pushing.seen[-1].condition, feeder.told[-1]) == ((), STOPPED, False)


def test_a_push_that_was_never_started_closes_too(holder: Holder, feeder: Feeder, tmp_path: Path) -> None:
    fds = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names only)
    nobody: list[PushState] = []
    output = PushOutput(
        "rtmp", "a", "rtmp://127.0.0.1:1/a/b", holder=holder, runtime_dir=tmp_path, on_writer=feeder.take, on_state=nobody.append
    )
    output.close()
    assert set(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208


def test_a_url_that_is_not_rtmp_is_refused_before_anything_is_made(holder: Holder, feeder: Feeder, tmp_path: Path) -> None:
    states: list[PushState] = []
    with pytest.raises(OutputError, match="rtmp"):
        PushOutput("x", "a", "http://h/", holder=holder, runtime_dir=tmp_path, on_writer=feeder.take, on_state=states.append)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_key_is_on_no_command_line_and_outlives_a_lost_connection(
    tmp_path: Path, free_port: Callable[[], int], push: Push, until: Until
) -> None:
    """By 127.0.0.2 the origin is another machine to the redactor, so that the last part of the URL is a key."""
    origin = NginxOrigin(
        tmp_path / "origin", ports=(free_port(), free_port(), free_port()), fragment_s=1, arguments=("--rtmp-listen=0.0.0.0",)
    )
    origin.start()
    try:
        pushing = push(f"rtmp://127.0.0.2:{origin.rtmp_port}/live/secret-key")
        until(lambda: pushing.is_in(UP))
        origin.wait_for_segments("secret-key", 1)
        pid = pushing.output.state.pid
        assert pid is not None
        for process in (psutil.Process(pid), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
                words = process.cmdline()
                assert "secret-key" not in " ".join(words) or "nginx" in words[0]
        before = origin.segments("secret-key")
        origin.crash()
        until(lambda: pushing.is_in(RETRYING))
        origin.start()
        until(lambda: pushing.is_in(UP))
        until(lambda: origin.segments("secret-key")[-1:] != before[-1:])
        assert pushing.output.state.pid == pid
        assert "secret-key" not in repr(pushing.seen)
    finally:
        origin.stop()
