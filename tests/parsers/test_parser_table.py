"""The table of parsers is whole, and holds: each is fuzzed, bounded, and every line of it is run by its tests."""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from parser_table import GROUPS, NO_PARSERS, Group, Parser

TESTS = Path(__file__).parent.parent
CODE = TESTS.parent / "channeld"
PARSERS = [parser for group in GROUPS for parser in group.parsers]


@cache
def named_in(file: str) -> dict[str, list[str]]:
    """Every test of a file with its decorators."""
    tree = ast.parse((TESTS / file).read_text())
    return {node.name: [ast.unparse(each) for each in node.decorator_list] for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.module)
def test_a_parser_is_fuzzed_and_what_it_is_given_is_bounded(parser: Parser) -> None:
    assert (CODE / parser.module).is_file()
    file, _, name = parser.fuzz.partition("::")
    assert any(decorator.startswith("given(") for decorator in named_in(file)[name])
    file, named, name = parser.cap.partition("::")
    assert name in named_in(file) if named else parser.cap


def test_no_part_of_the_relay_is_left_out() -> None:
    """Whatever stands there reads what others wrote."""
    there = {f"relay/{path.name}" for path in (CODE / "relay").glob("*.py") if path.name != "__init__.py"}
    assert there - NO_PARSERS == {parser.module for parser in PARSERS if parser.module.startswith("relay/")}
    assert len({parser.module for parser in PARSERS}) == len(PARSERS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_line_of_the_parsers_is_run_by_their_tests(group: Group, tmp_path: Path) -> None:
    data, report = tmp_path / "coverage", tmp_path / "coverage.json"
    coverage = [sys.executable, "-m", "coverage"]
    include = ",".join(str(CODE / parser.module) for parser in group.parsers)
    # Without the settings of a run that this test may itself be a part of.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none is needed but hypothesis's, and they take long to load
    tests = [str(TESTS / name) for name in group.tests]
    run = [*coverage, "run", f"--data-file={data}", f"--include={include}", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    ran = subprocess.run(
        [*run, *(["-k", f"not ({group.but})"] if group.but else [])],
        cwd=TESTS.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    subprocess.run([*coverage, "json", f"--data-file={data}", "-q", "-o", str(report)], cwd=TESTS.parent, env=env, timeout=60, check=True)
    seen = {str(Path(name).resolve()): file["missing_lines"] for name, file in json.loads(report.read_text())["files"].items()}
    missing = {parser.module: seen.get(str(CODE / parser.module), "all") for parser in group.parsers}
    assert {module: lines for module, lines in missing.items() if lines} == {}
