"""An RTMP origin with a stream in it: nginx-rtmp, and a mock source that pushes there.

Rule: whoever makes it stops it. The same words hurt the publisher (`source`) and the server (`origin`).
"""

from nginx_origin import NginxOrigin

from peers.mock_peer import MockPeer

NAME = "cam"


class RtmpPeer:
    """`url` is RTMP's, `hls_url` that of the HLS which nginx makes of it."""

    def __init__(self, origin: NginxOrigin, **options: str | bool) -> None:
        self.origin = origin
        self.source = MockPeer("rtmp", origin.rtmp_port, push=origin.rtmp_url(NAME), **options)
        self.url, self.hls_url = origin.rtmp_url(NAME), origin.hls_url(NAME)

    def start(self) -> "RtmpPeer":
        """Push, and return when nginx made the first segments."""
        self.source.start()
        self.origin.wait_for_segments(NAME, 2)
        return self

    def stop(self) -> None:
        """End the publisher; the server belongs to its own fixture."""
        self.source.stop()
