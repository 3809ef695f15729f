"""Whether an SRT listener answers, and whether FFmpeg can call one.

Rule: asks and goes; nothing is connected. A listener answers the first packet of the handshake (induction) whatever passphrase or stream
id it wants. Run by `check`. Source: SRT protocol draft, 3.2.1 and 4.3.1.1 (draft-sharabayko-srt).
"""

import socket
import struct
import time

from channeld.media import child

ANSWER_S = 2.0
_HANDSHAKE, _VERSION, _DATAGRAM, _INDUCTION = 0x8000_0000, 4, 2, 1
_MTU, _FLOW_WINDOW, _OUR_SOCKET = 1500, 8192, 0x3FFF_1234


def silence_of(host: str, port: int, *, patience_s: float = ANSWER_S) -> str | None:
    """Why no SRT listener is heard there; None where one answers."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, number) as asking:
            asking.connect(address)
            return _ask(asking, patience_s)
    except OSError as error:
        return error.strerror or str(error)


def _ask(asking: socket.socket, patience_s: float) -> str | None:
    head = struct.pack(">IIII", _HANDSHAKE, 0, 0, 0)
    body = struct.pack(">IHHIIIiII", _VERSION, 0, _DATAGRAM, 0, _MTU, _FLOW_WINDOW, _INDUCTION, _OUR_SOCKET, 0) + bytes(16)
    deadline = time.monotonic() + patience_s
    while (left_s := deadline - time.monotonic()) > 0:
        asking.send(head + body)  # a packet may be lost: as SRT does, again every quarter of a second
        asking.settimeout(min(0.25, left_s))
        try:
            answer = asking.recv(1500)
        except TimeoutError:
            continue
        if len(answer) >= 16 and struct.unpack(">I", answer[:4])[0] >> 16 == _HANDSHAKE >> 16:
            return None
    return "no answer"


def speaks_srt(ffmpeg: str) -> bool:
    """This FFmpeg was built with libsrt. Raises ProcessError."""
    listed = child.run([ffmpeg, "-v", "error", "-hide_banner", "-protocols"], max_bytes=1 << 16, deadline_s=20).decode("utf-8", "replace")
    return "srt" in listed.partition("Output:")[2].split()
