"""Never a dead picture: whatever becomes of a source, at any moment, again and again, its viewers have one stream without a fault."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from judge.decode import decode_faults
from judge.ts import SPLICED, read_ts
from nginx_origin import wait_until
from peers.fixtures import Maker
from peers.mock_peer import MockPeer
from recordings import TsRecorder, whole_gops
from running import FPS, RunningDaemon

StartDaemon = Callable[..., RunningDaemon]
GRACES = {"loss_grace_seconds": 1, "recovery_grace_seconds": 1, "buffer_seconds": 0.6}
ROUNDS = 3
REASONS = {
    "crash": {"cannot_connect", "ended"},
    "freeze": {"timed_out"},
    "quiet": {"timed_out"},
    "hang_up": {"cannot_connect", "ended"},
    "garble": {"unsupported_format", "timed_out", "ended", "other", "cannot_connect"},
    "resize": {"other", "ended", "timed_out"},
    "recode": {"unsupported_format", "other", "ended", "timed_out"},
    "slow_down": {"timed_out"},
}
"""What of each fault a slate may say; a change of size may also air on without one."""
MAY_AIR_ON = {"resize", "recode", "garble", "slow_down", "hang_up"}


def befall(peer: MockPeer, fault: str) -> None:
    """Have it happen."""
    if fault == "resize":
        peer.resize("80x60")
    elif fault == "recode":
        peer.recode("mpeg2video")
    elif fault == "slow_down":
        peer.slow_down(0.3)
    else:
        getattr(peer, fault)()


def mend(peer: MockPeer, fault: str) -> None:
    """As it was."""
    if fault == "crash":
        peer.start()
    elif fault == "freeze":
        peer.thaw()
    else:
        peer.heal()


def slates(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """Airings of slates, oldest first."""
    return [each for each in daemon.airings("cam") if (each["entry"] or "").startswith("@slate/")]


def moment_s(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def is_on_air(daemon: RunningDaemon) -> bool:
    return bool(daemon.channel("cam")["sources"][0]["on_air"])


def is_told(daemon: RunningDaemon) -> bool:
    """A reason is told, or the source is on air again already: it came late only."""
    source = daemon.channel("cam")["sources"][0]
    return bool(source["reason"]) or bool(source["on_air"])


@pytest.fixture
def faults() -> Iterator[str]:
    """In an order that is always the same, each ROUNDS times."""
    order = list(REASONS) * ROUNDS
    random.Random(7).shuffle(order)
    return iter(order)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_source_that_suffers_everything_at_any_moment(
    daemon_of: StartDaemon, tmp_path: Path, http_ts_server: Maker, faults: Iterator[str], record_property: Callable[[str, object], None]
) -> None:
    peer, dice = http_ts_server(), random.Random(11)
    source = {"name": "up", "url": peer.url, "timeout_seconds": 4}
    daemon = daemon_of({"cam": {"sources": [source], "failover": GRACES, "outputs": [{"ts": {}}]}})
    daemon.start()
    wait_until(lambda: is_on_air(daemon), what="the source on air", timeout_s=60)
    stream, waits_s, wrong = tmp_path / "seen.ts", list[float](), list[str]()
    with TsRecorder(daemon.ts_url("cam"), stream) as recorder:
        for number, fault in zip(itertools.count(), faults, strict=False):
            time.sleep(dice.uniform(0.3, 2.5))
            shown = len(slates(daemon))
            befall(peer, fault)
            at_s = time.time()
            try:
                wait_until(lambda known=shown: len(slates(daemon)) > known, what="a slate", timeout_s=6 if fault in MAY_AIR_ON else 30)  # type: ignore[misc]
            except TimeoutError:
                if fault not in MAY_AIR_ON:
                    wrong.append(f"{number} {fault}: no slate")
            else:
                wait_until(lambda: is_told(daemon), what=f"a reason for {number} {fault}", timeout_s=20)
                reason = daemon.channel("cam")["sources"][0]["reason"]
                if reason not in REASONS[fault] and not (reason is None and fault in MAY_AIR_ON):
                    wrong.append(f"{number} {fault}: {reason}")
                if fault in ("crash", "freeze", "quiet"):
                    waits_s.append(moment_s(slates(daemon)[shown]["started_at"]) - at_s)
            mend(peer, fault)
            wait_until(lambda: is_on_air(daemon), what=f"the source back on air after {number} {fault}", timeout_s=60)
    record_property("slate_after_s", sorted(waits_s))
    print(f"slate after {sorted(round(wait_s, 2) for wait_s in waits_s)} s")  # noqa: T201
    assert recorder.trouble == []
    assert read_ts(whole_gops(stream.read_bytes()), fps=Fraction(FPS), allowances=SPLICED).faults() == []
    assert decode_faults(stream) == []
    assert wrong == []
