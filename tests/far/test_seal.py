"""The key's file, and what is told where a package is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from channeld.far.compression import Squeezer, Unsqueezer
from channeld.far.seal import Unusable, read_key, seals_of

KEY = bytes(range(32))


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.touch()
    path.chmod(mode)
    path.write_bytes(data)
    return path


def test_a_key_is_32_bytes_or_64_digits(tmp_path: Path) -> None:
    for data in (KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n"):
        assert read_key(written(tmp_path / "key", data)) == KEY


@pytest.mark.parametrize("data", [b"", b"secret\n", KEY[:31], KEY + b"\n", b"ab" * 31, b"zz" * 32, b"\xff" * 64, b"0" * 5000])
def test_anything_else_is_no_key(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unusable, match="openssl rand -hex 32"):
        read_key(written(tmp_path / "key", data))


def test_a_key_that_others_may_read_is_not_used_unless_systemd_gave_it(tmp_path: Path) -> None:
    path = written(tmp_path / "key", KEY, 0o440)
    with pytest.raises(Unusable, match=r"chmod 600"):
        read_key(path)
    assert read_key(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == KEY
    with pytest.raises(Unusable, match="No such file"):
        read_key(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(Unusable, match="is not a file"):
        read_key(tmp_path / "fifo")


def test_a_package_that_is_missing_is_asked_for_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("cryptography.hazmat.primitives.ciphers.aead", "zstandard"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unusable, match="cryptography"):
        seals_of(KEY, b"", b"")
    for side in (Squeezer, Unsqueezer):
        with pytest.raises(Unusable, match="zstandard"):
            side()


WITHOUT = """
import sys
sys.modules["cryptography"] = sys.modules["zstandard"] = None
from channeld.client import AttachError
from channeld.client.far import Way, connect_far
for way in (Way(key_file=sys.argv[1]), Way(compress=True)):
    try:
        connect_far("one", sys.argv[2], way, timeout=20)
    except AttachError as error:
        print(error)
"""


def test_a_package_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    import socket
    import threading

    from channeld.far import wire

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            end, _ = server.accept()
            with end:
                said = wire.unpack_hello(end.recv(100))
                end.sendall(wire.pack_hello(wire.Hello(said.options, bytes(32))))
                end.recv(1)

        threading.Thread(target=answer, daemon=True).start()
        where = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", WITHOUT, str(written(tmp_path / "key", KEY)), where]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert told == [
        "encryption needs the package cryptography: pip install 'channeld[proxy]'",
        "compression needs the package zstandard: pip install 'channeld[proxy]'",
    ]


ALONE = """
import sys

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top != "channeld" and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not of the standard library")

sys.meta_path.insert(0, NothingElse())
import channeld.client.far
"""


def test_a_far_reader_without_key_and_compression_needs_the_standard_library_alone() -> None:
    subprocess.run([sys.executable, "-S", "-c", ALONE], check=True, cwd=Path(__file__).parent.parent.parent, timeout=60)
