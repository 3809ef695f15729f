"""The six profiles that every channeld has: read-only, to be used or copied.

Rule: an id never changes its meaning, as assignments in a database name it. Data; pure.
"""

from channeld.relay.profile import Hardware, OutputFormat, RelayProfile
from channeld.relay.template import INPUT_URL

_IN = f"-i {INPUT_URL} -map 0:v:0? -map 0:a:0?"
_AAC = "-c:a aac -b:a 128k -ar 48000 -ac 2"
_TS = "-f mpegts -y {output_path}"
_HLS = (
    "-f hls -hls_time {segment_duration} -hls_list_size {max_segments} -hls_flags delete_segments "
    "-hls_segment_filename {output_path}/segment_%05d.ts -y {output_path}/playlist.m3u8"
)
# A key frame every two seconds at whatever frame rate, so that segments and newcomers have where to begin.
_KEYS = "-force_key_frames expr:gte(t,n_forced*2)"
_X264 = f"-c:v libx264 -preset veryfast -profile:v high -pix_fmt yuv420p -crf 22 -maxrate 4M -bufsize 8M {_KEYS}"


def _default(slug: str, name: str, description: str, args: str, **fields: object) -> RelayProfile:
    # mypy sees no field's type behind **fields; the tests hold every default against the checks.
    return RelayProfile(f"system-{slug}", name, args, description, is_system_default=True, **fields)  # type: ignore[arg-type]


SYSTEM_DEFAULTS: tuple[RelayProfile, ...] = (
    _default(
        "ts-passthrough",
        "TS passthrough",
        "Pictures and sound as they come, as a transport stream.",
        f"-fflags +genpts {_IN} -c copy {_TS}",
    ),
    _default(
        "hls-conversion",
        "HLS conversion",
        "Pictures as they come, sound as AAC, cut into segments of 6 s.",
        f"-fflags +genpts {_IN} -c:v copy {_AAC} {_HLS}",
        output_format=OutputFormat.HLS,
    ),
    _default(
        "nvidia",
        "H.264 on NVIDIA",
        "Decoded and encoded on an NVIDIA card, 4 Mb/s.",
        f"-hwaccel cuda -hwaccel_output_format cuda {_IN} -c:v h264_nvenc -preset p4 -tune ll -rc cbr -b:v 4M -maxrate 4M -bufsize 8M "
        f"-bf 0 -forced-idr 1 {_KEYS} {_AAC} {_TS}",
        hardware_acceleration=Hardware.NVIDIA,
    ),
    _default(
        "vaapi",
        "H.264 on Intel or AMD (VAAPI)",
        "Decoded and encoded by the graphics of Intel or AMD at /dev/dri/renderD128, 4 Mb/s.",
        f"-hwaccel vaapi -hwaccel_device /dev/dri/renderD128 -hwaccel_output_format vaapi {_IN} -filter:v format=nv12|vaapi,hwupload "
        f"-c:v h264_vaapi -b:v 4M -maxrate 4M -bufsize 8M -bf 0 {_KEYS} {_AAC} {_TS}",
        hardware_acceleration=Hardware.VAAPI,
    ),
    _default(
        "h264",
        "H.264 transcode",
        "Whatever comes becomes H.264 and AAC, by the CPU.",
        f"-fflags +genpts {_IN} {_X264} -filter:a aresample=async=1 {_AAC} {_TS}",
    ),
    _default(
        "hls-low-latency",
        "Low-latency HLS",
        # Neither -fflags nobuffer nor -flags low_delay: the one loses what was probed, the other may disorder B-frames.
        "H.264 and AAC in segments of 2 s, encoded without look-ahead.",
        f"-fflags +genpts -analyzeduration 1000000 {_IN} {_X264} -tune zerolatency -filter:a aresample=async=1 {_AAC} {_HLS}",
        output_format=OutputFormat.HLS,
        segment_duration=2,
    ),
)


def system_default(profile_id: str) -> RelayProfile | None:
    """A system default by its id."""
    return next((profile for profile in SYSTEM_DEFAULTS if profile.id == profile_id), None)
