"""Pushes over TLS, against a real stunnel in front of a real nginx-rtmp."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nginx_origin import NginxOrigin, listens, missing_parts, wait_until

from channeld.outputs.push_target import PushTarget, handed, target_options

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
KEY = "tls-secret-key"
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.2"


@dataclass(frozen=True, slots=True)
class Gate:
    """An origin behind TLS: its port, its certificate, and the origin."""

    port: int
    certificate: Path
    origin: NginxOrigin


def make_certificate(folder: Path) -> Path:
    """A certificate that signs itself, with its key in the same file."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", NAMES]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60)
    (folder / "both.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    if STUNNEL is None or shutil.which("openssl") is None or (missing := missing_parts()):
        pytest.skip(f"missing on this machine: {missing if STUNNEL else 'stunnel'}")
    folder = tmp_path_factory.mktemp("tls")
    ports = _ports(4)
    origin = NginxOrigin(folder / "origin", ports=(ports[0], ports[1], ports[2]), fragment_s=1)
    certificate = make_certificate(folder)
    config = folder / "stunnel.conf"
    config.write_text(
        f"foreground = yes\npid =\n[rtmps]\naccept = 0.0.0.0:{ports[3]}\nconnect = 127.0.0.1:{ports[0]}\ncert = {folder}/both.pem\n"
    )
    with contextlib.ExitStack() as parts:
        origin.start()
        parts.callback(origin.stop)
        tunnel = subprocess.Popen([STUNNEL, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parts.callback(tunnel.wait, 10)
        parts.callback(tunnel.terminate)
        wait_until(lambda: listens(ports[3]), what="stunnel to listen")
        yield Gate(ports[3], certificate, origin)


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


@pytest.fixture
def push(ffmpeg: str, house_clip: Path) -> Iterator[Callable[[PushTarget], "subprocess.Popen[str]"]]:
    """Starts FFmpeg as a push does; all end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(target: PushTarget) -> "subprocess.Popen[str]":
        options = target_options(target)
        fd = handed(options.preset) if options.preset else os.open("/dev/null", os.O_RDONLY)
        source = (ffmpeg, "-nostdin", "-loglevel", "level+verbose", "-re", "-stream_loop", "5", "-i", str(house_clip))
        copy = ("-map", "0:v", "-map", "0:a", "-c", "copy", "-tag:v", "7", "-tag:a", "10", "-f", "fifo", "-fifo_format", "flv")
        try:
            started.append(subprocess.Popen([*source, *copy, *options.arguments], stdin=fd, stderr=subprocess.PIPE, text=True))
        finally:
            os.close(fd)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=20)


Push = Callable[[PushTarget], "subprocess.Popen[str]"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_a_stream_arrives_through_tls_and_its_hls_grows(gate: Gate, push: Push, host: str) -> None:
    """By name and by address; the second is no loopback name to the redactor, so its key goes by stdin as well."""
    name = f"{KEY}-{host.count('.')}"
    push(PushTarget(f"rtmps://{host}:{gate.port}/live/{name}", ca_file=gate.certificate))
    first = gate.origin.wait_for_segments(name, 2)
    wait_until(lambda: gate.origin.segments(name)[-1] not in first, what="the manifest to grow")


def test_a_server_that_nobody_vouches_for_gets_nothing(gate: Gate, push: Push) -> None:
    said = push(PushTarget(f"rtmps://localhost:{gate.port}/live/unvouched")).communicate(timeout=40)[1]
    assert "certificate" in said.lower()
    assert gate.origin.manifest("unvouched") is None


def test_a_certificate_for_another_name_is_refused(gate: Gate, push: Push) -> None:
    said = push(PushTarget(f"rtmps://127.0.0.1:{gate.port}/live/another", ca_file=gate.certificate)).communicate(timeout=40)[1]
    assert "does not match" in said
    assert gate.origin.manifest("another") is None


def test_whoever_answers_is_believed_when_verifying_is_turned_off(gate: Gate, push: Push) -> None:
    push(PushTarget(f"rtmps://127.0.0.1:{gate.port}/live/believed", tls_verify=False))
    assert gate.origin.wait_for_segments("believed", 1)
