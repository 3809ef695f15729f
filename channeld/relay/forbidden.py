"""Options that people do write and that no profile may give: each with its reason.

Rule: this list only makes refusals clear; an option that is in no list is refused as well. `has_value` keeps what follows
such an option from being refused a second time. A table; pure.
"""

from dataclasses import dataclass

from channeld.relay.values import names


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Why, what to do, and whether FFmpeg takes a value for it."""

    problem: str
    remedy: str = "leave it out"
    has_value: bool = True


_GRAPH = "use -filter:v or -filter:a, which take one chain"
_RELAY = "leave it out: channeld starts and stops the relay"
_ROWS = (
    (
        "filter_script filter_complex_script fpre vpre apre spre pre attach cafile ca_file cert_file key_file decryption_key qpfile",
        Forbidden("it has FFmpeg read a file"),
    ),
    (
        "pass passlogfile vstats_file sdp_file dump_attachment progress stats_file stats_enc_pre stats_enc_post stats_mux_pre",
        Forbidden("it has FFmpeg write a file"),
    ),
    ("vstats report dump hex benchmark benchmark_all psnr", Forbidden("it has FFmpeg write a file or a report", has_value=False)),
    (
        "protocol_whitelist protocol_blacklist format_whitelist codec_whitelist allowed_extensions safe enable_drefs use_absolute_path",
        Forbidden("what FFmpeg may open is set by channeld"),
    ),
    ("filter_complex lavfi", Forbidden("it can add inputs and outputs", _GRAPH)),
    ("t to ss sseof frames vframes aframes dframes fs stream_loop timelimit", Forbidden("a relay has no beginning and no end", _RELAY)),
    ("shortest", Forbidden("a relay has no end", _RELAY, has_value=False)),
    ("copyts start_at_zero", Forbidden("timestamps would jump when they wrap, after 26.5 hours", has_value=False)),
    (
        "headers cookies http_proxy referer auth_token post_data",
        Forbidden("it changes the request, and may hold a secret that a profile shows", "give in the URL what the upstream needs"),
    ),
    (
        "hls_key_info_file hls_enc_key_url hls_enc_key hls_enc hls_enc_iv hls_base_url hls_ts_options hls_segment_options "
        "master_pl_name var_stream_map strftime strftime_mkdir format_options format_opts segment_list",
        Forbidden("channeld's own packager writes manifests and segments, and has no such setting"),
    ),
    ("listen listen_timeout", Forbidden("a profile may not open a port")),
    ("opencl_device sdl_device dec_device", Forbidden("only VAAPI, CUDA and QSV devices are allowed")),
    ("target", Forbidden("it stands for many options at once", "write the options themselves")),
    ("n", Forbidden("there is no file that could be overwritten", has_value=False)),
)
FORBIDDEN: dict[str, Forbidden] = {name: reason for row, reason in _ROWS for name in names(row)}
