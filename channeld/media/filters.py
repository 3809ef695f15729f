"""The filter chains that conform a picture and a sound to the house format.

Rule: every number is computed here from facts, none by FFmpeg's guess; nothing from a file or a person enters a chain but the
title on a card, and of that only letters, digits and plain marks. Pure.
"""

from fractions import Fraction
from pathlib import Path

from channeld.media.facts import VideoFacts
from channeld.media.plan import Plan
from channeld.media.profile import Profile

AUDIO_RATE = 48_000
AUDIO_SURPLUS_S = 0.3
"""Silence after the clip's end, so that a join may take one more audio frame."""
FADE_S = 0.005
PEAK_LIMIT = 0.84
"""Sample peak of the limiter, -1.5 dBFS: leaves half a decibel for what lies between samples."""
SPARE_CLONE_S = 1.0

HARD_COMPENSATION_S = 0.03
"""Sound that is further off its time gets silence or loses samples: more than containers round, less than a frame. FFmpeg's is 0.1."""

_PROGRESSIVE_CODECS = frozenset(
    ("vp8", "vp9", "av1", "theora", "gif", "png", "apng", "webp", "bmp", "tiff", "jpegxl", "mjpeg", "flv1", "h263", "flashsv", "flashsv2")
)
_FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/freefont/FreeSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
)
CARD_COLOURS = ("0x141a26", "0x24344d")


def picture_chain(video: VideoFacts, plan: Plan, profile: Profile, *, is_still: bool = False) -> str:
    """From a decoded track to exactly `plan.frames` house frames; the last picture is held where the source ends early."""
    fps = profile.fps
    if is_still:
        return ",".join([*_fit_any(profile), *_house_frame(profile), *_held(plan, profile)])
    source_fps = video.average_fps or video.nominal_fps
    fast = source_fps > fps.num / fps.den
    width, height = _upright(video)
    # A stream that changes its size keeps the graph (-reinit_filter 0): this first scaler then brings it back; else it is idle.
    steps = [f"scale=w={width}:h={height}"]
    if video.codec not in _PROGRESSIVE_CODECS and min(width, height) >= 4:
        double = source_fps > 0 and fps.num / fps.den >= 2 * source_fps - 0.01
        steps.append(f"bwdif=mode={'send_field' if double else 'send_frame'}:deint=interlaced")
    # In whole microseconds: a source time base may be a whole frame, where the difference would be cut to it.
    steps += ["settb=AVTB", f"setpts=PTS-({_offset_us(plan, source_fps, profile)})"]
    to_house_rate = f"fps=fps={fps}:start_time=0:round={'down' if _halves(source_fps, profile) else 'near'}"
    steps += [to_house_rate] if fast else []
    steps += _to_house_picture(video, profile)
    steps += [] if fast else [to_house_rate]
    spare = fps.frames_in(SPARE_CLONE_S) + plan.frames - plan.picture_frames + plan.picture_frames // 10
    steps.append(f"tpad=stop_mode=clone:stop={spare}")
    steps.append(f"trim=end_frame={plan.frames}")
    return ",".join(steps)


def card_chain(title: str, plan: Plan, profile: Profile) -> str:
    """A dark card of our own, with a title where a font is installed."""
    text = "".join(letter if letter.isalnum() or letter in " -.!?&+:" else " " for letter in title).strip()[:80]
    font = next((path for path in _FONTS if Path(path).is_file()), None)
    steps = []
    if text and font:
        size = max(10, min(profile.height // 12, profile.width * 17 // (10 * len(text))))
        escaped = text.replace(":", r"\:")
        steps.append(
            f"drawtext=fontfile={font}:expansion=none:fontcolor=0xd8dee9:fontsize={size}:x=(w-text_w)/2:y=(h-text_h)/2:text='{escaped}'"
        )
    return ",".join([*steps, *_house_colour(profile, profile.width, profile.height, ""), *_held(plan, profile)])


def card_source(profile: Profile) -> str:
    """The lavfi source of the card: one picture, always the same."""
    first, second = CARD_COLOURS
    size = f"{profile.width}x{profile.height}"
    corner = f"x0=0:y0=0:x1={profile.width - 1}:y1={profile.height - 1}"
    return f"gradients=s={size}:r=1:n=2:seed=1:speed=0.00001:c0={first}:c1={second}:{corner}:d=1"


def live_picture_chain(profile: Profile, before: str = "") -> str:
    """From whatever a live source sends to house frames at a constant rate; a gap in it holds the last picture.

    `before`: a relay profile's own filters, which see the picture as it came.
    """
    house = ["bwdif=mode=send_frame:deint=interlaced", *_fit_any(profile), *_house_frame(profile), f"fps=fps={profile.fps}"]
    return ",".join([*([before] if before else []), *house])


def live_sound_chain(before: str = "") -> str:
    """From a live source's sound to stereo 48 kHz without a hole, every sample at its own time.

    Nothing counts here: the chain is begun anew when the source changes its rate or channels. ts.sound_grid puts what comes in its places.
    """
    house = [f"aresample={AUDIO_RATE}:async=1000", "aformat=sample_fmts=fltp:channel_layouts=stereo", f"asettb=expr=1/{AUDIO_RATE}"]
    return ",".join([*([before] if before else []), *house])


PATTERN_TONE = f"sine=frequency=440:beep_factor=2:r={AUDIO_RATE}"


def pattern_source(profile: Profile) -> str:
    """The test pattern's lavfi source: bars that move, with a count of seconds."""
    return f"testsrc2=size={profile.width}x{profile.height}:rate={profile.fps}"


def pattern_chain(profile: Profile) -> str:
    """The test pattern with a clock, where a font is installed."""
    font = next((path for path in _FONTS if Path(path).is_file()), None)
    size = max(10, profile.height // 10)
    place = "box=1:boxcolor=black:x=(w-text_w)/2:y=h-2*text_h"
    clock = f"drawtext=fontfile={font}:fontcolor=white:fontsize={size}:{place}:text='%{{localtime\\:%X}}'"
    return ",".join([*([clock] if font else []), *_house_colour(profile, profile.width, profile.height, "")])


def sound_chain(shift_s: float | None, plan: Plan, profile: Profile, *, gain_db: float, is_limited: bool) -> str:
    """From a decoded track to stereo 48 kHz, 0.3 s longer than the picture, faded at both ends of the clip.

    `shift_s`: what to take off its timestamps (Plan); None: it is silence.
    """
    end_s = profile.fps.seconds(plan.frames)
    steps = []
    if shift_s is not None:
        on_time = f"aresample={AUDIO_RATE}:async=1:min_hard_comp={HARD_COMPENSATION_S}:first_pts=0"
        steps += [f"asetpts=PTS-({shift_s:.6f})/TB", "atrim=start=0", on_time]
    steps.append("aformat=sample_fmts=fltp:channel_layouts=stereo")
    if gain_db:
        steps.append(f"volume={gain_db:.2f}dB")
    if is_limited:
        steps.append(f"alimiter=limit={PEAK_LIMIT}:level=0")
    if shift_s is not None:
        steps.append(f"afade=t=in:st=0:d={FADE_S},afade=t=out:st={max(0.0, end_s - FADE_S):.6f}:d={FADE_S}")
    # asetpts by count: apad gives no timestamps when not one sample came, and atrim would then never end.
    steps += ["apad", f"asettb=expr=1/{AUDIO_RATE}", "asetpts=N", f"atrim=end={end_s + AUDIO_SURPLUS_S:.6f}"]
    return ",".join(steps)


def even_chain(plan: Plan, length_s: float) -> str:
    """From a track that changes midway to stereo 48 kHz, every sample at its own time: this chain is begun anew at each change."""
    steps = f"asetpts=PTS-({plan.shift_s:.6f})/TB", f"atrim=start=0:end={length_s:.6f}", f"aresample={AUDIO_RATE}"
    return ",".join([*steps, "aformat=sample_fmts=flt:channel_layouts=stereo"])


def loudness_chain(plan: Plan, length_s: float) -> str:
    """What is measured: the sound as it will air, before any gain."""
    steps = (
        f"asetpts=PTS-({plan.shift_s:.6f})/TB",
        f"atrim=start=0:end={length_s:.6f}",
        f"aresample={AUDIO_RATE}",
        "aformat=channel_layouts=stereo",
        "ebur128=peak=true:framelog=verbose",
    )
    return ",".join(steps)


def _held(plan: Plan, profile: Profile) -> list[str]:
    """One picture for the clip's whole length. The fps filter alone would drop it: one picture has no end to be shown until."""
    fps = profile.fps
    return ["loop=loop=-1:size=1", f"settb=expr={fps.den}/{fps.num}", "setpts=N", f"fps=fps={fps}", f"trim=end_frame={plan.frames}"]


def _halves(source_fps: float, profile: Profile) -> bool:
    return source_fps >= 1.5 * profile.fps.num / profile.fps.den


def _offset_us(plan: Plan, source_fps: float, profile: Profile) -> int:
    """Microseconds to take off a picture's timestamp.

    At twice the house rate every other source frame lies exactly between two house frames, where rounded timestamps (1 ms in
    Matroska) would choose at random; a quarter of a house frame settles it.
    """
    phase = Fraction(profile.fps.den, profile.fps.num * 4) if _halves(source_fps, profile) else Fraction(0)
    return round((plan.shift_s - float(phase)) * 1_000_000)


def _upright(video: VideoFacts) -> tuple[int, int]:
    """Coded size after FFmpeg's autorotation."""
    picture = video.picture
    turned = picture.rotation in (90, 270)
    return (picture.height, picture.width) if turned else (picture.width, picture.height)


def _upright_sar(video: VideoFacts) -> Fraction:
    sar = Fraction(*video.picture.sar)
    return 1 / sar if video.picture.rotation in (90, 270) else sar


def fitted_size(video: VideoFacts, profile: Profile) -> tuple[int, int]:
    """Even size of the picture within the house frame, its shape kept with the sample aspect ratio applied."""
    width, height = _upright(video)
    shape = width / height * _upright_sar(video)
    scale = min(Fraction(profile.width) / Fraction(shape), Fraction(profile.height))
    fitted = (round(Fraction(shape) * scale / 2) * 2, round(scale / 2) * 2)
    return min(profile.width, max(2, fitted[0])), min(profile.height, max(2, fitted[1]))


def _to_house_picture(video: VideoFacts, profile: Profile) -> list[str]:
    width, height = fitted_size(video, profile)
    colour = video.colour
    if colour.is_hdr or colour.primaries == "bt2020":
        primaries, matrix, transfer = colour.primaries or "bt2020", colour.matrix or "bt2020nc", colour.transfer or "bt709"
        is_tagged = colour.primaries and colour.matrix and colour.transfer
        # Of what the file does not say zscale finds no way to anything, whatever it is told itself.
        said = [] if is_tagged else [f"setparams=color_primaries={primaries}:colorspace={matrix}:color_trc={transfer}"]
        if not colour.is_hdr:
            narrow = f"zscale=w={width}:h={height}:f=bilinear:p=bt709:t=bt709:m=bt709:r=tv"
            return [*said, narrow, "format=yuv420p", *_house_colour(profile, width, height, "in_color_matrix=bt709:")]
        steps = [
            *said,
            f"zscale=w={width}:h={height}:f=bilinear:min={matrix}:pin={primaries}:tin={transfer}:t=linear:npl=203",
            "format=gbrpf32le",
            "zscale=p=bt709",
            "tonemap=tonemap=hable:desat=0",
            "zscale=t=bt709:m=bt709:r=tv",
            "format=yuv420p",
        ]
        return steps + _house_colour(profile, width, height, "in_color_matrix=bt709:")
    # Untagged HD is BT.709 by custom; FFmpeg's scaler would take it for BT.601.
    picture = video.picture
    is_hd = picture.height >= 720 or picture.width >= 1280  # films of 1280x544 are
    untagged_hd = not video.colour.matrix and is_hd and not picture.pix_fmt.startswith(("rgb", "bgr", "gbr"))
    return _house_colour(profile, *_following_size(video, profile), "in_color_matrix=bt709:" if untagged_hd else "")


def _following_size(video: VideoFacts, profile: Profile) -> tuple[str, str]:
    """The fitted size as expressions, for a stream that changes its shape (a broadcast between 4:3 and 16:9): each shape is fitted anew."""
    sar, house = float(_upright_sar(video)), (profile.width, profile.height)
    is_first = f"lt(abs(sar-{sar:.6f})\\,{sar / 500:.6f})"
    others = f"min({house[0]}\\,{house[1]}*dar)", f"min({house[1]}\\,{house[0]}/dar)"
    width, height = (
        f"if({is_first}\\,{first}\\,max(2\\,2*round({other}/2)))" for first, other in zip(fitted_size(video, profile), others, strict=True)
    )
    return width, height


def _fit_any(profile: Profile) -> list[str]:
    """Fit one picture whose size is FFmpeg's to find: a photo may be turned by its Exif, which no probe of the file tells."""
    fit = "force_original_aspect_ratio=decrease:force_divisible_by=2"
    return ["scale=w=iw*sar:h=ih", f"scale=w={profile.width}:h={profile.height}:{fit}:out_color_matrix=bt709:out_range=tv"]


def _house_colour(profile: Profile, width: int | str, height: int | str, matrix: str) -> list[str]:
    """Sizes as expressions are for pictures that may change."""
    return [f"scale=w={width}:h={height}:eval=frame:{matrix}out_color_matrix=bt709:out_range=tv", *_house_frame(profile)]


def _house_frame(profile: Profile) -> list[str]:
    return [
        "format=yuv420p",
        f"pad=w={profile.width}:h={profile.height}:x=(ow-iw)/2:y=(oh-ih)/2:eval=frame",
        "setsar=1",
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709:field_mode=prog",
    ]
