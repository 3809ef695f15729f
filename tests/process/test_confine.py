"""What confines every child, asked of the kernel."""

import json
import os
import sys
import threading
from typing import Any

import psutil
import pytest

from channeld.media import child as media_child
from channeld.process.child import ChildSpec
from channeld.process.confine import Limits, confined
from channeld.process.holder import Holder

# Written to stderr, as that is what the holder keeps of a child.
TELLS = """
import json, os, resource, sys
names = ("AS", "CORE", "CPU", "FSIZE", "NOFILE", "NPROC")
facts = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names}
facts |= {"leads": os.getpgid(0) == os.getpid(), "nice": os.nice(0), "cwd": os.getcwd(), "env": sorted(os.environ)}
print(json.dumps(facts), file=sys.stdout if "--stdout" in sys.argv else sys.stderr)
"""


def test_a_media_child_has_every_limit_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=/tmp/report")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1")
    facts = _json(media_child.run([sys.executable, "-c", TELLS, "--stdout"], max_bytes=4096, deadline_s=30).decode())
    limits = media_child.LIMITS
    assert (facts["AS"], facts["CPU"]) == (limits.address_space_bytes, limits.cpu_s)
    assert (facts["FSIZE"], facts["NOFILE"]) == (limits.file_size_bytes, limits.open_files)
    assert (facts["NPROC"], facts["CORE"]) == (limits.processes, 0)
    assert facts["leads"] and facts["cwd"] == "/" and facts["nice"] == min(19, os.nice(0) + media_child.NICE)
    assert set(facts["env"]) <= {"PATH", "LANG", "LC_ALL", "HOME", "TZ", "LC_CTYPE"}


def test_a_held_child_is_confined_by_the_same_hand(holder: Holder) -> None:
    limits = Limits(address_space_bytes=1 << 30, file_size_bytes=0, processes=4096, open_files=64, cpu_s=100)
    child = holder.spawn(ChildSpec("teller", (sys.executable, "-c", TELLS), limits=limits))
    assert child.wait(30) == 0
    facts = _json(child.stderr_tail)
    assert (facts["AS"], facts["FSIZE"], facts["NPROC"], facts["NOFILE"], facts["CPU"]) == (1 << 30, 0, 4096, 64, 100)
    assert facts["CORE"] == 0 and facts["leads"] and facts["cwd"] == "/"


def test_no_shell_sees_an_argument() -> None:
    hostile = ["$(reboot)", "; reboot", "`reboot`", "-y", "", "a\nb"]
    shown = media_child.run([sys.executable, "-c", "import sys; print(repr(sys.argv[1:]))", *hostile], max_bytes=4096, deadline_s=30)
    assert shown.decode().strip() == repr(hostile)


def test_a_child_dies_with_the_thread_that_owns_it() -> None:
    pids: list[int] = []

    def own() -> None:
        chunks = media_child.stream([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
        pids.append(int(next(chunks)))
        kept.append(chunks)  # nobody closes it: only the end of the thread ends the child

    kept: list[object] = []
    owner = threading.Thread(target=own)
    owner.start()
    owner.join(30)
    process = psutil.Process(pids[0])
    try:
        assert process.wait(10) == -9
    finally:
        kept.clear()


def test_wrappers_stand_in_the_order_that_keeps_the_pid_and_the_signal() -> None:
    line = confined(["program", "argument"], limits=Limits(cpu_s=5), nice=3, yields_disk=True)
    names = [os.path.basename(word) for word in line]  # noqa: PTH119
    assert names.index("setpriv") < names.index("prlimit") < names.index("nice") < names.index("ionice") < names.index("program")
    assert line[-2:] == ["program", "argument"]
    assert "--cpu=5" in line and "--core=0" in line


def _json(text: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(text)
    return facts
