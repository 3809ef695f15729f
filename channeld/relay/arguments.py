"""`ffmpeg_args` read: the options for the input, the middle (codecs, filters, bit rates), and what the output half said.

Rule: an argument is taken because a table has it, at its place and with a value of its pattern; all others are refused, each with its
position. The output half is read and checked, then put aside: channeld's FFmpeg writes MPEG-TS into a pipe, whatever it says. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from channeld.relay.profile import Hardware, OutputFormat, RelayProfile, field_refusals
from channeld.relay.reader import Reader, Said
from channeld.relay.refusal import Kind, ProfileRefused, Refusal, shown
from channeld.relay.template import FIELD, INPUT_URL, OUTPUT_PATH, split_words, word_refusals

_MUXERS = {OutputFormat.TRANSPORT_STREAM: "mpegts", OutputFormat.HLS: "hls", OutputFormat.DASH: "dash", OutputFormat.COPY: "mpegts"}
_MEDIA = {"v": "the pictures", "a": "the sound"}
_FAMILIES = {
    "nvenc": Hardware.NVIDIA,
    "cuvid": Hardware.NVIDIA,
    "cuda": Hardware.NVIDIA,
    "vaapi": Hardware.VAAPI,
    "qsv": Hardware.QSV,
}


@dataclass(frozen=True, slots=True)
class OutputHalf:
    """What the output half asked for, for channeld's packager: format, seconds of a segment, segments in a manifest."""

    output_format: OutputFormat
    segment_duration_s: float
    max_segments: int


@dataclass(frozen=True, slots=True)
class Arguments:
    """Checked arguments: before `-i`, after it, and what comes out. All names are FFmpeg's canonical ones.

    `input_timeout_s`: how long the input may be silent; `replaced`: options that are read and given to no FFmpeg, with their values.
    """

    input_options: tuple[str, ...]
    middle: tuple[str, ...]
    output: OutputHalf
    input_timeout_s: float
    replaced: tuple[tuple[str, str], ...] = ()


def parse(profile: RelayProfile) -> Arguments:
    """The checked arguments of a profile. Raises ProfileRefused with everything that is wrong, also with the other fields."""
    arguments, refusals = _examine(profile)
    if arguments is None:
        raise ProfileRefused(refusals)
    return arguments


def refusals_of(profile: RelayProfile) -> tuple[Refusal, ...]:
    """Everything that is wrong with a profile; nothing when it may be stored and run."""
    return _examine(profile)[1]


def _examine(profile: RelayProfile) -> tuple[Arguments | None, tuple[Refusal, ...]]:
    refusals = field_refusals(profile)
    words = split_words(profile.ffmpeg_args)
    if isinstance(words, Refusal):
        return None, (*refusals, words)
    reader = Reader(words, {"{segment_duration}": str(profile.segment_duration), "{max_segments}": str(profile.max_segments)})
    for refusal in word_refusals(words):
        reader.refuse(refusal)
    said = reader.read()
    refusals += sorted(reader.refusals, key=lambda refusal: refusal.position or 0)
    refusals += [*_missing(said), *sorted(_mismatches(profile, said), key=lambda refusal: refusal.position or 0)]
    if refusals:
        return None, tuple(refusals)
    duration_s = said.values.get("hls_time", said.values.get("seg_duration", profile.segment_duration))
    segments = said.values.get("hls_list_size", said.values.get("window_size", profile.max_segments))
    output = OutputHalf(OutputFormat(profile.output_format), float(duration_s), int(segments))
    timeout = said.values.get("rw_timeout", said.values.get("timeout"))
    timeout_s = profile.input_timeout if timeout is None else int(timeout) / 1_000_000
    return Arguments(tuple(said.input_options), tuple(said.middle), output, timeout_s, tuple(said.values.items())), ()


def _missing(said: Said) -> list[Refusal]:
    refusals = []
    if not said.has_input:
        refusals.append(Refusal(Kind.MISSING_INPUT, FIELD, None, "", "there is no input", f"write -i {INPUT_URL}"))
    if not said.has_output:
        refusals.append(Refusal(Kind.MISSING_OUTPUT, FIELD, None, "", "there is no output", f"end with {OUTPUT_PATH}"))
    return refusals


def _mismatches(profile: RelayProfile, said: Said) -> list[Refusal]:
    """What the arguments say against the other fields and against each other."""
    if not (said.has_input and said.has_output):
        return []
    return [*_format_mismatches(profile, said), *_codec_mismatches(said), *_hardware_mismatches(profile, said)]


def _format_mismatches(profile: RelayProfile, said: Said) -> Iterator[Refusal]:
    muxer, is_copy = said.values.get("f"), profile.output_format == OutputFormat.COPY
    wanted = _MUXERS.get(profile.output_format, "mpegts")
    if muxer != wanted and not (is_copy and muxer is None):
        problem = f"the output's format is {muxer}" if muxer else "the output's format is not said"
        remedy = f"write -f {wanted}, which output_format {profile.output_format} means, or change output_format"
        yield Refusal(Kind.FORMAT_MISMATCH, FIELD, said.positions.get("f"), muxer or "", problem, remedy)
    for name, codec, position in said.encoders:
        if is_copy and codec != "copy":
            problem, remedy = "output_format copy encodes nothing", "write -c copy, or choose another output_format"
            yield Refusal(Kind.FORMAT_MISMATCH, FIELD, position, f"{name} {codec}", problem, remedy)


def _codec_mismatches(said: Said) -> Iterator[Refusal]:
    """FFmpeg would choose codecs by the container, which is another one than the arguments say."""
    for medium, none in (("v", "-vn"), ("a", "-an")):
        # Of several that match a stream, FFmpeg takes the last.
        codecs = [codec for name, codec, _ in said.encoders if name == "-c" or name.startswith(f"-c:{medium}")]
        if not codecs and none not in said.middle and not said.is_codec_refused:
            problem, remedy = f"no codec is given for {_MEDIA[medium]}", f"write -c:{medium} and a codec, or copy, or {none}"
            yield Refusal(Kind.MISSING_CODEC, FIELD, None, "", problem, remedy)
        if codecs and codecs[-1] == "copy" and (position := said.positions.get(f"filter:{medium}")):
            problem, remedy = "what is copied cannot be filtered", f"give -c:{medium} an encoder, or leave the filters out"
            yield Refusal(Kind.CONTRADICTION, FIELD, position, f"-filter:{medium}", problem, remedy)


def _hardware_mismatches(profile: RelayProfile, said: Said) -> Iterator[Refusal]:
    for name, position in said.hardware:
        family = next(hardware for word, hardware in _FAMILIES.items() if word in name)
        if family != profile.hardware_acceleration:
            problem, remedy = f"it needs hardware_acceleration {family}", "set that, or leave it out"
            yield Refusal(Kind.HARDWARE_MISMATCH, FIELD, position, shown(name), problem, remedy)
