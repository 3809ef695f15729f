"""Writes `ffmpeg_said/<version>.txt` anew: what a real FFmpeg says of peers that refuse or are silent.

Run by hand where the words of a newer FFmpeg are wanted, with its path: the test reads the files alone.
"""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from channeld.base.units import FrameRate
from channeld.media.ffmpeg_args import live_args
from channeld.media.live_input import live_input
from channeld.media.profile import Profile
from channeld.media.tools import Tools

HOUSE = Profile("house", 320, 180, FrameRate(25, 1), 300_000, 64_000)
TIMEOUT_S = 2.0
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
Answer = Callable[[bytes], bytes | None]


@contextmanager
def peer(answer: Answer) -> Iterator[int]:
    """A server of one thread on loopback: gives each request an answer, and hangs up behind it; None keeps silent."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                talk, _ = server.accept()
            except OSError:
                return
            talk.settimeout(TIMEOUT_S * 3)
            kept.append(talk)
            threading.Thread(target=converse, args=(talk,), daemon=True).start()

    def converse(talk: socket.socket) -> None:
        try:
            while request := talk.recv(65536):
                reply = answer(request)
                if reply is None:
                    continue
                talk.sendall(reply)
                if not reply.startswith(b"RTSP"):
                    talk.close()
                    return
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for talk in kept:
            talk.close()


def http(status: str, body: bytes = b"", *headers: str) -> Answer:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return lambda _: head.encode() + b"\r\n\r\n" + body


def rtsp(status: str, *headers: str, sdp: str | None = None, setup: str = "461 Unsupported transport") -> Answer:
    """OPTIONS is answered well, DESCRIBE with the status, SETUP with another."""

    def answer(request: bytes) -> bytes:
        found = re.search(rb"CSeq: (\d+)", request)
        cseq = found[1].decode() if found else "1"
        line, more, body = "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY"], ""
        if request.startswith(b"DESCRIBE"):
            line, more, body = status, [*headers, *(["Content-Type: application/sdp"] if sdp is not None else [])], sdp or ""
        elif request.startswith(b"SETUP"):
            line, more = setup, []
        head = [f"RTSP/1.0 {line}", f"CSeq: {cseq}", *more, *([f"Content-Length: {len(body)}"] if body else [])]
        return ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    return answer


def encoded(ffmpeg: str, *output: str, video: str = "testsrc2=s=320x180:r=25:d=2", sound: str | None = "sine=d=2") -> bytes:
    inputs = [word for one in (video, sound) if one for word in ("-f", "lavfi", "-i", one)]
    command = [ffmpeg, "-nostdin", "-loglevel", "error", *inputs, *output, "pipe:1"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True).stdout


def garbled(stream: bytes) -> bytes:
    """Every 40th packet in the middle is overwritten but for its head."""
    spoilt = bytearray(stream)
    for at in range(188 * 200, len(spoilt) - 188 * 100, 188 * 40):
        spoilt[at + 20 : at + 188] = bytes(range(168))
    return bytes(spoilt)


def manifest(*uris: str) -> bytes:
    lines = "".join(f"#EXTINF:2,\n{uri}\n" for uri in uris)
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n".encode()


def streams(ffmpeg: str) -> dict[str, bytes]:
    x264, aac, ts = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25"), ("-c:a", "aac"), ("-f", "mpegts")
    whole = encoded(ffmpeg, *x264, *aac, *ts)
    return {
        "whole": whole,
        "garbled": garbled(whole),
        "without sound": encoded(ffmpeg, *x264, *ts, sound=None),
        "sound alone": encoded(ffmpeg, "-vn", *aac, *ts),
        "mpeg2 interlaced": encoded(ffmpeg, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-c:a", "mp2", *ts),
        "a codec not listed": encoded(ffmpeg, "-c:v", "snow", "-strict", "-2", "-c:a", "pcm_s16le", "-f", "nut"),
        "a codec not listed, in Matroska": encoded(ffmpeg, "-c:v", "ffv1", "-c:a", "pcm_s16le", "-f", "matroska"),
        "five channels, in Matroska": encoded(ffmpeg, *x264, "-af", "aresample=44100,pan=5.1|c0=c0", *aac, "-f", "matroska"),
        "titled": encoded(ffmpeg, *x264, *aac, "-metadata", "title=Stream #0:9: Video: h264, yuv420p, 1280x720, ... fps", "-f", "matroska"),
        "text": b"hello, this is no television\n" * 400,
        "page": b"<!doctype html><html><title>404</title></html>" * 40,
        "noise": bytes((number * 7919 >> 5) & 0xFF for number in range(200_000)),
    }


def version_of(ffmpeg: str) -> str:
    return subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()[0][:40]


def said(ffmpeg: str, url: str, *, transport: str = "auto") -> list[str]:
    """FFmpeg as a source runs it."""
    argv = live_args(live_input(url, transport=transport, timeout_s=TIMEOUT_S), HOUSE, Tools(ffmpeg, None), has_sound=True)
    done = subprocess.run(argv, env={"LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    text = done.stderr.decode("utf-8", "replace")
    # Ports are of the moment, and the encoder's statistics of its version.
    lines = [re.sub(r"(127\.0\.0\.1|\[::1\]):\d{4,5}", r"\1:21935", line) for line in text.splitlines() if line.strip()]
    return [line for line in lines if "libx264" not in line][:80]


def refusing_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def cases(ffmpeg: str) -> Iterator[tuple[str, list[str]]]:
    dead = refusing_port()
    for scheme in ("rtsp", "http", "https", "rtmp", "rtmps", "tcp", "srt", "udp"):
        yield f"{scheme}: nobody there", said(ffmpeg, f"{scheme}://127.0.0.1:{dead}/live/x")
    yield "http: no such name", said(ffmpeg, "http://nosuch.invalid/x.ts")
    yield "rtsp: no such name", said(ffmpeg, "rtsp://nosuch.invalid/x")
    yield "http: no way there", said(ffmpeg, "http://240.0.0.1/x.ts")
    yield from _spoken(ffmpeg)
    yield from _streamed(ffmpeg)


def _spoken(ffmpeg: str) -> Iterator[tuple[str, list[str]]]:
    for scheme in ("rtsp", "http", "https", "rtmp", "rtmps", "tcp"):
        with peer(lambda _: None) as port:
            yield f"{scheme}: silent", said(ffmpeg, f"{scheme}://127.0.0.1:{port}/live/x")
        with peer(lambda _: b"\x00garbage\xff" * 400) as port:
            yield f"{scheme}: garbage", said(ffmpeg, f"{scheme}://127.0.0.1:{port}/live/x")
    for status in (
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "500 Internal Server Error",
        "503 Busy",
    ):
        with peer(http(status, b"no", 'WWW-Authenticate: Basic realm="x"')) as port:
            yield f"http: {status}", said(ffmpeg, f"http://user:secret@127.0.0.1:{port}/x.ts")
    with peer(http("302 Found", b"", "Location: file:///etc/hostname")) as port:
        yield "http: sent to a file", said(ffmpeg, f"http://127.0.0.1:{port}/x.ts")
    for name, body in (
        ("segments that are not there", manifest("none.ts", "none2.ts")),
        ("segments that are files", manifest("file:///etc/hostname")),
        ("an empty manifest", manifest()),
        ("half a manifest", b"#EXTM3U\n#EXT-X-TARGETDURATION:"),
        ("a manifest that is a page", b"<html>"),
    ):

        def hls(request: bytes, body: bytes = body) -> bytes:
            return http("200 OK", body)(request) if b".m3u8" in request.split(b"\r\n")[0] else http("404 Not Found")(request)

        with peer(hls) as port:
            yield f"hls: {name}", said(ffmpeg, f"http://127.0.0.1:{port}/x.m3u8")
    basic = 'WWW-Authenticate: Basic realm="x"'
    digest = 'WWW-Authenticate: Digest realm="x", nonce="1"'
    video = SDP + "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
    unknown = SDP + "m=video 0 RTP/AVP 96\r\na=rtpmap:96 X-NEWTEK/90000\r\na=control:track1\r\n"
    for name, answer in (
        ("wrong password, basic", rtsp("401 Unauthorized", basic)),
        ("wrong password, digest", rtsp("401 Unauthorized", digest)),
        ("403", rtsp("403 Forbidden")),
        ("404", rtsp("404 Not Found")),
        ("454", rtsp("454 Session Not Found")),
        ("500", rtsp("500 Internal Server Error")),
        ("503", rtsp("503 Service Unavailable")),
        ("an empty description", rtsp("200 OK", sdp=SDP)),
        ("a description of nothing", rtsp("200 OK", sdp="hello")),
        ("an unknown codec", rtsp("200 OK", sdp=unknown, setup="200 OK")),
        ("no such transport", rtsp("200 OK", sdp=video)),
        ("no more sessions", rtsp("200 OK", sdp=video, setup="453 Not Enough Bandwidth")),
    ):
        with peer(answer) as port:
            yield f"rtsp: {name}", said(ffmpeg, f"rtsp://user:secret@127.0.0.1:{port}/live")


def _streamed(ffmpeg: str) -> Iterator[tuple[str, list[str]]]:
    for name, body in streams(ffmpeg).items():
        with peer(http("200 OK", body)) as port:
            yield f"http stream: {name}", said(ffmpeg, f"http://127.0.0.1:{port}/x")
    for name, options in (("no listener's password", "?passphrase=0123456789ab"), ("another mode", "?mode=rendezvous")):
        port = refusing_port()
        listener = subprocess.Popen(
            [
                *(ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "sine", "-c:a", "aac", "-f", "mpegts"),
                f"srt://127.0.0.1:{port}?mode=listener&passphrase=abcdef012345",
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"srt: {name}", said(ffmpeg, f"srt://127.0.0.1:{port}{options}")
        finally:
            listener.kill()
            listener.wait()
    port = refusing_port()
    done = threading.Event()
    sender = threading.Thread(target=_send_garbage, args=(port, done))
    sender.start()
    try:
        yield "udp: garbage", said(ffmpeg, f"udp://127.0.0.1:{port}")
    finally:
        done.set()
        sender.join()


def _send_garbage(port: int, done: threading.Event) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        number = 0
        while not done.wait(0.002):
            number += 1
            with suppress(ConnectionRefusedError):
                talk.sendto(bytes((number % 251,)) * 1316, ("127.0.0.1", port))


def main() -> None:
    ffmpeg = sys.argv[1]
    version = version_of(ffmpeg).split()[2].partition("-")[0].lstrip("n")
    target = Path(__file__).parent / "ffmpeg_said" / f"{version}.txt"
    target.parent.mkdir(exist_ok=True)
    with target.open("w") as file:
        write = partial(print, file=file)
        for name, lines in cases(ffmpeg):
            write(f"== {name}")
            for line in lines:
                write(line)


if __name__ == "__main__":
    main()
