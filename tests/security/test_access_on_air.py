"""Who comes in at a running daemon: TLS and tokens at both listeners, with real clients, and no secret in what it writes.

Rule: every secret of these tests has a mark in it; wherever the mark is found, it leaked.
"""

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from nginx_origin import wait_until
from running import RunningDaemon, free_ports

ADMIN_TOKEN = "MARK-admin-token-0123456789"
STREAM_KEY = "MARK-stream-key"
WRONG = "MARK-wrong-token"


@dataclass(frozen=True, slots=True)
class House:
    """A daemon with TLS at both listeners, viewers by token, and what it was asked."""

    daemon: RunningDaemon
    tls: Path
    answers: list[str]

    def ask(self, method: str, path: str, *, base: str | None = None, **how: Any) -> httpx.Response:
        """One request as whoever; the answer is kept for the search."""
        url = f"{base or self.admin}{path}"
        context = ssl.create_default_context(cafile=self.tls / "now" / "cert.pem")
        with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
            answer = client.request(method, url, **how)
        self.answers.append(f"{answer.headers} {answer.text}")
        return answer

    @property
    def admin(self) -> str:
        return f"https://127.0.0.1:{self.daemon.admin_port}"

    @property
    def media(self) -> str:
        return f"https://127.0.0.1:{self.daemon.media_port}"

    def cli(self, *words: str) -> Any:
        """A verb of the command line, by the daemon's configuration alone."""
        command = [sys.executable, "-m", "channeld", *words, "--json", "--config", str(self.daemon.config_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def alarms(self) -> set[tuple[str, str]]:
        shown = self.ask("GET", "/api/v1/status", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}).json()
        return {(alarm["alarm"], alarm["subject"]) for alarm in shown["alarms"]}


def make_certificate(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *files, *subject]
    subprocess.run(line, check=True, capture_output=True, timeout=60)


def served_name(port: int) -> str:
    """The name in the certificate that a new handshake gets, as openssl's own client sees it."""
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    shown = subprocess.run(line, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    return shown.partition("subject=")[2].partition("\n")[0].rpartition("=")[2].strip()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """On air with its filler: what airs is of no matter here."""
    folder = tmp_path_factory.mktemp("house")
    tls = folder / "tls"
    tls.mkdir()
    make_certificate(tls / "now", "first")
    (push_port,) = free_ports(1)
    (folder / "key").write_text(STREAM_KEY)
    (folder / "list.txt").write_text("")
    outputs = [{"hls": {"segment_seconds": 1}}, {"rtmp": {"url": f"rtmp://127.0.0.2:{push_port}/live", "key_file": str(folder / "key")}}]
    daemon = RunningDaemon(folder / "daemon", {"air": {"playlist": str(folder / "list.txt"), "outputs": outputs}})
    files = {"cert": str(tls / "now" / "cert.pem"), "key": str(tls / "now" / "key.pem")}
    daemon.config["admin"]["tls"] = files
    daemon.config["media"] |= {"tls": dict(files), "access": "token"}
    token = folder / "daemon" / "state" / "admin.token"
    token.write_text(ADMIN_TOKEN)
    token.chmod(0o640)
    made = House(daemon, tls, [])
    daemon.launch()
    try:
        wait_until(lambda: is_ready(made), what="the daemon to be ready", timeout_s=90)
        yield made
    finally:
        assert daemon.stop() == []


def is_ready(house: House) -> bool:
    assert house.daemon.process is not None and house.daemon.process.poll() is None, house.daemon.log_path.read_text()[-3000:]
    try:
        return house.ask("GET", "/readyz").status_code == 200
    except httpx.TransportError:
        return False


def manifest(house: House, **how: Any) -> httpx.Response:
    return house.ask("GET", "/hls/air/index.m3u8", base=house.media, **how)


def test_a_viewers_token_opens_what_viewers_see_and_changes_nothing(house: House) -> None:
    token = house.cli("token", "add", "wall", "--expires", "1h")["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert house.ask("GET", "/api/v1/channels", headers=bearer).status_code == 200
    assert house.ask("POST", "/api/v1/channels/air/stop", headers=bearer).status_code == 403
    assert manifest(house).status_code == 403
    wait_until(lambda: manifest(house, headers=bearer).status_code == 200, what="a manifest", timeout_s=60)
    listed = manifest(house, params={"token": token}).text
    segments = [line for line in listed.splitlines() if line and not line.startswith("#")]
    assert segments and all(line.endswith(f"?token={token}") for line in segments)
    assert house.ask("GET", f"/hls/air/{segments[-1]}", base=house.media).status_code == 200
    house.answers[-3:] = []  # whoever shows a token may get it back
    house.cli("token", "revoke", "wall")
    assert house.ask("GET", "/api/v1/channels", headers=bearer).status_code == 401
    wait_until(lambda: manifest(house, headers=bearer).status_code == 403, what="the media listener to know", timeout_s=20)


def test_a_session_and_its_view_outlast_another_control(house: House) -> None:
    signed_in = house.ask("POST", "/api/v1/session", json={"token": ADMIN_TOKEN}, headers={"Origin": house.admin})
    header = signed_in.headers["set-cookie"]
    assert "Secure" in header and "HttpOnly" in header and "SameSite=Strict" in header
    secret = re.search(r"channeld_session=([^;]+)", header)
    assert secret is not None
    cookie = {"Cookie": f"channeld_session={secret[1]}"}
    media_token = signed_in.json()["media_token"]
    wait_until(lambda: manifest(house, params={"token": media_token}).status_code == 200, what="the view", timeout_s=30)
    house.cli("upgrade-restart")
    again = house.ask("GET", "/api/v1/session", headers=cookie)
    assert (again.status_code, again.json()["csrf"]) == (200, signed_in.json()["csrf"])
    assert manifest(house, params={"token": media_token}).status_code == 200
    csrf = {"X-CSRF-Token": again.json()["csrf"]}
    assert house.ask("DELETE", "/api/v1/session", headers=cookie).status_code == 403
    assert house.ask("DELETE", "/api/v1/session", headers={**cookie, **csrf}).status_code == 204
    assert house.ask("GET", "/api/v1/session", headers=cookie).status_code == 401
    wait_until(lambda: manifest(house, params={"token": media_token}).status_code == 403, what="the view to end", timeout_s=20)
    house.answers[:] = [text for text in house.answers if secret[1] not in text and media_token not in text]


def test_certificates_are_renewed_on_air_and_a_broken_one_is_an_alarm(house: House) -> None:
    ports = (house.daemon.admin_port, house.daemon.media_port)
    workers = {process.pid for process in house.daemon.family() if "media_worker" in " ".join(process.cmdline())}
    make_certificate(house.tls / "new", "second")
    for name in ("cert.pem", "key.pem"):
        (house.tls / "new" / name).replace(house.tls / "now" / name)
    for port in ports:
        wait_until(lambda port=port: served_name(port) == "second", what=f"the new certificate at {port}", timeout_s=30)  # type: ignore[misc]
    good = (house.tls / "now" / "key.pem").read_bytes()
    (house.tls / "now" / "key.pem").write_text("MARK-no-key")
    wait_until(lambda: {("certificate", "admin"), ("certificate", "media")} <= house.alarms(), what="both alarms", timeout_s=30)
    assert [served_name(port) for port in ports] == ["second", "second"]
    (house.tls / "now" / "key.pem").write_bytes(good)
    wait_until(lambda: not {"certificate"} & {alarm for alarm, _ in house.alarms()}, what="no alarm", timeout_s=30)
    assert workers == {process.pid for process in house.daemon.family() if "media_worker" in " ".join(process.cmdline())}


def drive_errors(house: House) -> None:
    """All that goes wrong with a secret in hand."""
    wrong, right = {"Authorization": f"Bearer {WRONG}"}, {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    for headers in (wrong, {"Cookie": f"channeld_session={WRONG}"}, {"Authorization": f"Basic {WRONG}"}):
        house.ask("GET", "/api/v1/channels", headers=headers)
        manifest(house, headers=headers)
    house.ask("GET", f"/hls/air/none.ts?token={WRONG}", base=house.media)
    house.ask("GET", f"/ts/air?token={WRONG}", base=house.media)
    for body in (f'{{"token": "{WRONG}"', f'{{"token": "{WRONG}", "{WRONG}x": 1}}', f'{{"token": ["{WRONG}"]}}', f'{{"token": "{WRONG}"}}'):
        house.ask("POST", "/api/v1/session", content=body, headers={"Content-Type": "application/json"})
    for path in ("/api/v1/channels/air/restart", "/api/v1/channels/air/play-next", "/api/v1/reload", "/api/v1/tokens"):
        house.ask("POST", path, headers=right, content=b"{", timeout=30)
    for path in ("/api/v1/channels", "/api/v1/status", "/api/v1/as-run", "/api/v1/tokens", "/metrics", "/api/openapi.json", "/nothing"):
        house.ask("GET", path, headers=right)


def test_no_secret_is_in_a_log_an_answer_or_a_file_that_others_read(house: House) -> None:
    drive_errors(house)
    assert [text[:300] for text in house.answers if "MARK" in text.replace(f"{WRONG}x", "")] == []
    assert [line for line in house.daemon.log_path.read_text().splitlines() if "MARK" in line] == []
    for path in house.daemon.folder.rglob("*"):
        if path.is_file() and path.name != "admin.token" and path.stat().st_size < 10_000_000:
            assert b"MARK" not in path.read_bytes(), path
    for name in ("tokens.json", "sessions.json"):
        assert (house.daemon.folder / "state" / name).stat().st_mode & 0o077 == 0


def test_no_secret_is_in_an_argument_or_environment_of_a_process(house: House) -> None:
    for process in house.daemon.family():
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert "MARK" not in " ".join(process.cmdline()) and b"MARK" not in environment
