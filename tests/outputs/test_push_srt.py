"""SRT push: real FFmpeg, srt-live-transmit as the far end, a stream fed in real time."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from peers.srt_peer import SrtPeer
from push_feeding import Feeder, Until

from channeld.outputs.push import PushOutput
from channeld.outputs.push_health import PushCondition, PushState
from channeld.outputs.push_plan import PushTiming
from channeld.outputs.push_srt import SrtLink
from channeld.process.holder import Holder

UP, RETRYING, STARTING = PushCondition.UP, PushCondition.RETRYING, PushCondition.STARTING
SECRET, STREAM_ID = "it's:a\\secret1", "#!::r=live/one,m=publish"
HASTY = PushTiming(eof_grace_s=0.5, int_grace_s=0.1)


class Pushing:
    """A push with everything it was seen in."""

    def __init__(self, url: str, link: SrtLink, holder: Holder, feeder: Feeder, folder: Path, *, adopt: bool = False) -> None:
        self.seen: list[PushState] = []
        self.output = PushOutput(
            "srt",
            "live1",
            url,
            holder=holder,
            runtime_dir=folder,
            on_writer=feeder.take,
            on_state=self.seen.append,
            timing=HASTY,
            srt=link,
            adopt=adopt,
        )
        self.output.start()

    @property
    def state(self) -> PushState:
        return self.output.state

    def is_in(self, condition: PushCondition) -> bool:
        return self.state.condition is condition


Push = Callable[..., Pushing]
Peer = Callable[..., SrtPeer]


@pytest.fixture
def holder() -> Iterator[Holder]:
    held = Holder()
    yield held
    held.close()


@pytest.fixture
def push(holder: Holder, feeder: Feeder, tmp_path: Path) -> Iterator[Push]:
    """Starts pushes and closes them with the test."""
    made: list[Pushing] = []

    def start(url: str, *, adopt: bool = False, **link: object) -> Pushing:
        made.append(Pushing(url, SrtLink(**link), holder, feeder, tmp_path / "run", adopt=adopt))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for each in made:
        each.output.close()


@pytest.fixture
def peer(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Peer]:
    """Makes peers, which are not yet started, and stops them with the test."""
    made: list[SrtPeer] = []

    def make(port: int | None = None, **values: str) -> SrtPeer:
        made.append(SrtPeer(port or free_port(), tmp_path / f"peer-{len(made)}.ts", **values))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_a_peer_that_comes_late_and_is_killed_gets_the_stream_from_the_same_process(push: Push, peer: Peer, until: Until) -> None:
    far = peer()
    pushing = push(far.url)
    until(lambda: pushing.is_in(RETRYING))
    pid = pushing.state.pid
    assert pushing.state.reason == "no answer"
    assert "Connection to srt://127.0.0.1" in (pushing.state.last_error or "")
    far.start()
    until(lambda: pushing.is_in(UP))
    until(lambda: far.kept > 100_000)
    far.kill()
    until(lambda: pushing.is_in(RETRYING))
    before = far.kept
    far.start()
    until(lambda: pushing.is_in(UP) and far.kept > before + 100_000)
    assert (pushing.state.pid, pushing.state.restarts, pushing.state.reason) == (pid, 0, None)
    assert pushing.output.reconnects == 2


@pytest.mark.long
def test_a_frozen_peer_is_told_and_reached_again_when_it_goes_on(push: Push, peer: Peer, until: Until) -> None:
    far = peer().start()
    pushing = push(far.url)
    until(lambda: far.kept > 100_000)
    assert far.process is not None
    os.kill(far.process.pid, signal.SIGSTOP)
    until(lambda: pushing.is_in(RETRYING))
    assert pushing.state.reason in ("connection lost", "no answer")
    os.kill(far.process.pid, signal.SIGCONT)
    before = far.kept
    until(lambda: pushing.is_in(UP) and far.kept > before + 100_000)
    assert pushing.state.restarts == 0


def test_a_wrong_passphrase_is_told_and_a_right_one_is_on_no_command_line(
    push: Push, peer: Peer, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    far = peer(passphrase=SECRET).start()
    wrong = push(far.url, passphrase="not-the-secret")
    until(lambda: wrong.is_in(RETRYING))
    assert wrong.state.reason == "authentication failed"
    assert "Incorrect passphrase" in (wrong.state.last_error or "")
    wrong.output.close()
    right = push(far.url, passphrase=SECRET, stream_id=STREAM_ID)
    until(lambda: right.is_in(UP) and far.kept > 100_000)
    assert right.state.pid is not None
    process = psutil.Process(right.state.pid)
    shown = " ".join([*process.cmdline(), *process.environ().values(), repr(right.seen), repr(wrong.seen), caplog.text])
    for secret in ("secret", "live/one"):
        assert secret not in shown.replace("not-the-secret", "secret")


def test_a_listener_serves_one_caller_after_the_other(push: Push, peer: Peer, until: Until, free_port: Callable[[], int]) -> None:
    port = free_port()
    pushing = push(f"srt://127.0.0.1:{port}", mode="listener", latency_ms=200)
    for number in range(2):
        far = peer(port, mode="caller").start()
        until(lambda far=far: pushing.is_in(UP) and far.kept > 100_000)
        far.stop()
        until(lambda: pushing.is_in(RETRYING))
        assert (pushing.state.reason, pushing.state.restarts, number) == ("connection lost", 0, number)


def test_a_push_that_was_left_is_adopted_unless_its_passphrase_is_another(push: Push, peer: Peer, until: Until, feeder: Feeder) -> None:
    far = peer().start()
    first = push(far.url)
    until(lambda: first.is_in(UP))
    pid = first.state.pid
    first.output.leave()
    second = push(far.url, adopt=True)
    until(lambda: second.is_in(UP))
    assert (second.state.pid, second.state.restarts, feeder.told) == (pid, 0, [True])
    second.output.leave()
    third = push(far.url, adopt=True, passphrase=SECRET)
    until(lambda: third.state.pid not in (None, pid))
    assert not psutil.pid_exists(pid or 0)


@pytest.mark.parametrize("mode", ["caller", "listener"])
def test_close_leaves_no_child_no_fifo_no_descriptor_and_no_thread(
    mode: str, holder: Holder, feeder: Feeder, tmp_path: Path, until: Until, free_port: Callable[[], int]
) -> None:
    """With nobody at the far end."""
    fds, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())  # noqa: PTH208 (names only)
    link = SrtLink(mode, passphrase=SECRET)  # type: ignore[arg-type]
    pushing = Pushing(f"srt://127.0.0.1:{free_port()}", link, holder, feeder, tmp_path / "run")
    until(lambda: pushing.state.pid is not None and feeder.told)
    pid = pushing.state.pid or 0
    pushing.output.close()
    assert not psutil.pid_exists(pid)
    assert list((tmp_path / "run" / "fifo").iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208
    assert set(threading.enumerate()) == threads
    assert holder.held().fds == ()
