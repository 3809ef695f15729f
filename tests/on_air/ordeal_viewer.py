"""A viewer of an endless transport stream, as a process of its own: keeps what comes, and when each piece came.

Rule: shares nothing with channeld, nor with the tests: `python ordeal_viewer.py HOST PORT PATH STREAM TIMES`. TIMES holds pairs of unsigned
64 bits, little endian: how many bytes there were, and the monotonic clock in nanoseconds. SIGTERM ends it; status 3: the stream ended.
"""

import signal
import socket
import struct
import sys
import time


def main() -> int:
    """Watch until the end."""
    host, port, path, stream, times = sys.argv[1:]
    with socket.create_connection((host, int(port)), timeout=30) as connection, open(stream, "wb") as kept, open(times, "wb") as told:  # noqa: PTH123
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = connection.recv(65536)
            if not chunk:
                return 3
            head += chunk
        status, body = head.split(b"\r\n", 1)[0], head.split(b"\r\n\r\n", 1)[1]
        if b" 200 " not in status:
            sys.stderr.write(f"{status!r}\n")
            return 4
        count = 0
        while True:
            if body:
                count += len(body)
                told.write(struct.pack("<QQ", count, time.monotonic_ns()))
                kept.write(body)
            body = connection.recv(65536)
            if not body:
                return 3


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    raise SystemExit(main())
