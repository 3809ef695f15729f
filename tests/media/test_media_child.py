"""The confined child: real processes."""

import contextlib
import sys
import threading
from pathlib import Path

import pytest

from channeld.base.errors import ChildExited, ChildStalled, ProcessError, SpawnError
from channeld.media import child


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_lines_arrive_apart():
    lines: list[str] = []
    out = child.run(
        python("import sys; print('out'); print('one\\rtwo', file=sys.stderr)"), max_bytes=100, deadline_s=20, on_line=lines.append
    )
    assert (out, lines) == (b"out\n", ["one", "two"])


def test_a_child_that_fails_tells_its_last_lines():
    with pytest.raises(ChildExited, match="status 3: why"):
        child.run(python("import sys; print('why', file=sys.stderr); sys.exit(3)"), max_bytes=100, deadline_s=20)


def test_a_silent_child_is_killed():
    with pytest.raises(ChildStalled):
        child.run(python("import time; time.sleep(600)"), max_bytes=100, deadline_s=0.5)


def test_a_child_that_talks_too_much_is_killed():
    with pytest.raises(ProcessError, match="more than 1000 bytes"):
        child.run(python("while True: print('x' * 100)"), max_bytes=1000, deadline_s=20)


def test_closing_the_stream_ends_the_child_and_its_children():
    code = "import subprocess, os; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    chunks = child.stream(python(code))
    grandchild = int(next(chunks))
    chunks.close()
    # Killed with its session; adopted and reaped by whoever is its parent now.
    waited = threading.Event()
    for _ in range(200):
        with contextlib.suppress(OSError), Path(f"/proc/{grandchild}/stat").open() as stat:
            if stat.read().split(") ")[1][0] != "Z":
                waited.wait(0.05)
                continue
        break
    else:
        pytest.fail("the grandchild lives")


def test_a_stop_is_heard_while_the_child_is_silent():
    stop = threading.Event()
    chunks = child.stream(python("import time; print('here', flush=True); time.sleep(600)"), should_stop=stop.is_set)
    assert next(chunks) == b"here\n"
    stop.set()
    with pytest.raises(child.ChildStopped):
        next(chunks)


def test_a_child_cannot_write_large_files_and_sees_no_environment_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("FFREPORT", "file=/tmp/never")
    big = tmp_path / "big"
    code = f"import os; print('FFREPORT' in os.environ, flush=True); open({str(big)!r}, 'wb').write(b'x' * (1 << 20))"
    heard: list[bytes] = []
    with pytest.raises(ChildExited):
        heard.extend(child.stream(python(code)))
    assert heard == [b"False\n"]
    assert big.stat().st_size <= child.WRITTEN_FILE_BYTES


def test_a_program_that_is_not_there_is_a_spawn_or_exit_error():
    with pytest.raises((SpawnError, ChildExited)):
        child.run(["/nonexistent/ffmpeg"], max_bytes=100, deadline_s=20)
