"""The layout: imports point only to lower floors, neighbours do not know each other, and nothing grows too large."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "channeld"

FLOORS = {
    "base": 0,
    "ts": 1,
    "telemetry": 1,
    "process": 2,
    "access": 3,
    "media": 3,
    "playlist": 3,
    "relay": 3,
    "store": 3,
    "bus": 3,
    "far": 3,
    "playout": 4,
    "client": 4,
    "sources": 4,
    "outputs": 5,
    "readback": 5,
    "attach_proxy": 5,
    "viewer": 5,
    "notices": 5,
    "channel": 6,
    "config": 7,
    "api": 8,
    "soak": 9,
    "mock": 9,
    "load": 9,
    "check": 9,
    "daemon": 9,
    "cli": 10,
}
# Modules of the top level by the first word of their name: config_model belongs to config, cli_render to cli. `control`
# is the half of the wiring that the admin interface sees.
FAMILIES = {"config": "config", "check": "check", "daemon": "daemon", "control": "daemon", "cli": "cli", "__main__": "cli"}
# The host shares its GIL with nothing and starts fast: less is allowed to it than its floor would.
PLAYOUT_MAY_IMPORT = {"base", "telemetry", "ts", "bus", "playout"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def sources() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str | None:
    """The part of the layout that a dotted module belongs to; None for the root itself, which is empty."""
    names = module.split(".")
    if len(names) == 1:
        return None
    top = PACKAGE / f"{names[1]}.py"
    return FAMILIES.get(names[1].split("_")[0] or names[1], names[1]) if top.exists() else names[1]


def module_of(path: Path) -> str:
    """Dotted name of a file."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in the file, those inside of functions and for type checkers too."""
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(name for name in (base, node.module or "") if name)
            # `from channeld import bus` names its part only after the import.
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "channeld" else [module]
            yield from ((node.lineno, name) for name in names)


def crossings() -> Iterator[tuple[str, str, str]]:
    """Place, importing part and imported part of every import between parts."""
    for path in sources():
        importer = part_of(module_of(path))
        for line, name in imported_modules(path):
            if name.split(".")[0] != "channeld" or name == "channeld.__version__":
                continue
            imported = part_of(name)
            if importer in FLOORS and imported in FLOORS and importer != imported:
                yield f"{path.relative_to(ROOT)}:{line}", importer, imported


def test_every_module_has_a_floor() -> None:
    unplaced = [str(path.relative_to(ROOT)) for path in sources() if (part := part_of(module_of(path))) and part not in FLOORS]
    assert unplaced == [], "place these in FLOORS, and in docs/architecture.md"


def test_imports_point_only_to_lower_floors() -> None:
    wrong = [
        f"{place}: {importer} (floor {FLOORS[importer]}) imports {imported} (floor {FLOORS[imported]})"
        for place, importer, imported in crossings()
        if FLOORS[imported] >= FLOORS[importer]
    ]
    assert wrong == []


def test_playout_imports_only_what_its_host_may_load() -> None:
    wrong = [
        f"{place}: playout imports {imported}"
        for place, importer, imported in crossings()
        if importer == "playout" and imported not in PLAYOUT_MAY_IMPORT
    ]
    assert wrong == []


def test_ffmpeg_python_is_imported_in_one_place() -> None:
    importers = {str(path.relative_to(ROOT)) for path in sources() for _, name in imported_modules(path) if name.split(".")[0] == "ffmpeg"}
    assert importers <= {"channeld/media/ffmpeg_args.py"}


def test_nothing_imports_the_tests() -> None:
    wrong = [f"{path}:{line}" for path in sources() for line, name in imported_modules(path) if name.split(".")[0] == "tests"]
    assert wrong == []


def test_no_file_is_longer_than_people_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}, "ask which idea wants a file of its own"


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == [], f"at most {MAX_FUNCTION_LINES} lines; 35 is the aim"


def test_every_module_says_what_it_is() -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_two_test_modules_share_a_name() -> None:
    """pytest imports them by their name alone, so that the second one of a whole run cannot be collected."""
    tests = Path(__file__).parent
    loose = [path for path in tests.rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = Counter(path.name for path in loose)
    assert [name for name, count in names.items() if count > 1] == []
