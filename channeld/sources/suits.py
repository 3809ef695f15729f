"""Whether a source may be copied as it is, judged by what FFmpeg says of its streams; the conformer has the last word.

Rule: a refusal names the first thing that is not as the house format has it. Pure.
"""

import re
from collections.abc import Iterable

from channeld.media.profile import Profile
from channeld.ts.nal import VideoCodec

_VIDEO = re.compile(r"Video: (?P<codec>\w+).*?, (?P<width>\d{2,5})x(?P<height>\d{2,5})[ ,\[]")
_RATE = re.compile(r"\b(?P<fps>\d{1,9}(?:\.\d+)?) fps")
_AUDIO = re.compile(r"Audio: (?P<codec>\w+)(?P<kind> \(LC\))?.*?, (?P<rate>\d+) Hz, (?P<layout>\w+)")
_RATE_SLACK = 0.02
_CODECS = {VideoCodec.H264: "h264", VideoCodec.H265: "hevc"}
"""As FFmpeg names them."""
_COLOURS = re.compile(r", (?P<format>yuv\w+|gray\w*|gbr\w+)")


def why_not_copied(streams: Iterable[str], profile: Profile) -> str | None:
    """The reason why a source has to be transcoded; None where it may be tried without."""
    lines = list(streams)
    video = next((found for line in lines if (found := _VIDEO.search(line))), None)
    audio = next((found for line in lines if (found := _AUDIO.search(line))), None)
    if video is None or audio is None:
        return "it has no picture or no sound"
    rate = next((found for line in lines if "Video:" in line and (found := _RATE.search(line))), None)
    house = profile.fps.num / profile.fps.den
    wanted = _CODECS[profile.codec]
    colours = _COLOURS.search(video.group())
    is_plain = profile.codec is VideoCodec.H264 or colours is None or colours["format"] == "yuv420p"  # H.264: its parameter sets tell
    rules = (
        (video["codec"] == wanted, f"its picture is {video['codec']}, not {wanted}"),
        (is_plain, f"its colours are {colours['format'] if colours else 'unknown'}, not yuv420p"),
        ("progressive" in video.group() or ("interlaced" not in video.group() and " first" not in video.group()), "it is interlaced"),
        ((int(video["width"]), int(video["height"])) == (profile.width, profile.height), f"its size is {video['width']}x{video['height']}"),
        (rate is not None and abs(float(rate["fps"]) - house) < _RATE_SLACK, f"its rate is not {profile.fps} frames per second"),
        (audio["codec"] == "aac", f"its sound is {audio['codec']}, not aac"),
        (
            audio["rate"] == "48000" and audio["layout"] == "stereo",
            f"its sound is {audio['rate']} Hz {audio['layout']}, not 48 kHz stereo",
        ),
    )
    return next((reason for holds, reason in rules if not holds), None)
