"""The options that a profile may give to FFmpeg, by place, each with its value and what becomes of it.

Rule: what is not listed is refused. Nothing listed opens, writes or loads a file, nor chooses what FFmpeg may open. Tables; pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from channeld.relay import values as v
from channeld.relay.filter_table import LAYOUTS, PIXEL_FORMATS, SAMPLE_FORMATS
from channeld.relay.refusal import Kind
from channeld.relay.values import SWITCH, Value, flags, integer, listed, matching, names, number, parameters, words


class Fate(Enum):
    """What becomes of an option: given to FFmpeg, or read and put in the place of by what channeld does itself."""

    KEPT = "kept"
    REPLACED = "replaced"


class Takes(Enum):
    """What kind of value an option takes, beyond a pattern."""

    NOTHING = "nothing"
    VALUE = "a value"
    CODEC = "a codec"
    CHAIN = "a chain of filters"
    SANDBOX_PATH = "{output_path} and a name"


PROTOCOLS = {
    "http": ("http", "https"),
    "hls": ("http", "https"),
    "agent": ("http", "https", "rtsp", "rtsps"),
    "rtsp": ("rtsp", "rtsps"),
    "rtp": ("rtsp", "rtsps", "rtp"),
    "datagrams": ("rtsp", "rtsps", "rtp", "udp"),
}
"""Upstreams, by the scheme of their URL, with which an option of one protocol is given; `hls` only with `-f hls` or a URL of .m3u8."""

# Bare, for video, audio, subtitles or data (each with a number if wanted), and for the metadata of one such stream.
SPECIFIERS = {"-": "", "v": ":v", "a": ":a", "s": ":s", "d": ":d", "m": ":s:a:0"}


@dataclass(frozen=True, slots=True)
class Option:
    """`specifiers` are the kinds of stream it may be given for, keys of SPECIFIERS. `protocol`: of HTTP, RTSP, … alone, a key of PROTOCOLS;
    with any other upstream FFmpeg would not know the option and end.
    """

    name: str
    takes: Takes
    value: Value | None
    example: str
    specifiers: str = "-"
    fate: Fate = Fate.KEPT
    may_repeat: bool = False
    protocol: str = ""


def _flag(name: str, specifiers: str = "-", fate: Fate = Fate.KEPT) -> Option:
    return Option(name, Takes.NOTHING, None, "", specifiers, fate)


def _valued(name: str, value: Value, example: str, specifiers: str = "-", *, may_repeat: bool = False) -> Option:
    return Option(name, Takes.VALUE, value, example, specifiers, may_repeat=may_repeat)


def _of(protocol: str, name: str, value: Value, example: str) -> Option:
    return Option(name, Takes.VALUE, value, example, protocol=protocol)


def _dropped(name: str, value: Value, example: str) -> Option:
    return Option(name, Takes.VALUE, value, example, fate=Fate.REPLACED)


def _table(options: Iterable[Option]) -> dict[str, Option]:
    return {option.name: option for option in options}


ALIASES = {
    "codec": "c", "vcodec": "c:v", "acodec": "c:a", "scodec": "c:s", "vf": "filter:v", "af": "filter:a", "ab": "b:a", "vb": "b:v",
    "qscale": "q", "v": "loglevel", "vtag": "tag:v", "atag": "tag:a", "aq": "q:a",
}  # fmt: skip

DECODERS = {
    "v": tuple(
        names("h264 hevc mpeg2video mpeg4 vp8 vp9 av1 libdav1d mjpeg h264_cuvid hevc_cuvid mpeg2_cuvid h264_qsv hevc_qsv mpeg2_qsv")
    ),
    "a": names("aac aac_latm ac3 eac3 mp2 mp2float mp3 mp3float opus libopus vorbis flac pcm_alaw pcm_mulaw pcm_s16be pcm_s16le"),
}
ENCODERS = {
    "v": names("copy libx264 libx265 mpeg2video h264_nvenc hevc_nvenc h264_vaapi hevc_vaapi h264_qsv hevc_qsv"),
    "a": names("copy aac libfdk_aac ac3 eac3 mp2 libmp3lame libopus"),
    "s": ("copy", "dvbsub"),
    "d": ("copy",),
}
INPUT_FORMATS = "mpegts hls flv live_flv rtsp h264 hevc aac mp3"

_EVERYWHERE = (
    _flag("hide_banner", fate=Fate.REPLACED),
    _flag("nostdin", fate=Fate.REPLACED),
    _flag("nostats", fate=Fate.REPLACED),
    _flag("stats", fate=Fate.REPLACED),
    _flag("y", fate=Fate.REPLACED),
    _dropped(
        "loglevel",
        matching("level, such as warning or level+info", r"(?:(?:repeat|level)\+){0,2}(?:quiet|fatal|error|warning|info|verbose)"),
        "warning",
    ),
    _valued("threads", integer(0, 64), "2", "-va"),
    _valued("strict", words("very strict normal unofficial experimental -2 -1 0 1 2"), "experimental", "-va"),
    _valued("max_delay", integer(0, 60_000_000), "500000"),
)

INPUT = _table((
    *_EVERYWHERE,
    _flag("re"),
    _flag("noautorotate"),
    _valued("f", words(INPUT_FORMATS, Kind.FORBIDDEN_FORMAT), "mpegts"),
    Option("c", Takes.CODEC, None, "h264", "va"),
    _valued("fflags", flags("genpts igndts ignidx nobuffer discardcorrupt sortdts fastseek flush_packets"), "+genpts+nobuffer"),
    _valued("flags", flags("low_delay output_corrupt unaligned"), "low_delay", "-v"),
    _valued("err_detect", flags("crccheck bitstream buffer careful compliant aggressive ignore_err explode"), "ignore_err", "-va"),
    _valued("analyzeduration", integer(0, 60_000_000), "2000000"),
    _valued("probesize", integer(32, 100_000_000), "1000000"),
    _valued("fpsprobesize", integer(-1, 1000), "0"),
    _valued("thread_queue_size", integer(1, 16384), "1024"),
    _valued("use_wallclock_as_timestamps", SWITCH, "1"),
    _valued("itsoffset", number(-60, 60), "-0.5"),
    _dropped("rw_timeout", integer(100_000, 3_600_000_000), "10000000"),
    _dropped("timeout", integer(100_000, 3_600_000_000), "10000000"),
    _of("rtsp", "rtsp_transport", listed(names("udp tcp udp_multicast http https"), "+"), "tcp"),
    _of("rtsp", "rtsp_flags", words("prefer_tcp filter_src satip_raw"), "prefer_tcp"),
    _of("rtp", "allowed_media_types", flags("video audio data subtitle"), "video+audio"),
    _of("rtp", "reorder_queue_size", integer(-1, 100_000), "500"),
    _of("datagrams", "buffer_size", integer(0, 100_000_000), "425984"),
    _of("agent", "user_agent", v.USER_AGENT, "VLC/3.0.18 LibVLC/3.0.18"),
    _of("http", "reconnect", SWITCH, "1"),
    _of("http", "reconnect_at_eof", SWITCH, "1"),
    _of("http", "reconnect_streamed", SWITCH, "1"),
    _of("http", "reconnect_on_network_error", SWITCH, "1"),
    _of("http", "reconnect_on_http_error", v.HTTP_ERRORS, "404,5xx"),
    _of("http", "reconnect_delay_max", integer(0, 600), "5"),
    _of("http", "multiple_requests", SWITCH, "1"),
    _of("hls", "http_persistent", SWITCH, "1"),
    _of("http", "seekable", words("-1 0 1"), "0"),
    _of("hls", "live_start_index", integer(-100, 100), "-3"),
    _of("hls", "max_reload", integer(0, 10_000), "1000"),
    _valued("hwaccel", words("none auto cuda vaapi qsv"), "vaapi", "-v"),
    _valued("hwaccel_device", v.DEVICE, "/dev/dri/renderD128", "-v"),
    _valued("hwaccel_output_format", words("cuda vaapi qsv nv12 yuv420p p010le"), "vaapi", "-v"),
    _valued("extra_hw_frames", integer(0, 128), "8", "-v"),
    _valued("init_hw_device", v.NEW_DEVICE, "vaapi=card:/dev/dri/renderD128", may_repeat=True),
    _valued("filter_hw_device", v.NAME, "card"),
    _valued("vaapi_device", v.RENDER_DEVICE, "/dev/dri/renderD128"),
))  # fmt: skip

_BOOLEAN = r"[01]"
_COUNT = r"[0-9]{1,6}"
_FRACTION = r"[0-9]{1,4}(?:\.[0-9]{1,4})?"
# Neither stats, qpfile, cqm, tcfile, opencl-clbin nor dump-yuv: those name files.
X264_KEYS = {
    **dict.fromkeys(names("""
        keyint min-keyint bframes ref vbv-maxrate vbv-bufsize bitrate rc-lookahead sync-lookahead slices threads
        lookahead-threads subme me-range merange level-count qpmin qpmax qpstep
    """), _COUNT),
    **dict.fromkeys(names("""
        open-gop cabac weightb mbtree force-cfr stitchable sliced-threads intra-refresh b-adapt weightp aq-mode trellis
        scenecut aud bluray-compat deterministic
    """), _COUNT),
    **dict.fromkeys(names("crf ratetol aq-strength ipratio pbratio qcomp vbv-init"), _FRACTION),
    "nal-hrd": "(?:none|vbr|cbr)", "b-pyramid": "(?:none|strict|normal)", "me": "(?:dia|hex|umh|esa|tesa)", "deblock": r"-?[0-6],-?[0-6]",
    "colorprim": "bt709", "transfer": "bt709", "colormatrix": "bt709",
    "fullrange": "(?:on|off)", "no-scenecut": _BOOLEAN, "profile": "(?:baseline|main|high)",
}  # fmt: skip
# Neither csv, stats, qpfile, analysis-save, analysis-load, lambda-file, recon, scaling-list nor dolby-vision-rpu.
X265_KEYS = {
    **dict.fromkeys(names("""
        keyint min-keyint bframes ref vbv-maxrate vbv-bufsize bitrate rc-lookahead scenecut b-adapt aq-mode pools frame-
        threads
    """), _COUNT),
    **dict.fromkeys(names("open-gop repeat-headers hrd aud wpp sao b-pyramid weightp weightb strong-intra-smoothing info"), _BOOLEAN),
    **dict.fromkeys(names("crf aq-strength psy-rd psy-rdoq qcomp vbv-init"), _FRACTION),
    "colorprim": "bt709", "transfer": "bt709", "colormatrix": "bt709",
    "range": "(?:limited|full)", "log-level": "(?:none|error|warning|info)",
}  # fmt: skip
_PRESETS = """
ultrafast superfast veryfast faster fast medium slow slower veryslow placebo p1 p2 p3 p4 p5 p6 p7 hp hq bd ll llhq llhp default
"""
_COLOURS = "bt709 bt470bg smpte170m smpte240m bt2020 bt2020nc bt2020c bt470m film unknown"

_VIDEO = (
    _valued("preset", words(_PRESETS), "veryfast", "-v"),
    _valued("tune", words("film animation grain stillimage psnr ssim fastdecode zerolatency hq ll ull"), "zerolatency", "-v"),
    _valued("level", matching("level, such as 4.1", r"auto|[1-6](?:\.[0-3])?|[1-6][0-3]|1[0-9]{2}"), "4.1", "-v"),
    _valued("crf", number(0, 63), "23", "-v"),
    _valued("qp", integer(-1, 69), "25", "-v"),
    _valued("cq", number(0, 51), "23", "-v"),
    _valued("qmin", integer(-1, 69), "10", "-v"),
    _valued("qmax", integer(-1, 69), "40", "-v"),
    _valued("global_quality", integer(0, 10_000), "25", "-va"),
    _valued("rc", words("constqp vbr cbr cbr_hq vbr_hq cbr_ld_hq"), "cbr", "-v"),
    _valued("rc_mode", words("auto CQP CBR VBR ICQ QVBR AVBR 0 1 2 3 4 5 6"), "CBR", "-v"),
    _valued("g", integer(1, 1000), "50", "-v"),
    _valued("keyint_min", integer(1, 1000), "50", "-v"),
    _valued("sc_threshold", integer(-1, 1_000_000_000), "0", "-v"),
    _valued("force_key_frames", v.KEY_FRAMES, "expr:gte(t,n_forced*{segment_duration})", "-v"),
    _valued("forced-idr", SWITCH, "1", "-v"),
    _valued("bf", integer(-1, 16), "0", "-v"),
    _valued("refs", integer(0, 16), "3", "-v"),
    _valued("b_strategy", integer(0, 2), "0", "-v"),
    _valued("b_ref_mode", words("disabled each middle 0 1 2"), "disabled", "-v"),
    _valued("b_adapt", SWITCH, "0", "-v"),
    _valued("no-scenecut", SWITCH, "1", "-v"),
    _valued("rc-lookahead", integer(0, 250), "10", "-v"),
    _valued("aq-mode", integer(0, 4), "1", "-v"),
    _valued("spatial-aq", SWITCH, "1", "-v"),
    _valued("temporal-aq", SWITCH, "1", "-v"),
    _valued("zerolatency", SWITCH, "1", "-v"),
    _valued("strict_gop", SWITCH, "1", "-v"),
    _valued("surfaces", integer(0, 64), "16", "-v"),
    _valued("delay", integer(0, 64), "0", "-v"),
    _valued("gpu", integer(-1, 15), "0", "-v"),
    _valued("low_power", SWITCH, "0", "-v"),
    _valued("async_depth", integer(1, 64), "4", "-v"),
    _valued("look_ahead", SWITCH, "0", "-v"),
    _valued("look_ahead_depth", integer(0, 100), "20", "-v"),
    _valued("idr_interval", integer(0, 1000), "0", "-v"),
    _valued("coder", words("default cabac cavlc vlc ac auto 0 1"), "cabac", "-v"),
    _valued("x264-params", parameters(X264_KEYS), "keyint=50:scenecut=0", "-v"),
    _valued("x264opts", parameters(X264_KEYS), "keyint=50", "-v"),
    _valued("x265-params", parameters(X265_KEYS), "keyint=50", "-v"),
    _valued("r", v.FRAME_RATE, "25", "-v"),
    _valued("s", v.PICTURE_SIZE, "1280x720", "-v"),
    _valued("aspect", v.ASPECT, "16:9", "-v"),
    _valued("pix_fmt", words(" ".join(PIXEL_FORMATS)), "yuv420p", "-v"),
    _valued("color_range", words("tv pc mpeg jpeg unknown"), "tv", "-v"),
    _valued("colorspace", words(_COLOURS), "bt709", "-v"),
    _valued("color_primaries", words(_COLOURS), "bt709", "-v"),
    _valued("color_trc", words(f"{_COLOURS} smpte2084 arib-std-b67"), "bt709", "-v"),
    _valued("vsync", words("passthrough cfr vfr drop auto 0 1 2 -1"), "cfr"),
    _valued("fps_mode", words("passthrough cfr vfr drop auto"), "cfr", "-v"),
    _flag("vn"),
    _flag("copyinkf", "-v"),
)

_AUDIO = (
    _valued("ac", integer(1, 8), "2", "-a"),
    _valued("ar", integer(8000, 192_000), "48000", "-a"),
    _valued("sample_fmt", words(" ".join(SAMPLE_FORMATS)), "fltp", "-a"),
    _valued("channel_layout", words(" ".join(LAYOUTS)), "stereo", "-a"),
    _valued("aac_coder", words("anmr twoloop fast"), "twoloop", "-a"),
    _valued("cutoff", integer(0, 24_000), "18000", "-a"),
    _valued("application", words("voip audio lowdelay"), "audio", "-a"),
    _valued("vbr", words("off on constrained 0 1 2 3 4 5"), "on", "-a"),
    _flag("an"),
)

_BOTH = (
    Option("c", Takes.CODEC, None, "copy", "-vasd"),
    Option("filter", Takes.CHAIN, None, "scale=1280:-2", "va"),
    _valued("b", v.BIT_RATE, "2500k", "va"),
    _valued("maxrate", v.BIT_RATE, "3M", "-va"),
    _valued("minrate", v.BIT_RATE, "2M", "-va"),
    _valued("bufsize", v.BIT_RATE, "6M", "-va"),
    _valued("q", number(-1, 255), "3", "va"),
    _valued("profile", words("baseline constrained_baseline main high high10 main10 rext aac_low aac_he aac_he_v2 0 1 2"), "high", "va"),
    _valued("flags", flags("cgop low_delay global_header bitexact closedgop output_corrupt ilme ildct"), "+cgop", "-va"),
    _valued(
        "bsf",
        listed(names("null h264_mp4toannexb hevc_mp4toannexb aac_adtstoasc dump_extra extract_extradata"), ","),
        "h264_mp4toannexb",
        "va",
    ),
    _valued("tag", v.TAG, "avc1", "va"),
    _valued("map", v.STREAM_MAP, "0:v:0", may_repeat=True),
    _valued("map_metadata", words("-1"), "-1"),
    _valued("map_chapters", words("-1"), "-1"),
    _valued("metadata", v.METADATA, "service_name=Live One", "-m", may_repeat=True),
    _valued("max_muxing_queue_size", integer(1, 65_536), "1024", "-va"),
    _flag("sn"),
    _flag("dn"),
    _flag("ignore_unknown"),
)

_FILE_NAME = Option("hls_segment_filename", Takes.SANDBOX_PATH, v.OUTPUT_NAME, "{output_path}/segment_%05d.ts", fate=Fate.REPLACED)
_HLS_FLAGS = """
delete_segments append_list omit_endlist independent_segments program_date_time round_durations discont_start split_by_time temp_file
"""
_REPLACED = (
    _dropped("f", words("mpegts hls dash", Kind.FORBIDDEN_FORMAT), "hls"),
    _dropped("hls_time", number(0.5, 60), "{segment_duration}"),
    _dropped("hls_init_time", number(0, 60), "2"),
    _dropped("hls_list_size", integer(2, 100), "{max_segments}"),
    _dropped("hls_delete_threshold", integer(1, 100), "1"),
    _dropped("hls_flags", flags(_HLS_FLAGS), "delete_segments+append_list"),
    _dropped("hls_segment_type", words("mpegts fmp4"), "mpegts"),
    _dropped("hls_playlist_type", words("event"), "event"),
    _dropped("hls_allow_cache", SWITCH, "0"),
    _dropped("hls_start_number_source", words("generic epoch epoch_us datetime"), "generic"),
    _FILE_NAME,
    Option("hls_fmp4_init_filename", Takes.VALUE, v.LOOSE_NAME, "init.mp4", fate=Fate.REPLACED),
    _dropped("start_number", integer(0, 2_000_000_000), "1"),
    _dropped("method", words("PUT POST"), "PUT"),
    _dropped("seg_duration", number(0.5, 60), "{segment_duration}"),
    _dropped("frag_duration", number(0.1, 60), "1"),
    _dropped("window_size", integer(2, 100), "{max_segments}"),
    _dropped("extra_window_size", integer(0, 100), "5"),
    _dropped("use_template", SWITCH, "1"),
    _dropped("use_timeline", SWITCH, "1"),
    _dropped("streaming", SWITCH, "1"),
    _dropped("ldash", SWITCH, "1"),
    _dropped("dash_segment_type", words("auto mp4"), "mp4"),
    _dropped(
        "adaptation_sets",
        matching("id=0,streams=v id=1,streams=a", r"id=[0-9],streams=[va0-9,]{1,16}(?: id=[0-9],streams=[va0-9,]{1,16}){0,4}"),
        "id=0,streams=v id=1,streams=a",
    ),
    Option("init_seg_name", Takes.VALUE, v.LOOSE_NAME, "init-$RepresentationID$.m4s", fate=Fate.REPLACED),
    Option("media_seg_name", Takes.VALUE, v.LOOSE_NAME, "part-$RepresentationID$-$Number$.m4s", fate=Fate.REPLACED),
    _dropped("mpegts_flags", flags("resend_headers latm pat_pmt_at_frames system_b initial_discontinuity"), "resend_headers"),
    _dropped("mpegts_service_id", integer(1, 65_535), "1"),
    _dropped("mpegts_start_pid", integer(32, 8_190), "256"),
    _dropped("mpegts_pmt_start_pid", integer(32, 8_190), "4096"),
    _dropped("pes_payload_size", integer(0, 65_535), "0"),
    _dropped("muxrate", v.BIT_RATE, "6M"),
    _dropped("pcr_period", integer(1, 1000), "20"),
    _dropped("pat_period", number(0.01, 60), "0.5"),
    _dropped("muxdelay", number(0, 10), "0"),
    _dropped("muxpreload", number(0, 10), "0"),
    _dropped("flush_packets", words("-1 0 1"), "1"),
    _dropped("avoid_negative_ts", words("auto disabled make_non_negative make_zero -1 0 1 2"), "make_zero"),
    _dropped("max_interleave_delta", integer(0, 60_000_000), "0"),
    _dropped("fflags", flags("flush_packets bitexact nobuffer genpts"), "+flush_packets"),
)

OUTPUT = _table((*_EVERYWHERE, *_VIDEO, *_AUDIO, *_BOTH, *_REPLACED))
