"""PAT, PMT and service tables: their checksums, what they say, how often they come.

Rule: a section is read from ISO/IEC 13818-1, 2.4.4; sections longer than one packet are a fault here, since no
single-program stream needs them.
"""

from dataclasses import dataclass

import numpy as np

from .steps import Ints, listing
from .ts_packets import Packets

SERVICE_PIDS = range(0x10, 0x20)


@dataclass(frozen=True, slots=True)
class PsiReport:
    """The program as its tables describe it. PIDs are -1 where a table is missing."""

    pmt_pid: int
    pcr_pid: int
    streams: dict[int, int]
    """Stream type by PID."""
    pat_packets: Ints
    pmt_packets: Ints
    faults: tuple[str, ...]


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def crc32_mpeg(section: bytes) -> int:
    """CRC of 13818-1 annex A; 0 over a section with its own CRC when intact."""
    value = 0xFFFFFFFF
    for byte in section:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC[(value >> 24) ^ byte]
    return value


def read_psi(packets: Packets, by_pid: dict[int, Ints]) -> PsiReport:
    """Read all tables of a single-program stream."""
    faults: list[str] = []
    programs = _distinct(packets, by_pid.get(0), "PAT", faults)
    pmt_pid = _program_pid(programs, faults)
    maps = _distinct(packets, by_pid.get(pmt_pid), "PMT", faults)
    pcr_pid, streams = _program_map(maps, faults)
    for pid in SERVICE_PIDS:
        if pid in by_pid:
            _distinct(packets, by_pid[pid], f"table of PID {pid:#x}", faults)
    known = {0, pmt_pid, pcr_pid, *streams, *SERVICE_PIDS}
    strangers = [hex(pid) for pid in by_pid if pid not in known]
    if strangers:
        faults.append(f"PIDs that no table names: {listing(strangers)}")
    none = np.empty(0, dtype=np.int64)
    return PsiReport(pmt_pid, pcr_pid, streams, by_pid.get(0, none), by_pid.get(pmt_pid, none), tuple(faults))


def _distinct(packets: Packets, numbers: Ints | None, name: str, faults: list[str]) -> list[bytes]:
    """The different intact sections of a PID, without their CRC."""
    if numbers is None or not len(numbers):
        faults.append(f"{name} is missing")
        return []
    seen: dict[bytes, str] = {}
    broken: dict[str, list[int]] = {}
    for number in numbers.tolist():
        raw = packets.rows[number, packets.payload_at[number] :].tobytes()
        if raw not in seen:
            seen[raw] = _section_fault(raw) if packets.starts_unit[number] else "continues over more than one packet"
        if seen[raw]:
            broken.setdefault(seen[raw], []).append(number)
    faults.extend(f"{name} {fault}: packet {listing(places)}" for fault, places in broken.items())
    sections = [_section(raw)[:-4] for raw, fault in seen.items() if not fault]
    if len(set(sections)) > 1:
        faults.append(f"{name} changes within the stream ({len(set(sections))} forms)")
    return sections


def _section(raw: bytes) -> bytes:
    begin = 1 + raw[0]
    return raw[begin : begin + 3 + (((raw[begin + 1] & 15) << 8) | raw[begin + 2])]


def _section_fault(raw: bytes) -> str:
    if len(raw) < 5 or 1 + raw[0] + 3 > len(raw):
        return "section has an impossible pointer"
    section = _section(raw)
    announced = 3 + (((section[1] & 15) << 8) | section[2])
    if announced != len(section) or announced < 12:
        return "section has an impossible length"
    return "section has a wrong CRC" if crc32_mpeg(section) else ""


def _program_pid(sections: list[bytes], faults: list[str]) -> int:
    if not sections:
        return -1
    body = sections[0][8:]
    pids = [((body[at + 2] & 31) << 8) | body[at + 3] for at in range(0, len(body) - 3, 4) if body[at] or body[at + 1]]
    if sections[0][0] != 0 or len(pids) != 1:
        faults.append(f"PAT names {len(pids)} programs instead of one")
    return pids[0] if pids else -1


def _program_map(sections: list[bytes], faults: list[str]) -> tuple[int, dict[int, int]]:
    if not sections:
        return -1, {}
    section = sections[0]
    if section[0] != 2:
        faults.append(f"PMT has table id {section[0]}")
    streams: dict[int, int] = {}
    at = 12 + (((section[10] & 15) << 8) | section[11])
    while at + 5 <= len(section):
        streams[((section[at + 1] & 31) << 8) | section[at + 2]] = section[at]
        at += 5 + (((section[at + 3] & 15) << 8) | section[at + 4])
    return ((section[8] & 31) << 8) | section[9], streams
