"""Every line of the parsers of relay profiles is run by their tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TESTS = ("test_relay_arguments.py", "test_relay_profile.py", "test_relay_render.py")
# What tries hardware is no parser, nor is what follows of what was read (test_relay_effects); test_proxy_lines holds those of lists.
_RELAY = ROOT / "channeld" / "relay"
_OTHERS = {"hardware.py", "machine.py", *(path.name for form in ("proxy_*.py", "effect*.py") for path in _RELAY.glob(form))}


def test_every_line_of_the_parsers_is_run_by_their_tests(tmp_path: Path) -> None:
    data, report = tmp_path / "coverage", tmp_path / "coverage.json"
    coverage = [sys.executable, "-m", "coverage"]
    tests = [str(HERE / name) for name in TESTS]
    # Without the settings of a run that this test may itself be a part of.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none is needed, and they take longer to load than the tests to run
    run = [
        *coverage,
        "run",
        f"--data-file={data}",
        f"--source={ROOT / 'channeld' / 'relay'}",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    ran = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    subprocess.run([*coverage, "json", f"--data-file={data}", "-q", "-o", str(report)], cwd=ROOT, env=env, timeout=60, check=True)
    files = json.loads(report.read_text())["files"]
    missing = {Path(name).name: file["missing_lines"] for name, file in files.items() if Path(name).name not in _OTHERS}
    assert {path.name for path in (ROOT / "channeld" / "relay").glob("*.py")} - _OTHERS == set(missing)
    assert {name: lines for name, lines in missing.items() if lines} == {}
