"""docs/api.md: each of its commands works as printed, and none of the routes is missing."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import TOKEN, Site, running_site

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
SETUP, *EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        running.control.publish("aired", "live1")
        (running.folder / "lists").mkdir()
        (running.folder / "lists" / "tv.m3u").write_text('#EXTM3U\n#EXTINF:-1 tvg-id="news",News\nhttp://upstream.example.org/news.ts\n')
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="missing on this machine: curl")
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_api_works_as_printed(site: Site, tmp_path: Path, example: str) -> None:
    environment = {"PATH": os.environ["PATH"], "CHANNELD": str(site.client.base_url), "TOKEN": TOKEN}
    done = subprocess.run(
        ["bash", "-eu", "-c", SETUP + example], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or (tmp_path / "openapi.json").exists()


def test_the_examples_reach_every_route(site: Site) -> None:
    text = "".join(EXAMPLES)
    for path in site.ask("GET", "/api/openapi.json").json()["paths"]:
        shown = (
            path.replace("{channel}", "live1")
            .replace("{name}", "wall")
            .replace("{entry}", "$(first)")
            .replace("{profile_id}", "$profile")
            .replace("{proxy_id}", "$proxy")
            .replace("{channel_id}", "news")
            .replace("{config_id}", "$relay")
            .replace("/api/v1/channels/live1/uploads/{upload}", "$CHANNELD$at")
        )
        assert shown in text, f"docs/api.md shows no {path}"


def test_every_status_that_a_route_declares_is_explained(site: Site) -> None:
    explained = set(re.findall(r"\d{3}", DOCUMENT.read_text(encoding="utf-8").partition("## Errors")[2]))
    for operations in site.ask("GET", "/api/openapi.json").json()["paths"].values():
        for operation in operations.values():
            assert {status for status in operation["responses"] if status >= "400"} <= explained
