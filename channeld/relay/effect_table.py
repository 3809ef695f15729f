"""What becomes of each allowed option on air, or why nothing does.

Rule: every option of the allow-list has a row, by its place, and a test holds each to it: it changes FFmpeg's arguments or the channel's
settings, or it is told as a notice. A channel's pictures are H.264 and its sound AAC, in one format that its slates share. Tables; pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from channeld.relay.values import names


class Does(Enum):
    """Where an option acts."""

    READS = "how FFmpeg opens and reads the upstream"
    DECODES = "how the upstream is decoded, where it is not copied"
    SETS = "a setting of the channel"
    ENCODES = "how it is encoded"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`told`: what it acts on, or why on nothing. `agreed`: values that say what is so anyway, `*` being any: those need no notice."""

    does: Does
    told: str = ""
    agreed: frozenset[str] = frozenset()


def _nothing(told: str, agreed: str = "") -> Meaning:
    return Meaning(Does.NOTHING, told, frozenset(agreed.split()))


def _rows(*rows: tuple[str, Meaning]) -> dict[str, Meaning]:
    return {name: meaning for row, meaning in rows for name in names(row)}


_OURS = "channeld starts its FFmpeg so anyway"
_QUIET = (
    ("hide_banner nostdin nostats y", _nothing(_OURS, "*")),
    ("stats loglevel", _nothing("channeld reads what its FFmpeg tells, and sets what that is")),
)
INPUT: Mapping[str, Meaning] = _rows(
    *_QUIET,
    (
        """
        re f fflags max_delay analyzeduration probesize fpsprobesize thread_queue_size use_wallclock_as_timestamps rtsp_transport rtsp_flags
        allowed_media_types reorder_queue_size buffer_size user_agent reconnect reconnect_at_eof reconnect_streamed
        reconnect_on_network_error reconnect_on_http_error reconnect_delay_max multiple_requests http_persistent seekable live_start_index
        max_reload
        """,
        Meaning(Does.READS),
    ),
    ("threads strict noautorotate c flags err_detect hwaccel hwaccel_device extra_hw_frames", Meaning(Does.DECODES)),
    (
        "hwaccel_output_format",
        Meaning(Does.DECODES, "only with filters of the hardware: the house format is made in memory"),
    ),
    ("init_hw_device filter_hw_device vaapi_device", Meaning(Does.DECODES, "the device that decodes, filters and encodes")),
    ("rw_timeout timeout", Meaning(Does.SETS, "`input_timeout`")),
    ("itsoffset", _nothing("pictures and sound come of one input, whose timestamps are made anew")),
)

_STRUCTURE = "the channel's slates and sources have one structure of pictures, or they would not splice"
_SETS = "it stands in the parameter sets, which the channel's slates share"
_COLOUR = "the house format is BT.709, limited range, 4:2:0"
_SOUND = "the sound of a channel is AAC-LC, 48 kHz, stereo"
_MUXED = "the transport stream that viewers get is written by channeld"
_RATE = "the bit rate has to be bounded; take -b:v, -maxrate or -crf"
_ONE = "one picture and one sound air, and nothing beside them"
_PACKAGER = "channeld's own packager writes segments and manifests"
MIDDLE: Mapping[str, Meaning] = _rows(
    *_QUIET,
    ("s r b", Meaning(Does.SETS, "size, rate and bit rates of the house format")),
    ("c", Meaning(Does.SETS, "copied or encoded, and by which encoder; see below")),
    ("filter", Meaning(Does.ENCODES, "before the house format is made; see below")),
    (
        "g force_key_frames",
        Meaning(Does.SETS, "the length of a GOP, at most a segment's; the latter only as `expr:gte(t,n_forced*SECONDS)`"),
    ),
    ("preset tune", Meaning(Does.SETS, "of the house format with x264; else of the hardware's encoder")),
    ("maxrate bufsize", Meaning(Does.ENCODES, "up to the house format's own, 1.2 × and 1.5 s of -b:v; without that, -maxrate decides it")),
    (
        "crf qmin qmax rc-lookahead aq-mode threads cq global_quality rc rc_mode bf refs spatial-aq temporal-aq zerolatency surfaces delay "
        "gpu low_power async_depth look_ahead look_ahead_depth",
        Meaning(Does.ENCODES, ""),
    ),
    (
        "x264-params x264opts",
        Meaning(Does.ENCODES, "x264: keys that shape neither parameter sets nor the order of pictures; `keyint` as -g"),
    ),
    ("x265-params", _nothing("the pictures of a channel are H.264")),
    ("level", _nothing(_SETS, "auto")),
    ("coder", _nothing(_SETS, "cabac ac default auto")),
    ("profile", _nothing("pictures are H.264 High, sound is AAC-LC", "high aac_low")),
    ("qp q", _nothing(_RATE)),
    ("minrate", _nothing("nothing is stuffed: a still picture takes less")),
    ("keyint_min sc_threshold b_strategy b_ref_mode b_adapt", _nothing(_STRUCTURE)),
    ("no-scenecut strict_gop forced-idr", _nothing(_STRUCTURE, "1")),
    ("idr_interval", _nothing(_STRUCTURE, "0")),
    ("flags", _nothing("GOPs are closed; nothing else of these is the channel's", "+cgop cgop closedgop +closedgop")),
    ("aspect", _nothing("pixels are square; a filter setdar or setsar before the house format acts")),
    ("pix_fmt", _nothing(_COLOUR, "yuv420p")),
    ("color_range", _nothing(_COLOUR, "tv mpeg")),
    ("colorspace color_primaries color_trc", _nothing(_COLOUR, "bt709")),
    ("vsync fps_mode", _nothing("the house format has a constant rate", "cfr 1")),
    ("vn", _nothing("a channel has pictures: those of the upstream stay")),
    ("an", Meaning(Does.SETS, "silence in place of the sound")),
    ("copyinkf", _nothing("what airs begins with a key frame")),
    ("ac ar channel_layout sample_fmt", _nothing(_SOUND, "2 48000 stereo fltp")),
    ("aac_coder cutoff", Meaning(Does.ENCODES, "")),
    ("application vbr", _nothing(_SOUND)),
    ("bsf", _nothing(_MUXED, "h264_mp4toannexb null")),
    ("tag", _nothing(_MUXED)),
    ("map", Meaning(Does.READS, "which picture and which sound air: the first `-map` for each that says `v` or `a`, or a program")),
    ("map_metadata map_chapters", _nothing("none are taken over", "-1")),
    ("metadata", _nothing("title, service and languages of the stream are the channel's")),
    ("strict", _nothing("no encoder in use needs it", "-2 -1 0 1 normal unofficial experimental")),
    ("max_muxing_queue_size max_delay", _nothing(_MUXED)),
    ("sn dn ignore_unknown", _nothing(_ONE, "*")),
    ("f", Meaning(Does.SETS, "checked against `output_format`")),
    ("hls_time seg_duration", Meaning(Does.SETS, "`segment_duration`")),
    ("hls_list_size window_size", Meaning(Does.SETS, "`max_segments`")),
    ("hls_flags", _nothing(_PACKAGER, "delete_segments independent_segments program_date_time omit_endlist temp_file")),
    ("hls_segment_type", _nothing(_PACKAGER, "mpegts")),
    (
        "hls_init_time hls_delete_threshold hls_playlist_type hls_allow_cache hls_start_number_source hls_segment_filename "
        "hls_fmp4_init_filename start_number method frag_duration extra_window_size use_template use_timeline streaming ldash "
        "dash_segment_type adaptation_sets init_seg_name media_seg_name",
        _nothing(_PACKAGER),
    ),
    (
        "mpegts_flags mpegts_service_id mpegts_start_pid mpegts_pmt_start_pid pes_payload_size muxrate pcr_period pat_period muxdelay "
        "muxpreload flush_packets avoid_negative_ts max_interleave_delta fflags",
        _nothing(_MUXED),
    ),
)

X264, NVENC, VAAPI, QSV = "libx264", "h264_nvenc", "h264_vaapi", "h264_qsv"
_B_FRAMES = "0 1 2 3"
ENCODING: Mapping[str, Mapping[str, frozenset[str]]] = {
    encoder: {name: frozenset(values.split()) for row, values in rows.items() for name in names(row)}
    for encoder, rows in {
        X264: {"crf qmin qmax rc-lookahead threads": "", "aq-mode": "0 1 2 3"},
        NVENC: {
            "preset": "default slow medium fast hp hq bd ll llhq llhp p1 p2 p3 p4 p5 p6 p7",
            "tune": "hq ll ull",
            "rc": "vbr cbr cbr_hq vbr_hq cbr_ld_hq",
            "bf": _B_FRAMES,
            "cq qmin qmax rc-lookahead spatial-aq temporal-aq zerolatency surfaces delay gpu refs": "",
        },
        VAAPI: {"rc_mode": "auto CBR VBR QVBR AVBR 0 2 3 5 6", "bf": _B_FRAMES, "global_quality low_power async_depth refs": ""},
        QSV: {
            "preset": "veryfast faster fast medium slow slower veryslow",
            "bf": _B_FRAMES,
            "global_quality low_power async_depth look_ahead look_ahead_depth refs": "",
        },
    }.items()
}
"""Options that each encoder takes, with the values it takes of them; none named: all."""
X264_PARAMS = frozenset(names("""
    rc-lookahead sync-lookahead threads lookahead-threads me merange me-range qpmin qpmax qpstep ratetol ipratio pbratio qcomp vbv-init
    aq-mode aq-strength crf mbtree slices sliced-threads deterministic b-adapt deblock
"""))  # fmt: skip
X264_AGREED = frozenset(
    (("open-gop", "0"), ("scenecut", "0"), ("no-scenecut", "1"), ("profile", "high"), ("fullrange", "off"), ("force-cfr", "1"))
)
HOUSE_TUNES = frozenset(names("film animation grain stillimage psnr ssim fastdecode zerolatency"))
HOUSE_PRESETS = frozenset(names("ultrafast superfast veryfast faster fast medium slow slower veryslow"))
FIXED: Mapping[str, tuple[tuple[str, str], ...]] = {
    X264: (),
    NVENC: (("forced-idr", "1"), ("no-scenecut", "1"), ("strict_gop", "1"), ("b_ref_mode", "disabled")),
    VAAPI: (("idr_interval", "0"),),
    QSV: (("idr_interval", "0"), ("b_strategy", "0")),
}
"""What keeps GOPs closed and of one length, and pictures in an order that splices, by an encoder of hardware."""
HARDWARE_FILTERS = frozenset(names("scale_cuda yadif_cuda scale_vaapi deinterlace_vaapi denoise_vaapi scale_qsv vpp_qsv"))
CARRIERS = frozenset(names("hwupload hwupload_cuda hwdownload"))
TIMELESS: Mapping[str, str] = {
    "setpts": "a live source keeps its own time",
    "asetpts": "a live source keeps its own time",
    "apad": "a relay has no end",
}
"""Filters that are left out, and why."""
