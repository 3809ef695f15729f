"""Faults of a mock source: how they are written, and when they come.

Rule: the same seed is the same schedule; what a protocol cannot do is refused before anything starts. Pure.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from random import Random

from channeld.base.errors import ConfigError
from channeld.mock.wanted import PROTOCOLS, VIDEO_CODECS, WITH_PASSWORD, Stream, parse_size, refuse_codecs

KINDS = ("stop", "freeze", "garbage", "slow", "codec", "size", "close", "password", "black", "silence")
_REFUSED = {
    ("rtmp", "codec"): "rtmp carries h264 only",
    ("rtsp", "slow"): "its server sends in real time; slow down the line to it instead",
    **{(protocol, "password"): f"{protocol} has no password here" for protocol in PROTOCOLS if protocol not in WITH_PASSWORD},
}
_FIELDS = ("at", "kind", "for", "every", "rate", "to")
MAX_SECONDS = 10_000_000.0
MAX_TEXT = 200
DEFAULT = Stream()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: between `at_s` seconds after the start, for `for_s` seconds (None: to the end), again each `every_s`.

    `rate` is the share of real time of `slow`; `to` the other codec or size.
    """

    kind: str
    at_s: tuple[float, float] = (0.0, 0.0)
    for_s: float | None = None
    every_s: float | None = None
    rate: float = 0.5
    to: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What all faults that are on make of a source; the default is a sound one."""

    stream: Stream
    is_still: bool = False
    is_black: bool = False
    is_silent: bool = False
    is_stopped: bool = False
    is_garbage: bool = False
    is_closed: bool = False
    is_locked: bool = False
    rate: float | None = None


def parse_fault(text: str, protocol: str, stream: Stream = DEFAULT) -> Fault:
    """`at=20s,kind=stop,for=5s`, befalling this stream. Raises ConfigError that names the part which is wrong."""
    if len(text) > MAX_TEXT:
        raise ConfigError(f"--fault {text[:40]}…: longer than {MAX_TEXT} letters", key="fault")
    parts: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in _FIELDS or not equals or name in parts:
            raise ConfigError(f"--fault {text}: {part!r}; write each of {', '.join(_FIELDS)} at most once, as name=value", key="fault")
        parts[name] = value
    kind = parts.get("kind", "")
    if kind not in KINDS:
        raise ConfigError(f"--fault {text}: kind is one of {', '.join(KINDS)}", key="fault")
    if reason := _REFUSED.get((protocol, kind)):
        raise ConfigError(f"--fault {text}: no {kind} with {protocol}: {reason}", key="fault")
    fault = _checked(_read(kind, parts, text), parts, text)
    refuse_codecs(protocol, picture_of(stream, [fault]).stream)
    return fault


def _read(kind: str, parts: dict[str, str], text: str) -> Fault:
    first, _, last = parts.get("at", "0s").partition("..")
    begins = _seconds(first, text)
    return Fault(
        kind,
        (begins, _seconds(last, text) if last else begins),
        _seconds(parts["for"], text) if "for" in parts else None,
        _seconds(parts["every"], text) if "every" in parts else None,
        _share(parts.get("rate", "0.5"), text),
        _other(kind, parts.get("to", ""), text),
    )


def _checked(fault: Fault, parts: dict[str, str], text: str) -> Fault:
    if fault.at_s[1] < fault.at_s[0]:
        raise ConfigError(f"--fault {text}: the range of at goes backwards", key="fault")
    if fault.every_s is not None and (fault.for_s is None or fault.every_s <= fault.for_s + fault.at_s[1] - fault.at_s[0]):
        raise ConfigError(f"--fault {text}: every must be longer than for and the range of at together", key="fault")
    if "rate" in parts and fault.kind != "slow":
        raise ConfigError(f"--fault {text}: rate goes with kind=slow", key="fault")
    return fault


def _seconds(text: str, whole: str) -> float:
    found = re.fullmatch(r"(\d{1,8}(?:\.\d{1,3})?)(ms|s|m|h)?", text)
    seconds = float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2] or "s"] if found else -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise ConfigError(f"--fault {whole}: {text!r} is no time; write 20s, 500ms, 5m or 1h", key="fault")
    return seconds


def _share(text: str, whole: str) -> float:
    if re.fullmatch(r"0\.\d{1,3}", text) and float(text) > 0:
        return float(text)
    raise ConfigError(f"--fault {whole}: rate is a share of real time, such as 0.5", key="fault")


def _other(kind: str, text: str, whole: str) -> str:
    if text and kind == "size":
        parse_size(text, f"--fault {whole}: to")
    elif text and not (kind == "codec" and text in VIDEO_CODECS):
        raise ConfigError(f"--fault {whole}: to is a size for kind=size, and one of {', '.join(VIDEO_CODECS)} for kind=codec", key="fault")
    return text


def schedule(faults: Iterable[Fault], seed: int) -> Iterator[tuple[float, Fault]]:
    """Beginnings in order of time: seconds after the start, and the fault. Endless when one repeats."""
    return merge(*(_beginnings(fault, Random(f"{seed}.{number}")) for number, fault in enumerate(faults)), key=lambda each: each[0])


def _beginnings(fault: Fault, random: Random) -> Iterator[tuple[float, Fault]]:
    turn = 0
    while True:
        yield (fault.every_s or 0.0) * turn + random.uniform(*fault.at_s), fault
        if fault.every_s is None:
            return
        turn += 1


def picture_of(stream: Stream, faults: Iterable[Fault]) -> Picture:
    """What a source shows and does while these faults are on."""
    on = {fault.kind: fault for fault in faults}
    if size := on.get("size"):
        width, height = parse_size(size.to) if size.to else _half(stream)
        stream = replace(stream, width=width, height=height)
    if codec := on.get("codec"):
        stream = replace(stream, vcodec=codec.to or ("hevc" if stream.vcodec == "h264" else "h264"))
    slow = on.get("slow")
    return Picture(
        stream,
        is_still="freeze" in on,
        is_black="black" in on,
        is_silent="silence" in on,
        is_stopped="stop" in on,
        is_garbage="garbage" in on,
        is_closed="close" in on,
        is_locked="password" in on,
        rate=slow.rate if slow else None,
    )


def _half(stream: Stream) -> tuple[int, int]:
    return max(16, stream.width // 4 * 2), max(16, stream.height // 4 * 2)
