"""Every line of the parser is run by its tests: those of what is accepted and those of what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from channeld.relay import proxy_export, proxy_ids, proxy_m3u

HERE = Path(__file__).parent
# In an interpreter of its own, traced from before the modules are imported: their lines at the top count too.
TRACED = """
import json, sys
import pytest
seen, left = {}, {}
def trace(frame, kind, _):
    code = frame.f_code
    if "/channeld/relay/proxy_" not in code.co_filename:
        return None
    if code not in left:
        left[code] = {line for _, _, line in code.co_lines() if line}
    # A function of which all is seen is left alone: lists are long, and tracing is slow.
    if left[code]:
        left[code].discard(frame.f_lineno)
        seen.setdefault(code.co_filename, set()).add(frame.f_lineno)
        return trace
sys.settrace(trace)
status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]])
sys.settrace(None)
sys.stderr.write(json.dumps([int(status), {name: sorted(lines) for name, lines in seen.items()}]))
"""


def lines_of(code: CodeType) -> set[int]:
    """Lines that have instructions, those of all functions within too."""
    own = {line for _, _, line in code.co_lines() if line}
    return own.union(*(lines_of(each) for each in code.co_consts if isinstance(each, CodeType)))


@pytest.mark.timeout(300)
def test_every_line_of_the_parser_is_run_by_its_tests() -> None:
    tests = [str(HERE / f"test_proxy_{name}.py") for name in ("m3u", "ids", "export")]
    command = [sys.executable, "-c", TRACED, *tests, "-k", "not thousand"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    status, seen = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stdout[-4000:]
    for module in (proxy_m3u, proxy_ids, proxy_export):
        path = str(module.__file__)
        code = compile(Path(path).read_text(), path, "exec")
        missing = {line for line in lines_of(code) if line not in seen[path]}
        assert missing == set(), f"{path}: never run"
