"""The packet layer of a transport stream: sync, flags, continuity counters, PCR, payload bytes.

Rule: read from ISO/IEC 13818-1, 2.4.3, with one numpy column per field, so that a file of hours is judged in seconds.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .steps import Ints, listing

PACKET_BYTES = 188
NULL_PID = 0x1FFF
_CHUNK = 1 << 15

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Packets:
    """Columns over all packets, in stream order."""

    rows: Bytes
    """Shape (n, 188)."""
    pid: NDArray[np.uint16]
    counter: Bytes
    starts_unit: Flags
    has_payload: Flags
    payload_at: NDArray[np.int16]
    """Offset of the first payload byte in the packet."""
    adaptation_flags: Bytes
    """The adaptation field's flag byte, 0 where there is none."""
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """Continuity of one PID."""

    packets: int
    adaptation_only: int
    duplicates: int
    faults: tuple[int, ...]
    """Numbers of the packets whose counter does not follow."""
    discontinuities: tuple[int, ...]
    """Numbers of the packets with the discontinuity indicator."""


@dataclass(frozen=True, slots=True)
class PcrReport:
    """The clock references of the program, unwrapped, in ticks of 27 MHz."""

    values: Ints
    packets: Ints
    """Number of the packet that carries each value."""

    @property
    def max_step_ms(self) -> float:
        """Longest time between two PCRs, in ms; 0 with fewer than two."""
        return float(np.diff(self.values).max()) / 27_000 if len(self.values) > 1 else 0.0

    @property
    def is_monotonic(self) -> bool:
        """Every PCR is later than the one before."""
        return bool(np.all(np.diff(self.values) > 0))


def split_packets(stream: bytes) -> Packets:
    """Cut a byte string into packets; bytes after the last whole packet and lost sync become faults."""
    whole = len(stream) // PACKET_BYTES
    rows = np.frombuffer(stream, dtype=np.uint8, count=whole * PACKET_BYTES).reshape(whole, PACKET_BYTES)
    control = ((rows[:, 3] >> 4) & 3).astype(np.uint8)
    has_field, has_payload = (control & 2) > 0, (control & 1) > 0
    field_bytes = np.where(has_field, rows[:, 4].astype(np.int16) + 1, 0).astype(np.int16)
    packets = Packets(
        rows=rows,
        pid=(((rows[:, 1].astype(np.uint16) & 0x1F) << 8) | rows[:, 2]).astype(np.uint16),
        counter=(rows[:, 3] & 15).astype(np.uint8),
        starts_unit=(rows[:, 1] & 0x40) > 0,
        has_payload=has_payload,
        payload_at=(field_bytes + 4).astype(np.int16),
        adaptation_flags=np.where(field_bytes > 1, rows[:, 5], 0).astype(np.uint8),
        faults=(),
    )
    return replace(packets, faults=tuple(_header_faults(packets, len(stream), control)))


def _header_faults(packets: Packets, size: int, control: Bytes) -> list[str]:
    rows, at, carries = packets.rows, packets.payload_at, packets.has_payload
    # 2.4.3.5: the field is 183 bytes long where there is no payload, and at most 182 beside one.
    bad_field = ((control & 2) > 0) & np.where(carries, at > PACKET_BYTES - 1, at != PACKET_BYTES)
    named = {
        "sync byte is not 0x47": rows[:, 0] != 0x47,
        "transport error indicator is set": (rows[:, 1] & 0x80) > 0,
        "packet is scrambled": (rows[:, 3] & 0xC0) > 0,
        "adaptation field control is the reserved 0": (control == 0) & (packets.pid != NULL_PID),
        "adaptation field has an impossible length": bad_field,
    }
    faults = [f"{name}: packet {listing(np.flatnonzero(where).tolist())}" for name, where in named.items() if where.any()]
    if size % PACKET_BYTES:
        faults.append(f"stream ends with {size % PACKET_BYTES} bytes of a packet")
    return faults


def packets_by_pid(packets: Packets) -> dict[int, Ints]:
    """Packet numbers of each PID, null packets left out."""
    if not len(packets.pid):
        return {}
    order = np.argsort(packets.pid, kind="stable")
    pids, firsts = np.unique(packets.pid[order], return_index=True)
    groups = np.split(order, firsts[1:])
    return {int(pid): numbers for pid, numbers in zip(pids, groups, strict=True) if pid != NULL_PID}


def check_counters(packets: Packets, numbers: Ints, restarts: Ints) -> tuple[Counters, Ints]:
    """Judge one PID's continuity; also its packet numbers without the legal duplicates.

    2.4.3.3: the counter grows with each packet that has payload and stands still without; one exact repetition of a
    packet is legal. `restarts`: packet numbers at which counters may begin anew.
    """
    counter, carries = packets.counter[numbers], packets.has_payload[numbers]
    step = (counter[1:] - counter[:-1]) & 15
    wrong = step != carries[1:]
    marked = (packets.adaptation_flags[numbers] & 0x80) > 0
    part = np.searchsorted(restarts, numbers, side="right")
    wrong &= part[1:] == part[:-1]
    repeated = _repetitions(packets, numbers, np.flatnonzero(wrong & (step == 0) & carries[:-1]) + 1)
    wrong &= ~marked[1:]
    wrong[repeated - 1] = False
    report = Counters(
        packets=len(numbers),
        adaptation_only=int((~carries).sum()),
        duplicates=len(repeated),
        faults=tuple(numbers[1:][wrong].tolist()),
        discontinuities=tuple(numbers[marked].tolist()),
    )
    return report, np.delete(numbers, repeated)


def _repetitions(packets: Packets, numbers: Ints, suspects: Ints) -> Ints:
    found: list[int] = []
    for at in suspects.tolist():
        first, second = packets.rows[numbers[at - 1]].copy(), packets.rows[numbers[at]].copy()
        if packets.adaptation_flags[numbers[at]] & 0x10:
            first[6:12] = second[6:12] = 0  # the PCR of a duplicate is its own
        if np.array_equal(first, second) and (not found or found[-1] != at - 1):
            found.append(at)
    return np.array(found, dtype=np.int64)


def read_pcr(packets: Packets, numbers: Ints) -> tuple[Ints, Ints, Ints]:
    """PCR base (33 bits, 90 kHz), extension (27 MHz) and packet number of every PCR in these packets."""
    carrying = numbers[(packets.adaptation_flags[numbers] & 0x10) > 0]
    raw = packets.rows[carrying, 6:12].astype(np.int64)
    base = (raw[:, 0] << 25) | (raw[:, 1] << 17) | (raw[:, 2] << 9) | (raw[:, 3] << 1) | (raw[:, 4] >> 7)
    return base, ((raw[:, 4] & 1) << 8) | raw[:, 5], carrying


def payload_of(packets: Packets, numbers: Ints) -> tuple[Bytes, Ints]:
    """Payload bytes of these packets as one array, and where each packet's payload begins in it."""
    sizes = np.where(packets.has_payload[numbers], PACKET_BYTES - packets.payload_at[numbers], 0).clip(0).astype(np.int64)
    begins = np.concatenate(([0], np.cumsum(sizes)))
    joined = np.empty(int(begins[-1]), dtype=np.uint8)
    columns = np.arange(PACKET_BYTES, dtype=np.int16)
    for at in range(0, len(numbers), _CHUNK):
        chunk = numbers[at : at + _CHUNK]
        wanted = (columns >= packets.payload_at[chunk, None]) & packets.has_payload[chunk, None]
        joined[begins[at] : begins[at + len(chunk)]] = packets.rows[chunk][wanted]
    return joined, begins[:-1]
