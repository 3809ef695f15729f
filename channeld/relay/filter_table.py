"""The filters that a profile may use, and what each of their values may be.

Rule: no filter is listed that opens, writes or sends anything (movie, drawtext, subtitles, lut3d, metadata, sendcmd, zmq …), that runs
what it is given (frei0r, ladspa, geq), that needs a second input, or that was seen to crash (dynaudnorm, FFmpeg 5.1). Tables; pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from channeld.relay.values import FRAME_RATE, SWITCH, Value, integer, listed, matching, names, number, words

# Names and functions of FFmpeg's expressions that compute; none that prints, stores, loops or is random.
_EXPRESSION_NAMES = names("""
in_w in_h iw ih out_w out_h ow oh a sar dar hsub vsub x y n t pos main_w main_h
min max trunc round ceil floor abs mod if ifnot gt gte lt lte eq not between clip
""")
_TERM = rf"(?:[0-9]{{1,6}}(?:\.[0-9]{{1,6}})?|(?:{'|'.join(_EXPRESSION_NAMES)})(?![A-Za-z0-9_]))"
# Terms with operators and brackets between; a slash always follows a term or a closing bracket, so nothing reads like a path.
EXPRESSION = matching(
    "number or expression of iw, ih, ow, oh, a, trunc, min, max, if …",
    rf"[-(]*{_TERM}(?:[)]*(?:[-+*/,][-(]*|\(+-?){_TERM}){{0,40}}[)]*",
)
FACTOR = matching("factor such as 0.5, or decibels such as -3dB", r"-?[0-9]{1,3}(?:\.[0-9]{1,6})?(?:dB)?")
TIMES = matching("PTS-STARTPTS, PTS or a factor of it such as 0.5*PTS", r"(?:[0-9](?:\.[0-9]{1,6})?\*)?PTS(?:-STARTPTS)?")
PIXEL_FORMATS = names("yuv420p yuvj420p yuv422p yuv444p yuv420p10le yuv422p10le nv12 p010le p010 rgb24 bgr0 cuda vaapi qsv")
SAMPLE_FORMATS = names("u8 s16 s32 flt dbl s16p s32p fltp dblp")
LAYOUTS = names("mono stereo 2.1 3.0 4.0 quad 5.0 5.1 5.1(side) 6.1 7.1")
_DEINTERLACE = (
    ("mode", words("send_frame send_field send_frame_nospatial send_field_nospatial 0 1 2 3")),
    ("parity", words("auto tff bff -1 0 1")),
    ("deint", words("all interlaced 0 1")),
)
_MATRIX = words("auto bt709 bt601 bt470 smpte170m smpte240m bt2020 fcc")
_RANGE = words("auto tv pc limited full mpeg jpeg unknown")
_SCALING = words("bilinear fast_bilinear bicubic area neighbor lanczos spline bicublin gauss sinc")


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: `v` or `a`, its keys with their values, and how many of those may stand without their key, in this order."""

    medium: str
    keys: Mapping[str, Value]
    positional: int
    example: str


def _filter(medium: str, example: str, *keys: tuple[str, Value], positional: int | None = None) -> Filter:
    return Filter(medium, dict(keys), len(keys) if positional is None else positional, example)


FILTERS: dict[str, Filter] = {
    "scale": _filter(
        "v",
        "scale=1280:-2:flags=lanczos",
        ("w", EXPRESSION),
        ("h", EXPRESSION),
        ("flags", _SCALING),
        ("width", EXPRESSION),
        ("height", EXPRESSION),
        ("interl", words("0 1 -1")),
        ("in_range", _RANGE),
        ("out_range", _RANGE),
        ("in_color_matrix", _MATRIX),
        ("out_color_matrix", _MATRIX),
        ("force_original_aspect_ratio", words("disable decrease increase 0 1 2")),
        ("force_divisible_by", integer(1, 256)),
        positional=2,
    ),
    "fps": _filter("v", "fps=25", ("fps", FRAME_RATE), ("round", words("zero inf down up near")), positional=1),
    "yadif": _filter("v", "yadif=mode=send_frame", *_DEINTERLACE),
    "bwdif": _filter("v", "bwdif", *_DEINTERLACE),
    "format": _filter("v", "format=yuv420p|nv12", ("pix_fmts", listed(PIXEL_FORMATS, "|"))),
    "crop": _filter("v", "crop=iw:ih-16:0:8", *((key, EXPRESSION) for key in ("w", "h", "x", "y")), positional=4),
    "pad": _filter(
        "v",
        "pad=1280:720:(ow-iw)/2:(oh-ih)/2",
        *((key, EXPRESSION) for key in ("w", "h", "x", "y")),
        ("color", words("black white gray")),
    ),
    "drawbox": _filter(
        "v",
        "drawbox=x=0:y=0:w=iw:h=ih/8:color=black:t=fill",
        *((key, EXPRESSION) for key in ("x", "y", "w", "h")),
        ("color", words("black white gray red green blue yellow")),
        ("t", words("fill 1 2 3 4 5 6 8 10 12 16 20")),
    ),
    "setsar": _filter("v", "setsar=1", ("sar", matching("aspect", r"[0-9]{1,4}(?:/[0-9]{1,4})?"))),
    "setdar": _filter("v", "setdar=16/9", ("dar", matching("aspect", r"[0-9]{1,4}(?:/[0-9]{1,4})?"))),
    "setpts": _filter("v", "setpts=PTS-STARTPTS", ("expr", TIMES)),
    "setfield": _filter("v", "setfield=prog", ("mode", words("auto bff tff prog"))),
    "hflip": _filter("v", "hflip"),
    "vflip": _filter("v", "vflip"),
    "transpose": _filter("v", "transpose=clock", ("dir", words("cclock_flip clock cclock clock_flip 0 1 2 3"))),
    "hqdn3d": _filter("v", "hqdn3d=1.5", *((key, number(0, 100)) for key in ("luma_spatial", "chroma_spatial", "luma_tmp", "chroma_tmp"))),
    "unsharp": _filter(
        "v",
        "unsharp=5:5:0.8",
        ("luma_msize_x", integer(3, 13)),
        ("luma_msize_y", integer(3, 13)),
        ("luma_amount", number(-2, 5)),
    ),
    "eq": _filter(
        "v",
        "eq=contrast=1.1:saturation=1.2",
        ("contrast", number(-10, 10)),
        ("brightness", number(-1, 1)),
        ("saturation", number(0, 3)),
        ("gamma", number(0.1, 10)),
    ),
    "hwupload": _filter("v", "hwupload", ("extra_hw_frames", integer(0, 128)), positional=0),
    "hwupload_cuda": _filter("v", "hwupload_cuda", ("device", integer(0, 15)), positional=0),
    "hwdownload": _filter("v", "hwdownload"),
    "scale_cuda": _filter(
        "v", "scale_cuda=1280:720", ("w", EXPRESSION), ("h", EXPRESSION), ("format", listed(PIXEL_FORMATS, "|")), positional=2
    ),
    "yadif_cuda": _filter("v", "yadif_cuda", *_DEINTERLACE),
    "scale_vaapi": _filter(
        "v", "scale_vaapi=w=1280:h=720", ("w", EXPRESSION), ("h", EXPRESSION), ("format", listed(PIXEL_FORMATS, "|")), positional=2
    ),
    "deinterlace_vaapi": _filter(
        "v",
        "deinterlace_vaapi=rate=frame",
        ("mode", words("default bob weave motion_adaptive motion_compensated")),
        ("rate", words("frame field")),
        ("auto", SWITCH),
    ),
    "denoise_vaapi": _filter("v", "denoise_vaapi=denoise=8", ("denoise", integer(0, 64))),
    "scale_qsv": _filter(
        "v", "scale_qsv=w=1280:h=720", ("w", EXPRESSION), ("h", EXPRESSION), ("format", listed(PIXEL_FORMATS, "|")), positional=2
    ),
    "vpp_qsv": _filter(
        "v",
        "vpp_qsv=w=1280:h=720:deinterlace=2",
        ("w", EXPRESSION),
        ("h", EXPRESSION),
        ("deinterlace", integer(0, 2)),
        ("denoise", integer(0, 100)),
        ("framerate", FRAME_RATE),
        positional=0,
    ),
    "null": _filter("v", "null"),
    "anull": _filter("a", "anull"),
    "volume": _filter("a", "volume=-3dB", ("volume", FACTOR)),
    "aresample": _filter(
        "a",
        "aresample=48000:async=1",
        ("sample_rate", integer(8000, 192000)),
        ("async", integer(0, 192000)),
        ("first_pts", integer(0, 0)),
        ("min_hard_comp", number(0, 10)),
        positional=1,
    ),
    "aformat": _filter(
        "a",
        "aformat=sample_rates=48000:channel_layouts=stereo",
        ("sample_fmts", listed(SAMPLE_FORMATS, "|")),
        ("sample_rates", matching("sample rates with | between", r"[0-9]{4,6}(?:\|[0-9]{4,6}){0,8}")),
        ("channel_layouts", listed(LAYOUTS, "|")),
    ),
    "asetpts": _filter("a", "asetpts=PTS-STARTPTS", ("expr", TIMES)),
    "loudnorm": _filter(
        "a",
        "loudnorm=I=-23:TP=-2:LRA=7",
        ("I", number(-70, -5)),
        ("LRA", number(1, 50)),
        ("TP", number(-9, 0)),
        ("linear", words("0 1 true false")),
    ),
    "alimiter": _filter("a", "alimiter=limit=0.9", ("limit", number(0.0625, 1)), ("level", words("0 1 true false")), positional=0),
    "acompressor": _filter(
        "a", "acompressor=threshold=0.1:ratio=4", ("threshold", number(0.001, 1)), ("ratio", number(1, 20)), positional=0
    ),
    "highpass": _filter("a", "highpass=f=80", ("f", integer(1, 20000)), positional=1),
    "lowpass": _filter("a", "lowpass=f=15000", ("f", integer(1, 20000)), positional=1),
    "adelay": _filter(
        "a",
        "adelay=delays=120:all=1",
        ("delays", matching("milliseconds with | between", r"[0-9]{1,5}(?:\|[0-9]{1,5}){0,8}")),
        ("all", SWITCH),
    ),
    "apad": _filter("a", "apad=pad_dur=1", ("pad_dur", number(0, 60)), positional=0),
}

KEY = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
