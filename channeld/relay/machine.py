"""Which kinds of hardware encode on this machine: tried once each, beside everything else, and remembered.

Rule: whoever asks never waits, unless it says how long; what is missing plainly (no driver, no render node) is known without a child. An
answer is kept until the daemon ends: hardware that is put in is seen at its next start. Owns the thread `relays:hardware`.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from channeld.base.worker import Worker
from channeld.relay.hardware import FIRST_DEVICE, Availability, probe
from channeld.relay.profile import Hardware

PROBE_S = 8.0
"""Less than a thread may take to end."""
KINDS = (Hardware.NVIDIA, Hardware.VAAPI, Hardware.QSV)
_NVIDIA_NODES = ("nvidiactl", "dxg")

log = structlog.get_logger()
Probe = Callable[[Hardware, str], Availability]


def plainly_missing(hardware: Hardware, device: str, *, devices: Path = Path("/dev")) -> str | None:
    """Why there can be none, by the device nodes alone; None: it has to be tried."""
    if hardware is Hardware.NVIDIA and not any((devices / name).exists() for name in _NVIDIA_NODES):
        return f"there is no NVIDIA driver (no {devices}/nvidiactl)"
    if hardware is Hardware.VAAPI and not Path(device).exists():
        return f"there is no {device}"
    if hardware is Hardware.QSV and not any(devices.glob("dri/renderD*")):
        return f"there is no render node ({devices}/dri/renderD*)"
    return None


def looked_at(ffmpeg: str, hardware: Hardware, device: str = FIRST_DEVICE) -> Availability:
    """Try one kind now. Blocking, `PROBE_S` at most."""
    if (missing := plainly_missing(hardware, device)) is not None:
        return Availability(hardware, False, missing)
    return probe(ffmpeg, hardware, device=device, deadline_s=PROBE_S)


class Machine(Worker):
    """`told` is called, in its thread, when something was found out that is not there. Give it before `start`."""

    def __init__(self, ffmpeg: str, *, look: Probe | None = None, told: Callable[[], object] = lambda: None) -> None:
        super().__init__("relays:hardware")
        self._look: Probe = look or (lambda hardware, device: looked_at(ffmpeg, hardware, device))
        self.told = told
        self._lock = threading.Lock()  # guards both dicts; never held while something is tried
        self._known: dict[tuple[Hardware, str], Availability] = {}
        self._asked: dict[tuple[Hardware, str], threading.Event] = {}
        self._queue: SimpleQueue[tuple[Hardware, str] | None] = SimpleQueue()

    def run(self) -> None:
        for hardware in KINDS:
            self.known(hardware, FIRST_DEVICE)
        is_told = True
        while not self.stopping.is_set():
            is_told = is_told or self._tell()
            try:
                key = self._queue.get(timeout=1.0)
            except Empty:
                continue
            if key is None or self.stopping.is_set():
                return
            found = self._look(*key)
            log.info("hardware_checked", hardware=key[0].value, available=found.is_available, reason=found.reason or None)
            with self._lock:
                self._known[key] = found
                event = self._asked.pop(key)
            event.set()
            if not found.is_available:
                is_told = self._tell()

    def _tell(self) -> bool:
        """False where whoever is told is too busy, and is told again."""
        try:
            self.told()
        except TimeoutError as error:
            log.warning("hardware_not_told", error=str(error))
            return False
        return True

    def wake(self) -> None:
        self._queue.put(None)

    def known(self, hardware: Hardware, device: str = FIRST_DEVICE) -> Availability | None:
        """Whether it encodes; None: nobody knows yet, and it is tried soon."""
        return self._ask(hardware, device)[0]

    def judged(self, hardware: Hardware, device: str = FIRST_DEVICE, *, wait_s: float) -> Availability | None:
        """The same, after waiting for the answer if need be; None: it did not come in time."""
        found, event = self._ask(hardware, device)
        if event is not None and event.wait(wait_s):
            found, _ = self._ask(hardware, device)
        return found

    def _ask(self, hardware: Hardware, device: str) -> tuple[Availability | None, threading.Event | None]:
        if hardware is Hardware.NONE:
            return Availability(hardware, True), None
        key = hardware, device if hardware is Hardware.VAAPI else FIRST_DEVICE
        with self._lock:
            if (found := self._known.get(key)) is not None:
                return found, None
            if (event := self._asked.get(key)) is None:
                event = self._asked[key] = threading.Event()
                self._queue.put((hardware, key[1]))
            return None, event
