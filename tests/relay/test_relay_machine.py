"""Which hardware encodes is found out beside everything else, and remembered."""

import threading
import time
from pathlib import Path

from channeld.relay.hardware import FIRST_DEVICE, Availability
from channeld.relay.machine import KINDS, Machine, looked_at, plainly_missing
from channeld.relay.profile import Hardware


def test_each_kind_is_tried_once_and_whoever_asks_is_not_held_up() -> None:
    may_go, tried, told = threading.Event(), list[Hardware](), threading.Event()

    def look(hardware: Hardware, device: str) -> Availability:
        assert may_go.wait(30)
        tried.append(hardware)
        return Availability(hardware, hardware is Hardware.NVIDIA, "" if hardware is Hardware.NVIDIA else "none")

    machine = Machine("ffmpeg", look=look, told=told.set)
    assert machine.known(Hardware.QSV) is None and machine.judged(Hardware.QSV, wait_s=0.0) is None
    machine.start()
    try:
        assert machine.known(Hardware.NONE) == Availability(Hardware.NONE, True)
        may_go.set()
        found = [machine.judged(kind, wait_s=30.0) for kind in KINDS]
        assert [each is not None and each.is_available for each in found] == [True, False, False]
        assert machine.known(Hardware.QSV, "/dev/dri/renderD199") == Availability(Hardware.QSV, False, "none")
        assert sorted(tried) == sorted(KINDS) and told.wait(30)
        assert machine.judged(Hardware.VAAPI, "/dev/dri/renderD199", wait_s=30.0) == Availability(Hardware.VAAPI, False, "none")
    finally:
        machine.close()


def test_whoever_is_too_busy_to_be_told_is_told_again() -> None:
    told = list[bool]()

    def tell() -> None:
        told.append(True)
        if len(told) == 1:
            raise TimeoutError("busy")

    machine = Machine("ffmpeg", look=lambda hardware, device: Availability(hardware, False, "none"), told=tell)
    machine.start()
    try:
        assert all(machine.judged(kind, wait_s=30.0) is not None for kind in KINDS)
        deadline = time.monotonic() + 30
        while len(told) <= len(KINDS) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert machine.alive and len(told) > len(KINDS)
    finally:
        machine.close()


def test_what_has_no_device_is_known_without_a_child(tmp_path: Path) -> None:
    for hardware in KINDS:
        assert plainly_missing(hardware, str(tmp_path / "renderD128"), devices=tmp_path)
    assert looked_at("/nonexistent/ffmpeg", Hardware.VAAPI, "/dev/dri/renderD255").reason == "there is no /dev/dri/renderD255"
    (tmp_path / "dri").mkdir()
    for name in ("nvidiactl", "dri/renderD128"):
        (tmp_path / name).touch()
    for hardware in KINDS:
        assert plainly_missing(hardware, str(tmp_path / "dri" / "renderD128"), devices=tmp_path) is None


def test_with_a_device_one_frame_is_tried(tmp_path: Path) -> None:
    assert not looked_at("/nonexistent/ffmpeg", Hardware.NVIDIA, FIRST_DEVICE).is_available
