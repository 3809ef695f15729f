"""The egress FFmpeg's argument list: a FIFO of transport stream in, RTMP or SRT out, nothing re-encoded.

Rule: sans-I/O; every option here was tried, and says why it stands (FFmpeg 5.1).
"""

from pathlib import Path

from channeld.outputs.push_target import TargetOptions

QUEUE_PACKETS = 1000
"""Packets kept while the target is away: about 10 s of 50 frames per second and 47 audio frames per second."""

# The block of `-progress`. On stderr, which the holder reads whatever becomes of control: a pipe of its own would fill
# up and stop FFmpeg.
PROGRESS_TOLD = ("out_time_us=",)
PROGRESS_DROPPED = (
    *("frame=", "fps=", "stream_", "bitrate=", "total_size=", "out_time_ms=", "out_time="),
    *("dup_frames=", "drop_frames=", "speed=", "progress="),
)

# Fed in real time, FFmpeg needs 6.2 s to its first byte without these three and 1.2 s with them.
_SHORT_PROBE = ("-analyzeduration", "300000", "-probesize", "500000", "-fpsprobesize", "0")
# The input comes from our own splicer, but a list costs nothing: no other demuxer, decoder or protocol than these.
_INPUT_LISTS = ("-protocol_whitelist", "file", "-format_whitelist", "mpegts", "-codec_whitelist")
_CODECS = {"flv": "h264,aac", "mpegts": "h264,hevc,aac"}
# Without the tags the FLV header fails, the connection stays open and the name is locked ("Already publishing").
# A transport stream keeps its own ticks: without `-copytb` the fifo muxer's input is rounded to whole frames.
_WRAPPED = {"flv": ("-tag:v", "7", "-tag:a", "10", "-bsf:a", "aac_adtstoasc"), "mpegts": ("-copytb", "1")}
_COPY = ("-map", "0:v", "-map", "0:a", "-c", "copy")
_RECOVERY = ("-attempt_recovery", "1", "-recover_any_error", "1", "-recovery_wait_time", "0.5", "-restart_with_keyframe", "1")


def push_arguments(fifo: Path, target: TargetOptions, *, ffmpeg: str = "ffmpeg", queue_packets: int = QUEUE_PACKETS) -> tuple[str, ...]:
    """The whole argument list; the target's preset belongs on stdin. Progress comes with the lines of stderr, once a second."""
    return (
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats"),
        # `verbose` is the least that tells that a connection was lost or made; debug would write the stream key.
        *("-loglevel", "level+verbose", *_SHORT_PROBE, *_INPUT_LISTS, _CODECS[target.container]),
        *("-f", "mpegts", "-i", f"file:{fifo}", *_COPY, *_WRAPPED[target.container], "-progress", "pipe:2", "-stats_period", "1"),
        *("-f", "fifo", "-fifo_format", target.container, *_RECOVERY),
        *("-queue_size", str(queue_packets), "-drop_pkts_on_overflow", "1", *target.arguments),
    )
