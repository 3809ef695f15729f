"""Files and lines of a playlist that would have a player open something else.

Rule: each names the secret files outside of the media root, or the canary's address, in the way of its format.
"""

from collections.abc import Callable
from pathlib import Path

URL_SECRET = "password-of-a-url"
Make = Callable[[Path, Path, str], None]
"""(the file to write, a secret file outside, the canary's http address)"""


def _text(template: str) -> Make:
    """`{secret}`: absolute path outside; `{up}`: the same, relative to the media root; `{url}`: the canary."""

    def write(path: Path, secret: Path, url: str) -> None:
        path.write_text(template.format(secret=secret, up=f"../outside/{secret.name}", url=url))

    return write


_HLS = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:5\n{key}#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n"
_SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64" height="64">'
    '<image xlink:href="file://{secret}" width="64" height="64"/><image xlink:href="{url}/a.png" width="64" height="64"/></svg>'
)
_DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>{url}/</BaseURL><SegmentList duration="5">'
    '<Initialization sourceURL="file://{secret}"/><SegmentURL media="a.mp4"/></SegmentList></Representation></AdaptationSet></Period></MPD>'
)
_IMF = (
    '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:1</Id>'
    "<ExtensionProperties>{url} {secret}</ExtensionProperties></CompositionPlaylist>"
)
_SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"


def _sdp(path: Path, _secret: Path, url: str) -> None:
    path.write_text(_SDP.format(port=url.rpartition(":")[2]))


FILES: dict[str, Make] = {
    "ffconcat.mp4": _text("ffconcat version 1.0\nfile '{up}'\nfile '{secret}'\nfile '{url}/a.mp4'\n"),
    "ffconcat.ts": _text("ffconcat version 1.0\nfile 'subfile,,start,0,end,0,,:{secret}'\n"),
    "concat-script.mkv": _text("# concat\nfile {secret}\n"),
    "hls-local.mp4": _text(_HLS.replace("{key}", "").replace("{target}", "{up}")),
    "hls-absolute.ts": _text(_HLS.replace("{key}", "").replace("{target}", "file://{secret}")),
    "hls-remote.ts": _text(_HLS.replace("{key}", "").replace("{target}", "{url}/a.ts")),
    "hls-key.ts": _text(_HLS.replace("{key}", '#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n').replace("{target}", "{up}")),
    "hls-map.mp4": _text(_HLS.replace("{key}", '#EXT-X-MAP:URI="file://{secret}"\n').replace("{target}", "{url}/a.m4s")),
    "hls-nested.mp4": _text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}/nested.m3u8\n"),
    "dash.mp4": _text(_DASH),
    "picture.svg": _text(_SVG),
    "picture.png": _text(_SVG),
    "imf.mp4": _text(_IMF),
    "sdp.mp4": _sdp,
    "asx.mp4": _text('<asx version="3.0"><entry><ref href="{url}/a.asf"/></entry></asx>'),
    "pls.mp3": _text("[playlist]\nNumberOfEntries=1\nFile1={url}/a.mp3\nFile2={secret}\n"),
    "ram.mp4": _text("{url}/a.rm\nfile://{secret}\n"),
    "vobsub.mkv": _text(
        "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n"
    ),
    "avisynth.mp4": _text('AviSource("{secret}")\n'),
    "subtitles.mp4": _text("[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:05.00,,,,,,,{{\\p1}}{secret}\n"),
    "ffmetadata.mp4": _text(";FFMETADATA1\ntitle=movie={secret}\n"),
    "lavfi.mp4": _text("movie={secret}[out]\n"),
    "filter':textfile='..outside.mp4": _text("no film\n"),
    "frames-%03d.png": _text("no picture {secret}\n"),
}


def entries(outside: Path, canary_port: int) -> list[str]:
    """Lines of a playlist that lead outside, to another protocol or to an address that is not public."""
    at = f"127.0.0.1:{canary_port}"
    secret = outside / "secret.mp4"
    return [
        *(
            "../outside/secret.mp4",
            str(secret),
            "./../outside/./secret.mp4",
            "media/../../outside/secret.mp4",
            "link.mp4",
            "folder-link/secret.mp4",
        ),
        *(
            f"file://{secret}",
            f"file:{secret}",
            f"concat:good.mp4|{secret}",
            f"subfile,,start,0,end,0,,:{secret}",
            "pipe:0",
            "pipe:",
            "fd:0",
        ),
        *(
            "data:video/mp4;base64,AAAA",
            f"crypto:{secret}",
            f"async:{secret}",
            f"cache:{secret}",
            f"unix:{outside}/socket",
            f"tee:{secret}",
        ),
        *(f"tcp://{at}", f"udp://{at}", f"ftp://{at}/a.mp4", f"gopher://{at}/x", f"rtp://{at}", f"tls://{at}", f"sftp://{at}/x"),
        *(f"rtsp://{at}/a", f"rtmp://{at}/live/a", f"srt://{at}", f"mmsh://{at}/a", f"icecast://{at}/a", f"ipfs://{at}"),
        *(
            f"http://{at}/a.mp4",
            f"http://localhost:{canary_port}/a.mp4",
            f"http://[::1]:{canary_port}/a.mp4",
            f"http://0:{canary_port}/a.mp4",
        ),
        *(f"http://2130706433:{canary_port}/a.mp4", f"http://0x7f000001:{canary_port}/a.mp4", f"http://127.1:{canary_port}/a.mp4"),
        *(f"http://[::ffff:127.0.0.1]:{canary_port}/a.mp4", f"http://user@{at}/a.mp4", f"https://{at}/a.mp4", f"HTTP://{at}/a.mp4"),
        *(
            f"http://user:{URL_SECRET}@10.0.0.2/a.mp4?token={URL_SECRET}",
            "http://169.254.169.254/latest/meta-data/",
            "http://[fd00:ec2::254]/latest/",
            "http://10.0.0.1/a.mp4",
            "http://192.168.0.1/a.mp4",
        ),
        *("http://100.64.0.1/a.mp4", "http://[fe80::1]/a.mp4", "http://224.0.0.1/a.mp4", "http://[64:ff9b::7f00:1]/a.mp4"),
        *("-i", "-y", "|reboot", "$(reboot)", "%2e%2e/outside/secret.mp4", "..%2foutside%2fsecret.mp4", "/dev/zero", "/proc/self/environ"),
    ]
