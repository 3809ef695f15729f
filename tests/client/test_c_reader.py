"""The reader in C that the documentation shows: another implementation of the format, by the book alone."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from small_air import PACKET, SmallAir, chunk_of, until

SOURCE = Path(__file__).parent.parent.parent / "docs" / "attach.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("c") / "attach"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(path), str(SOURCE)], check=True, timeout=60)
    return path


def test_it_reads_every_byte_from_ring_to_ring(air: SmallAir, program: Path, tmp_path: Path) -> None:
    air.begin(generation=1, capacity_bytes=256 * 1024)
    air.publish(chunk_of(0))
    got = tmp_path / "got"
    with got.open("wb") as file, subprocess.Popen([str(program), str(air.path())], stdout=file) as reader:
        size = len(chunk_of(0))
        until(lambda: got.stat().st_size == size, "the first slice")
        for number in range(1, 250):  # more than once around the ring
            air.publish(chunk_of(number))
            until(lambda number=number: got.stat().st_size == (number + 1) * size, f"slice {number}")  # type: ignore[misc]
        air.end()
        air.begin(generation=2)
        air.publish(chunk_of(250))
        until(lambda: got.stat().st_size == 251 * size, "the other ring")
        air.end()
        assert reader.wait(20) == 0
    assert got.read_bytes() == b"".join(chunk_of(number) for number in range(251))


def test_it_tells_how_much_it_lost(air: SmallAir, program: Path, tmp_path: Path) -> None:
    air.begin(capacity_bytes=64 * 1024, slices=64)
    air.publish(chunk_of(0))
    got, told, size = tmp_path / "got", tmp_path / "told", len(chunk_of(0))
    with (
        got.open("wb") as out,
        told.open("wb") as said,
        subprocess.Popen([str(program), str(air.path())], stdout=out, stderr=said) as reader,
    ):
        until(lambda: got.stat().st_size == size, "the first slice")
        os.kill(reader.pid, signal.SIGSTOP)
        for number in range(1, 300):
            air.publish(chunk_of(number))
        os.kill(reader.pid, signal.SIGCONT)
        last = 300

        def has_ended() -> bool:
            nonlocal last
            air.publish(chunk_of(last))
            last += 1
            return last > 310 and f"{last - 2}" in numbers_of(got)

        until(has_ended, "the reader goes on")
        reader.kill()
        reader.wait(20)
    lost = sum(int(line.split()[1]) for line in told.read_text().splitlines())
    newest = int(numbers_of(got)[-1])
    assert got.stat().st_size // size * size + lost == (newest + 1) * size
    assert lost > 200 * size


def numbers_of(got: Path) -> list[str]:
    whole = got.read_bytes()
    return [str(int.from_bytes(whole[at : at + 4], "big")) for at in range(0, len(whole) - 7 * PACKET + 1, 7 * PACKET)]
