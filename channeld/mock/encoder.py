"""The FFmpeg that makes a mock source's picture and sound: bars, a running clock, a frame counter, a tone; a transport stream in real time.

Rule: the graph is ours, with nothing of the user's in it but checked numbers; what changes while it runs is told through
FFmpeg's own commands (its stdin), so that black, still and silent pictures come without a seam. Another size or codec is another FFmpeg,
as with a real encoder.
Runs in the event loop of `run`, which owns it.
"""

import asyncio
import time
from pathlib import Path

from channeld.media.tools import find_tools
from channeld.mock.children import MockChild
from channeld.mock.faults import Picture

AUDIO_RATE = 48_000
_FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
)
_VIDEO = {
    # With filler, so that a stream has the bit rate that was asked for, however little there is to see.
    "h264": ("libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-x264-params", "nal-hrd=cbr:scenecut=0"),
    # Its key frames are IDR pictures, as those of cameras are.
    "hevc": (
        "libx265",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-x265-params",
        "log-level=error:scenecut=0:open-gop=0:pools=none:frame-threads=1",
    ),
    "mpeg2video": ("mpeg2video", "-sc_threshold", "1000000000"),
}
_AUDIO = {"aac": ("aac", "128k"), "mp2": ("mp2", "192k")}
# Names of the filters that are switched while it runs.
CLOCK, BLOCK, BLACK, QUIET = "drawtext@clock", "drawtext@block", "drawbox@black", "volume@quiet"
_LAST_WORDS_S = 0.1
PACKET_BYTES = 188


def encoder_args(picture: Picture, *, since_s: float, turn: int, ffmpeg: str) -> list[str]:
    """FFmpeg's arguments. `since_s`: where its timeline begins; `turn`: how many encoders came before it."""
    stream = picture.stream
    fps = f"{stream.fps.numerator}/{stream.fps.denominator}"
    sources = ["-re", "-f", "lavfi", "-i", f"smptebars=size={stream.width}x{stream.height}:rate={fps}"]
    if stream.acodec != "none":
        sources += ["-re", "-f", "lavfi", "-i", f"sine=frequency=1000:sample_rate={AUDIO_RATE}"]
    rate = f"{stream.bitrate_kbps}k"
    video = ["-map", "0:v", "-vf", _picture_chain(picture, since_s), "-c:v", *_VIDEO[stream.vcodec], "-threads", "1", "-pix_fmt", "yuv420p"]
    video += ["-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", str(stream.gop_frames), "-keyint_min", str(stream.gop_frames)]
    audio = []
    if stream.acodec != "none":
        codec, audio_rate = _AUDIO[stream.acodec]
        quiet = f"{QUIET}=volume=0:enable={int(picture.is_silent)}"
        audio = ["-map", "1:a", "-af", quiet, "-c:a", codec, "-b:a", audio_rate, "-ac", "2"]
    flags = ["-mpegts_flags", "pat_pmt_at_frames+initial_discontinuity", "-tables_version", str(turn % 32)]
    mux = [*flags, "-output_ts_offset", f"{since_s:.3f}", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1"]
    return [ffmpeg, "-hide_banner", "-nostats", "-v", "error", *sources, *video, *audio, *mux, "-f", "mpegts", "pipe:1"]


def _picture_chain(picture: Picture, since_s: float) -> str:
    stream = picture.stream
    size = max(10, stream.height // 9)
    font = next((f"fontfile={path}:" for path in _FONTS if Path(path).is_file()), "")
    frames = round(since_s * stream.fps)
    text = rf"%{{pts\:hms\:{since_s:.3f}}}" + "\n" + r"%{gmtime\:%T}" + "\n" + rf"%{{eif\:n+{frames}\:d}}"
    box = f"box=1:boxcolor=black:boxborderw={size // 4}:fontcolor=white:x=(w-text_w)/2:y=(h-text_h)/2"
    clock = f"{CLOCK}={font}fontsize={size}:{box}:text='{text}':enable={int(not picture.is_still)}"
    # A block that crosses the picture: digits alone are so little that detectors of still pictures take no notice. Its colour is in no bar.
    side = max(4, stream.height // 8)
    across = f"x=mod(t*w/2\\,w)-{side}:y=h-{3 * side}:enable={int(not picture.is_still)}"
    block = f"{BLOCK}={font}text=I:fontsize={side}:fontcolor=0xff8000:box=1:boxcolor=0xff8000:boxborderw={side}:{across}"
    return f"{clock},{block},{BLACK}=color=black:t=fill:enable={int(picture.is_black)}"


class Encoder:
    """The running FFmpeg and those that follow it; one timeline through all of them."""

    def __init__(self, picture: Picture) -> None:
        self._picture = self._shown = picture
        self._obeys = False
        self._begun = time.monotonic()
        self._turn = 0
        self._child: MockChild | None = None
        self._rest = b""

    async def start(self) -> None:
        """Start it. Raises SpawnError."""
        since_s = time.monotonic() - self._begun if self._turn else 0.0
        argv = encoder_args(self._picture, since_s=since_s, turn=self._turn, ffmpeg=find_tools().ffmpeg)
        # stdin is for commands; FFmpeg looks at it ten times a second.
        child = MockChild("the encoder", argv, takes=True, gives=True)
        await child.start()
        self._child, self._rest, self._shown, self._obeys = child, b"", self._picture, False
        self._turn += 1

    async def read(self) -> bytes:
        """Whole packets, as they come. Raises ChildExited when it ended by itself."""
        while True:
            child = self._child
            chunk = await child.read() if child is not None else b""
            if chunk and child is self._child:
                if not self._obeys:
                    # Commands that come before the graphs are made are lost; that they are, the first byte tells.
                    self._obeys = True
                    self._tell_changes()
                # What an ended one left is not read: half a packet of its is no beginning of its successor's.
                chunk = self._rest + chunk
                whole = len(chunk) // PACKET_BYTES * PACKET_BYTES
                self._rest = chunk[whole:]
                return chunk[:whole]
            # Nothing of one that was replaced meanwhile means nothing.
            if child is not None and child is self._child:
                await asyncio.sleep(_LAST_WORDS_S)
                raise child.failure()
            await asyncio.sleep(_LAST_WORDS_S)

    async def show(self, picture: Picture) -> bool:
        """Become another picture; True when that took another FFmpeg."""
        before, self._picture = self._picture, picture
        if before.stream != picture.stream:
            await self.close()
            await self.start()
            return True
        self._tell_changes()
        return False

    def _tell_changes(self) -> None:
        """Tell FFmpeg what it does not show yet, once it hears."""
        before, picture = self._shown, self._picture
        if not self._obeys or self._child is None:
            return
        self._shown = picture
        for name, was, wanted in (
            (CLOCK, not before.is_still, not picture.is_still),
            (BLOCK, not before.is_still, not picture.is_still),
            (BLACK, before.is_black, picture.is_black),
            (QUIET, before.is_silent, picture.is_silent),
        ):
            if was != wanted:
                self._child.write(f"C{name} -1 enable {int(wanted)}\n".encode())

    async def close(self) -> None:
        """End it; idempotent. At once: a camera that changes its mode does not say goodbye either."""
        child, self._child = self._child, None
        if child is not None:
            await child.end(grace_s=0.0)
