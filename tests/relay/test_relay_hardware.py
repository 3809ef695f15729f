"""Hardware is tried, by one frame, before anything relies on it."""

import os
import stat
import time
from pathlib import Path

import pytest

from channeld.relay.hardware import Availability, probe, probe_arguments
from channeld.relay.profile import Hardware


def _program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_cpus_encoder_is_available(ffmpeg: str) -> None:
    assert probe(ffmpeg, Hardware.NONE) == Availability(Hardware.NONE, True)


@pytest.mark.parametrize("hardware", [Hardware.NVIDIA, Hardware.VAAPI, Hardware.QSV])
def test_hardware_is_available_or_there_is_a_reason(ffmpeg: str, hardware: Hardware) -> None:
    found = probe(ffmpeg, hardware, device="/dev/dri/renderD255")
    assert found.hardware is hardware
    assert found.is_available == (found.reason == "")


def test_a_render_node_that_is_not_there_is_a_reason(ffmpeg: str) -> None:
    found = probe(ffmpeg, Hardware.VAAPI, device="/dev/dri/renderD255")
    assert not found.is_available and "0x" not in found.reason


@pytest.mark.parametrize("device", ["/dev/sda", "/dev/dri/renderD128,driver=x", "/dev/dri/../sda", ""])
def test_no_other_device_is_opened(device: str) -> None:
    with pytest.raises(ValueError, match="render node"):
        probe_arguments("ffmpeg", Hardware.VAAPI, device)


def test_a_missing_program_is_a_reason(tmp_path: Path) -> None:
    found = probe(str(tmp_path / "none"), Hardware.NONE)
    assert not found.is_available and found.reason


def test_a_program_that_cannot_be_confined_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from channeld.process import confine

    monkeypatch.setenv("PATH", "/nonexistent")
    confine._tool.cache_clear()
    try:
        found = probe("/nonexistent/ffmpeg", Hardware.NONE)
    finally:
        confine._tool.cache_clear()
    assert found.reason == "FFmpeg could not be started: No such file or directory"


def test_silence_and_floods_are_reasons_too(tmp_path: Path) -> None:
    quiet = probe(_program(tmp_path / "quiet", "exit 3"), Hardware.NONE)
    assert quiet.reason == "FFmpeg ended with status 3 and said nothing"
    loud = probe(_program(tmp_path / "loud", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1"), Hardware.NONE)
    assert len(loud.reason) == 300


@pytest.mark.parametrize("closes", ["", "exec 2>&-;"])
def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, closes: str) -> None:
    pids = tmp_path / "pids"
    found = probe(
        _program(tmp_path / "hung", f"{closes} echo $$ >{pids}; sleep 60 & echo $! >>{pids}; wait"), Hardware.NVIDIA, deadline_s=1.5
    )
    assert found == Availability(Hardware.NVIDIA, False, "no frame was encoded within 1.5 s")
    # KILL was sent to the whole group, but only the first of it is ours to reap.
    give_up = time.monotonic() + 10
    alive = [int(pid) for pid in pids.read_text().split()]
    while (alive := [pid for pid in alive if _is_alive(pid)]) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert alive == []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_a_probe_leaves_no_descriptor_behind(ffmpeg: str) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    probe(ffmpeg, Hardware.NONE)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
