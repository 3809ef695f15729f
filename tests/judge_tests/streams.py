"""Good streams made by FFmpeg, and ways to damage them.

Rule: a mutation changes one thing, and repairs what would give it away for another reason (counters, checksums).
"""

import subprocess
from pathlib import Path

PACKET = 188


def remux(source: Path, target: Path, *options: str) -> Path:
    """Copy both tracks into another container, without re-encoding."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"file:{source}", "-c", "copy", *options, f"file:{target}"]
    subprocess.run(command, check=True, timeout=60)
    return target


def packets(stream: bytes) -> list[bytearray]:
    """The packets, to be changed."""
    return [bytearray(stream[at : at + PACKET]) for at in range(0, len(stream), PACKET)]


def join(parts: list[bytearray]) -> bytes:
    """Back to a stream."""
    return b"".join(parts)


def pid_of(packet: bytearray) -> int:
    return (packet[1] & 31) << 8 | packet[2]


def units(parts: list[bytearray], pid: int) -> list[list[int]]:
    """Packet numbers of each access unit of a PID."""
    found: list[list[int]] = []
    for number, packet in enumerate(parts):
        if pid_of(packet) == pid and packet[1] & 0x40:
            found.append([])
        if pid_of(packet) == pid and found:
            found[-1].append(number)
    return found


def renumber(parts: list[bytearray]) -> list[bytearray]:
    """Continuity counters as if nothing had been cut or inserted."""
    counters: dict[int, int] = {}
    for packet in parts:
        pid = pid_of(packet)
        counters[pid] = (counters.get(pid, 15) + bool(packet[3] & 0x10)) & 15
        packet[3] = packet[3] & 0xF0 | counters[pid]
    return parts


def pes_at(packet: bytearray) -> int:
    """Offset of the PES header in a packet."""
    return 4 + (packet[4] + 1 if packet[3] & 0x20 else 0)


def stamp(packet: bytearray, which: str) -> int:
    """PTS or DTS (`which`) of the PES header in a packet; without a DTS it is the PTS."""
    at = pes_at(packet) + (14 if which == "dts" and packet[pes_at(packet) + 7] & 0x40 else 9)
    five = packet[at : at + 5]
    return (five[0] >> 1 & 7) << 30 | five[1] << 22 | five[2] >> 1 << 15 | five[3] << 7 | five[4] >> 1


def restamp(packet: bytearray, which: str, value: int) -> None:
    """Write a PTS or DTS where there is one."""
    at = pes_at(packet) + (14 if which == "dts" else 9)
    value %= 1 << 33
    packet[at] = packet[at] & 0xF1 | value >> 30 << 1
    packet[at + 1 : at + 5] = bytes((value >> 22 & 255, value >> 14 & 254 | 1, value >> 7 & 255, value << 1 & 254 | 1))


def has_dts(packet: bytearray) -> bool:
    """The PES header in a packet has a DTS of its own."""
    return bool(packet[pes_at(packet) + 7] & 0x40)


def shift(parts: list[bytearray], ticks: int) -> list[bytearray]:
    """Move every PTS, DTS and PCR by the same time."""
    for packet in parts:
        if packet[3] & 0x20 and packet[4] and packet[5] & 0x10:
            base = int.from_bytes(packet[6:10], "big") << 1 | packet[10] >> 7
            base = (base + ticks) % (1 << 33)
            packet[6:10] = (base >> 1).to_bytes(4, "big")
            packet[10] = packet[10] & 0x7F | (base & 1) << 7
        if packet[1] & 0x40 and pid_of(packet) in (0x100, 0x101):
            for which in ("pts", "dts") if has_dts(packet) else ("pts",):
                restamp(packet, which, stamp(packet, which) + ticks)
    return parts
