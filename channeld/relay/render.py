"""From a profile and an upstream's URL to FFmpeg's argument list.

Rule: the profile is checked again here, whatever was checked when it was stored; what FFmpeg may open follows from the URL's scheme
alone; the output is MPEG-TS on stdout. Lists only, never a shell string. Pure. Whether the URL's host may be asked is decided before.
"""

import re
from itertools import pairwise
from urllib.parse import urlsplit

from channeld.relay.arguments import parse
from channeld.relay.options import INPUT, Takes
from channeld.relay.options import PROTOCOLS as OPTION_PROTOCOLS
from channeld.relay.profile import RelayProfile
from channeld.relay.refusal import Kind, ProfileRefused, Refusal, shown

MAX_URL = 4096
# RFC 3986's characters; no spaces, as FFmpeg's RTMP takes what follows one for options.
_URL = re.compile(r"[a-z]+://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)

_HTTP = "http,https,tcp,tls,crypto"
_RTSP = "rtsp,rtsps,rtp,udp,tcp,tls,http,https"
PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "srt": "srt",
    "udp": "udp",
    "rtp": "rtp,udp",
}
"""What each scheme may lead FFmpeg to open. HLS is HTTP and its key; RTSP may go over UDP, TCP or HTTP."""

FORMATS = "mpegts,hls,flv,live_flv,rtsp,sdp,rtp,h264,hevc,aac,mp3,mov,mp4,webvtt,matroska,webm,mpeg,ogg,ac3,eac3"
DECODERS = (
    "h264,hevc,mpeg1video,mpeg2video,mpeg4,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,mjpeg,h264_cuvid,hevc_cuvid,mpeg2_cuvid,"
    "h264_qsv,hevc_qsv,mpeg2_qsv,aac,aac_latm,ac3,eac3,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,flac,pcm_alaw,pcm_mulaw,"
    "pcm_s16be,pcm_s16le,pcm_bluray,g722,dvbsub,dvdsub,libzvbi_teletextdec,webvtt,cc_dec"
)
OUTPUT = ("-f", "mpegts", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "pipe:1")
_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+warning")
# FFmpeg's names for "give up when nothing comes for so many microseconds"; its RTP has none, so that whoever reads must notice.
_TIMEOUTS = {"rtsp": "-timeout", "rtsps": "-timeout", "udp": "-timeout", "rtp": None}


def render(profile: RelayProfile, input_url: str) -> list[str]:
    """Everything from the confined input to the end of the middle; what comes before and behind is `command`'s.

    Raises ProfileRefused, for the URL with the field `input_url`.
    """
    arguments = parse(profile)
    scheme = _scheme(input_url)
    words = ["-protocol_whitelist", PROTOCOLS[scheme], "-format_whitelist", FORMATS, "-codec_whitelist", DECODERS]
    if timeout := _TIMEOUTS.get(scheme, "-rw_timeout"):
        words += [timeout, str(round(arguments.input_timeout_s * 1_000_000))]
    return [*words, *_known_to(scheme, input_url, arguments.input_options), "-i", input_url, *arguments.middle]


def command(ffmpeg: str, profile: RelayProfile, input_url: str) -> list[str]:
    """The whole argument list of the FFmpeg that writes MPEG-TS to its stdout. Raises ProfileRefused."""
    return [ffmpeg, *_QUIET, *render(profile, input_url), *OUTPUT]


def _known_to(scheme: str, url: str, words: tuple[str, ...]) -> list[str]:
    """The input options without those of other protocols."""
    is_hls = urlsplit(url).path.endswith(".m3u8") or ("-f", "hls") in pairwise(words)
    kept: list[str] = []
    at = 0
    while at < len(words):
        option = INPUT[words[at][1:].partition(":")[0]]
        length = 1 if option.takes is Takes.NOTHING else 2
        protocol = option.protocol
        if not protocol or (scheme in OPTION_PROTOCOLS[protocol] and (protocol != "hls" or is_hls)):
            kept += words[at : at + length]
        at += length
    return kept


def _scheme(url: str) -> str:
    if len(url) > MAX_URL:
        raise _refused(Kind.TOO_LONG, url, f"it is {len(url)} characters long", f"give {MAX_URL} at most")
    scheme = url.partition("://")[0]
    if scheme not in PROTOCOLS:
        raise _refused(Kind.FORBIDDEN_PROTOCOL, url, "it is no URL of an upstream", f"give one of {', '.join(PROTOCOLS)}")
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if _URL.fullmatch(url) is None or not host:
        raise _refused(Kind.BAD_VALUE, url, "it is no whole URL", "give a host, and write other characters as %XX")
    return scheme


def _refused(kind: Kind, url: str, problem: str, remedy: str) -> ProfileRefused:
    return ProfileRefused([Refusal(kind, "input_url", None, shown(url), problem, remedy)])
