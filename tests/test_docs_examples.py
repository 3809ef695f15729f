"""What the documents say is so: their configurations load, their commands, files and links exist.

The examples of docs/playlists.md and docs/configuration.md are run by the tests of those parts.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from channeld.cli import app
from channeld.config import load
from channeld.playlist.locate import PathRules
from channeld.playlist.parse import load as load_playlist

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for folder in ("docs", "nginx", "systemd", "playlists") for path in (ROOT / folder).rglob("*.md"))]
)
CONFIGURED = [ROOT / "README.md", ROOT / "docs" / "operations.md"]


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of one language; the fence may be indented, as in a list."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [str(block) for block in found]


def commands(path: Path) -> list[list[str]]:
    """Every line of the document's shell examples, as words, without comments."""
    lines = [line for block in blocks(path, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def anchors(path: Path) -> set[str]:
    """Anchors that the headings of a document give."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_of_the_project_leads_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (document.parent / path).resolve() if path else document
        if not aim.exists() or (anchor and anchor not in anchors(aim)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize(
    ("document", "number"),
    [(path, number) for path in CONFIGURED for number in range(len(blocks(path, "yaml")))],
    ids=lambda value: str(value)[-20:],
)
def test_every_configuration_shown_loads(document: Path, number: int, tmp_path: Path) -> None:
    path = tmp_path / "channeld.yaml"
    path.write_text(blocks(document, "yaml")[number])
    (tmp_path / "youtube").write_text("abcd-1234\n")
    assert load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).channels


def test_the_first_channel_of_the_readme_is_a_valid_configuration(tmp_path: Path) -> None:
    """The line is run by a shell, as a reader would, and what it wrote is loaded."""
    (line,) = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines() if line.startswith("printf")]
    (tmp_path / "tv" / "films").mkdir(parents=True)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, timeout=10)
    config = load(tmp_path / "tv" / "channeld.yaml", {})
    assert config.channel("live1").playlist == tmp_path / "tv" / "films"
    assert config.folders.state == tmp_path / "tv" / "state"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_shown_exists(document: Path) -> None:
    verbs = set(getattr(get_command(app), "commands", {}))
    unknown = []
    for words in commands(document):
        program = words[0].rpartition("/")[2]
        if program == "channeld" and words[1] not in verbs and not words[1].startswith("--"):
            unknown.append(words[:2])
        if words[0].startswith("scripts/") and not (ROOT / words[0]).exists():
            unknown.append(words[:1])
    assert unknown == []


def verbs_of(command: object, before: str = "") -> list[str]:
    """All verbs of the command line, those of groups as two words."""
    found = []
    for name, inner in getattr(command, "commands", {}).items():
        below = verbs_of(inner, f"{before}{name} ")
        found += below or [f"{before}{name}"]
    return found


def test_every_verb_stands_in_the_document_of_the_command_line() -> None:
    verbs = verbs_of(get_command(app))
    text = (ROOT / "docs" / "cli.md").read_text()
    assert {"run", "playlist move", "token add"} <= set(verbs)
    assert [verb for verb in verbs if f"channeld {verb}" not in text and f"`{verb}`" not in text] == []


def test_every_file_that_the_installation_copies_is_there() -> None:
    copied = [word for words in commands(ROOT / "docs" / "operations.md") if words[0] == "cp" for word in words[1:-1] if word != "-r"]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_origin_is_rendered_as_its_readme_says(tmp_path: Path) -> None:
    (words,) = [words for words in commands(ROOT / "nginx" / "README.md") if words[0] == "python3"]
    written = subprocess.run(
        [sys.executable, *words[1:-1], str(tmp_path / "origin")], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert Path(written.stdout.strip()) == tmp_path / "origin" / "nginx.conf"


@pytest.mark.parametrize("name", ["demo.m3u", "unlike.txt"])
def test_the_playlists_that_come_with_the_project_name_clips_that_are_there(name: str) -> None:
    playlist = load_playlist(ROOT / "playlists" / name, PathRules())
    assert playlist.entries
    assert [(entry.locator, entry.fault) for entry in playlist.entries if entry.fault is not None] == []


def test_every_clip_has_its_author_and_licence_named_and_all_are_small() -> None:
    folder = ROOT / "playlists" / "media"
    clips = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".md", ".txt")]
    table = (folder / "LICENSES.md").read_text()
    assert [str(path.relative_to(folder)) for path in clips if f"| `{path.relative_to(folder)}` |" not in table] == []
    assert sum(path.stat().st_size for path in clips) <= 12_000_000
