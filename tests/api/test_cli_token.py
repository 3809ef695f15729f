"""`channeld token`, run as its users run it, against a real admin server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from admin_site import TOKEN, Site, running_site

from channeld.access.roles import Role


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def token(site: Site, *words: str, cwd: Path, secret: str = TOKEN) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "channeld", "token", *words, "--url", str(site.client.base_url)]
    environment = {**os.environ, "CHANNELD_TOKEN": secret}  # where the process list does not show it
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def status(site: Site, secret: str) -> int:
    url = f"{site.client.base_url}/api/v1/channels"
    return httpx.get(url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False).status_code


def test_a_token_is_made_used_listed_and_revoked(site: Site, tmp_path: Path) -> None:
    made = token(site, "add", "wall", "--expires", "90d", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("chd_") and secret not in made.stderr and "viewer" in made.stderr
    assert status(site, secret) == 200
    shown = token(site, "list", cwd=tmp_path).stdout
    assert "wall" in shown and "viewer" in shown and secret not in shown
    listed = json.loads(token(site, "list", "--json", cwd=tmp_path).stdout)
    assert [(row["name"], row["role"]) for row in listed] == [("admin", "admin"), ("wall", "viewer")]
    assert listed[1]["expires_at"] and listed[1]["last_used_at"]
    revoked = token(site, "revoke", "wall", "--json", cwd=tmp_path)
    assert json.loads(revoked.stdout) == {"name": "wall", "sessions_ended": 0}
    assert status(site, secret) == 401


def test_json_holds_the_token_for_programs(site: Site, tmp_path: Path) -> None:
    made = json.loads(token(site, "add", "desk", "--role", "operator", "--json", cwd=tmp_path).stdout)
    assert (made["name"], made["role"], made["expires_at"]) == ("desk", "operator", None)
    assert status(site, made["token"]) == 200


@pytest.mark.parametrize(
    "words",
    [
        ("add", "wall", "--role", "root"),
        ("add", "a b"),
        ("add", "x", "--expires", "soon"),
        ("add", "x", "--expires", "999999w"),
        ("add", "admin"),
        ("revoke", "nobody"),
        ("revoke", "admin"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_bad_input(site: Site, words: tuple[str, ...], tmp_path: Path) -> None:
    done = token(site, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr and "Traceback" not in done.stderr


def test_too_low_a_role_and_no_token_are_not_allowed(site: Site, tmp_path: Path) -> None:
    secret, _ = site.accounts.add("reader", Role.VIEWER, None, by="test")
    done = token(site, "list", cwd=tmp_path, secret=secret)
    assert done.returncode == 4 and "needs the role admin" in done.stderr
    assert token(site, "list", cwd=tmp_path, secret="wrong").returncode == 4
