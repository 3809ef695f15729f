"""docs/failover-recipes.md and docs/tuning.md: each configuration passes `channeld check`, each command runs against a daemon on air."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import RunningDaemon
from timeline import DECK

pytestmark = pytest.mark.timeout(300)
DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
RECIPES, TUNING = ((DOCS / name).read_text() for name in ("failover-recipes.md", "tuning.md"))
FOLDERS = "state_dir: state\nhls_dir: hls\n"


def blocks(text: str, language: str) -> list[str]:
    return [str(block) for block in re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


SETTINGS, *COMMANDS = blocks(RECIPES, "sh")


@pytest.mark.parametrize(
    "written", blocks(RECIPES, "yaml") + blocks(TUNING, "yaml"), ids=lambda written: written.split("\n")[1].strip(" :")
)
def test_every_recipe_passes_the_check(written: str, tmp_path: Path, media_dir: Path, free_port: Callable[[], int]) -> None:
    listeners = f"admin: {{listen: 127.0.0.1:{free_port()}}}\nmedia: {{listen: 127.0.0.1:{free_port()}}}\n"
    runtime = "" if "runtime_dir" in written else "runtime_dir: run\n"
    (tmp_path / "channeld.yaml").write_text(written + FOLDERS + runtime + listeners)
    (tmp_path / "playlists").mkdir()
    clip = next(path for path in sorted(media_dir.iterdir()) if path.suffix == ".mp4")
    (tmp_path / "playlists" / clip.name).symlink_to(clip)
    for channel in ("studio", "live1", "harbour"):
        (tmp_path / "playlists" / f"{channel}.m3u").write_text(f"{clip}\n")
    check = [sys.executable, "-m", "channeld", "check", "--config", str(tmp_path / "channeld.yaml")]
    done = subprocess.run(check, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader who set the variables to a daemon with the channels of the recipes."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "list.txt").write_text("".join(f"{deck / name}\n" for name in DECK))
    playlist = str(folder / "list.txt")
    daemon = RunningDaemon(
        folder / "daemon",
        {name: {"playlist": playlist, "media_roots": [str(deck)]} for name in ("harbour", "studio", "mountain")},
        cache=prepared,
    )
    try:
        daemon.start()
        token = (daemon.folder / "state" / "admin.token").read_text().strip()
        yield {**os.environ, "CHANNELD": daemon.admin_url, "MEDIA": f"http://127.0.0.1:{daemon.media_port}", "TOKEN": token}
    finally:
        assert daemon.stop() == []


@pytest.mark.parametrize("command", COMMANDS + blocks(TUNING, "sh"), ids=lambda command: command.split("\n")[0][:40])
def test_every_command_shown_works(shell: dict[str, str], command: str) -> None:
    done = subprocess.run(["sh", "-ec", SETTINGS + command], env=shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert "Traceback" not in done.stderr and shell["TOKEN"] not in done.stdout + done.stderr
