"""A probe without ffprobe: the banner that `ffmpeg -i` prints, read into the shape of ffprobe's answer.

Rule: what the banner does not say stays unknown; nothing is guessed. Pure.
"""

import re
from typing import Any

_INPUT = re.compile(r"^Input #0, (.+), from ")
_DURATION = re.compile(r"^\s*Duration: (?:(\d{1,9}):(\d{1,2}):(\d{1,2}(?:\.\d+)?)|N/A)(?:, start: (-?\d+(?:\.\d+)?))?")
_STREAM = re.compile(r"^\s*Stream #0:(\d{1,5})(?:\[0x[0-9a-f]+\])?(?:\((\w+)\))?: (Video|Audio|Subtitle|Data|Attachment): (\w+)(.*)$")
# Never from 0 on: a codec's tag may be written `0x0002`.
_SIZE = re.compile(r"[ ,]([1-9]\d{0,4})x([1-9]\d{0,4})\b")
_SAR = re.compile(r"SAR (\d+:\d+)")
_RATE = re.compile(r"\b(\d{1,9}(?:\.\d{1,9})?)(k?) (fps|tbr)\b")
# At the line's start: behind it stands what whoever made the file wrote, such as its title.
_ROTATION = re.compile(r"^\s*displaymatrix: rotation of (-?\d{1,9}(?:\.\d+)?)")
_NAME = r"([a-z][a-z0-9-]{2,20})"
# Right behind the pixel format, where the order of fields may stand alone, too.
_COLOUR = re.compile(rf"(?<=\w)\((?:(?:tv|pc), )?(?!progressive){_NAME}(?:/{_NAME}/{_NAME})?[,)]")
"""Matrix, primaries and transfer, or one name for all three."""
_PROGRAM = re.compile(r"^\s*(?:Program (\d{1,9})|No Program)\s*$")
_FIELDS = {
    "top first": "tt",
    "bottom first": "bb",
    "top coded first (swapped)": "tb",
    "bottom coded first (swapped)": "bt",
    "progressive": "progressive",
}
_CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6, "5.1(side)": 6, "7.1": 8, "quad": 4, "2.1": 3, "4.0": 4, "5.0": 5}


def parse_banner(lines: list[str]) -> dict[str, Any]:
    """ffprobe's answer, as far as the banner tells it."""
    answer: dict[str, Any] = {"format": {}, "programs": [], "streams": []}
    of_program: list[dict[str, Any]] | None = None
    for line in lines:
        if match := _INPUT.match(line):
            answer["format"]["format_name"] = match[1]
        elif match := _DURATION.match(line):
            if match[1]:
                answer["format"]["duration"] = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
            answer["format"]["start_time"] = match[4]
        elif match := _STREAM.match(line):
            answer["streams"].append(_stream(match))
            if of_program is not None:
                of_program.append(answer["streams"][-1])
        elif match := _PROGRAM.match(line):
            of_program = [] if match[1] else None
            answer["programs"] += [{"program_id": int(match[1]), "streams": of_program}] if match[1] else []
        elif (match := _ROTATION.match(line)) and answer["streams"]:
            answer["streams"][-1]["side_data_list"] = [{"rotation": float(match[1])}]
    return answer


def _stream(match: re.Match[str]) -> dict[str, Any]:
    kind, rest = match[3].lower(), match[5]
    stream: dict[str, Any] = {
        "index": int(match[1]),
        "codec_type": kind,
        "codec_name": match[4] if match[4] != "none" else "unknown",
        "tags": {"language": match[2]} if match[2] else {},
        "disposition": {"attached_pic": int("(attached pic)" in rest), "default": int("(default)" in rest)},
    }
    if kind == "video":
        stream |= _video(rest)
    elif kind == "audio":
        rate = re.search(r"\b(\d{1,9}) Hz, ([\w.()]+)", rest)
        if rate:
            channels = re.fullmatch(r"(\d{1,3})", rate[2])
            stream |= {"sample_rate": rate[1], "channels": int(channels[1]) if channels else _CHANNELS.get(rate[2], 2)}
    return stream


def _video(rest: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if size := _SIZE.search(rest):
        values |= {"width": int(size[1]), "height": int(size[2])}
    if sar := _SAR.search(rest):
        values["sample_aspect_ratio"] = sar[1]
    for number, kilo, unit in _RATE.findall(rest):
        rate = float(number) * (1000 if kilo else 1)
        values["avg_frame_rate" if unit == "fps" else "r_frame_rate"] = f"{rate}/1"
    for words, order in _FIELDS.items():
        if words in rest:
            values["field_order"] = order
    if colour := _COLOUR.search(rest):
        values |= {"color_space": colour[1], "color_primaries": colour[2] or colour[1], "color_transfer": colour[3] or colour[1]}
    if pixel := re.search(r", (yuvj?\w+|rgb\w+|bgr\w+|gbr\w+|gray\w*|pal8|nv12)", rest):
        values["pix_fmt"] = pixel[1]
    values["color_range"] = "pc" if re.search(r"\(pc\b|yuvj", rest) else "tv"
    return values
