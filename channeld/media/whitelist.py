"""What FFmpeg may open for us: files only, demuxers and decoders by name.

Rule: everything not listed is refused by FFmpeg itself. No demuxer is listed that opens further files (concat, hls, dash,
image sequences); no decoder that nobody broadcasts from (MagicYUV: CVE-2026-8461 is unfixed in FFmpeg 5.1).
Tables; reads no more than the first bytes of a file, to know a picture when it sees one.
"""

import contextlib
from pathlib import Path


def _names(text: str) -> str:
    return ",".join(text.split())


FILE_FORMATS = _names("""
mov mp4 m4a 3gp 3g2 mj2 matroska webm avi asf flv live_flv kux mpegts mpeg mpegvideo ogg mxf gxf dv nut rm ivf obu av1 h261 h263 h264
hevc m4v vc1 dnxhd dirac wtv nsv swf yuv4mpegpipe mjpeg
aac ac3 eac3 dts dtshd truehd mlp mp3 flac wav w64 aiff au caf amr amrnb amrwb ape tta wv tak mpc mpc8 voc loas spdif xwma oma dsf
gif apng png_pipe jpeg_pipe webp_pipe bmp_pipe tiff_pipe jpegxl_pipe j2k_pipe ppm_pipe pgm_pipe qoi_pipe tga_pipe
""")

_VIDEO_DECODERS = _names("""
h264 hevc libdav1d libaom-av1 av1 vp8 libvpx vp9 libvpx-vp9 vp6 vp6f vp6a vp3 theora mpeg1video mpeg2video mpegvideo mpeg4 msmpeg4v1
msmpeg4v2 msmpeg4 wmv1 wmv2 wmv3 vc1 flv h261 h263 h263p h263i prores dnxhd dvvideo mjpeg mjpegb ffv1 huffyuv ffvhuff utvideo rawvideo
v210 v410 cinepak svq1 svq3 rv10 rv20 rv30 rv40 indeo3 indeo4 indeo5 msvideo1 rpza qtrle flashsv flashsv2 dirac hap cfhd snow cavs
png apng gif bmp tiff webp libjxl jpeg2000 libopenjpeg ppm pgm targa qoi wrapped_avframe
""")

_AUDIO_DECODERS = _names("""
aac aac_latm ac3 eac3 dca truehd mlp mp1 mp1float mp2 mp2float mp3 mp3float opus libopus vorbis libvorbis flac alac wavpack ape tta tak
wmav1 wmav2 wmapro wmalossless wmavoice amrnb amrwb cook atrac3 atrac3p atrac3plus sipr real_144 real_288 speex libspeex nellymoser qdm2
qdmc adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha adpcm_g722 g722 g726 gsm gsm_ms mpc7 mpc8 s302m
pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_lxf pcm_s16be pcm_s16be_planar
pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24daud pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le
pcm_s8 pcm_s8_planar pcm_u16be pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8 pcm_vidc
""")

# Decoders that only a probe opens, to name what is dropped; text without a decoder would be told as an error.
_CAPTION_DECODERS = _names("cc_dec webvtt subrip srt ass ssa mov_text text dvbsub dvdsub pgssub libzvbi_teletextdec")

DECODERS = f"{_VIDEO_DECODERS},{_AUDIO_DECODERS},{_CAPTION_DECODERS}"


# FFmpeg chooses its demuxer for pictures by the file's name and would take `%d` in it for a sequence of files: so by content, here.
_PICTURES = (
    (b"\x89PNG\r\n", "png_pipe"),
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"BM", "bmp_pipe"),
    (b"II*\0", "tiff_pipe"),
    (b"MM\0*", "tiff_pipe"),
    (b"\xff\x0a", "jpegxl_pipe"),
    (b"\0\0\0\x0cJXL ", "jpegxl_pipe"),
    (b"\0\0\0\x0cjP  ", "j2k_pipe"),
)
_MOVING_JPEG = (".mjpeg", ".mjpg")


def picture_format(path: Path) -> str | None:
    """Demuxer of a picture file; None for anything else, or what cannot be read."""
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if path.resolve().suffix.lower() in _MOVING_JPEG:  # an open file's own name, where the path is only a descriptor's
        return None
    return next((name for magic, name in _PICTURES if head.startswith(magic)), None)


def input_options(source: Path) -> tuple[str, dict[str, str]]:
    """How FFmpeg opens a file: its URL, and the options that confine it."""
    options = {"protocol_whitelist": "file,pipe", "format_whitelist": FILE_FORMATS, "codec_whitelist": DECODERS}
    picture = picture_format(source) if source.is_file() else None
    return f"file:{source.absolute()}", options | ({"f": picture} if picture else {})


LIVE_FORMATS = _names("""
mpegts mpegtsraw flv live_flv rtsp sdp rtp hls aac mp3 mov mp4 m4a 3gp 3g2 mj2 webvtt matroska webm ogg h264 hevc mpegvideo ac3 eac3 mpeg
mjpeg mpjpeg wav flac
""")
# With each scheme the protocols that stand below it. Never `file`: what an upstream names in a manifest is not opened here.
LIVE_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp,httpproxy,https,tls,crypto",
    "https": "https,tls,tcp,http,httpproxy,crypto",
    "srt": "srt,udp",
    "udp": "udp",
    "rtp": "rtp,udp",
    "tcp": "tcp",
}
