"""What a profile does on air: every allowed option acts, says what is so anyway, or is told with the reason why it does not."""

from dataclasses import replace
from typing import Any

import pytest
from relay_profiles import COPY, after, before, profile

from channeld.relay.arguments import Arguments, parse, refusals_of
from channeld.relay.effect_streams import chosen
from channeld.relay.effect_table import ENCODING, INPUT, MIDDLE, Does
from channeld.relay.effects import Effect, Notice, effect_of
from channeld.relay.filter_table import FILTERS
from channeld.relay.options import ENCODERS, OUTPUT, SPECIFIERS, Takes
from channeld.relay.options import INPUT as INPUT_OPTIONS
from channeld.relay.profile import Hardware

CODED = "-c:v libx264 -c:a aac"
CODERS = {
    Hardware.NONE: "libx264",
    Hardware.NVIDIA: "h264_nvenc",
    Hardware.VAAPI: "h264_vaapi",
    Hardware.QSV: "h264_qsv",
}
# Where the example of the allow-list says what is so anyway.
TELLING: dict[Any, tuple[str, ...]] = {
    "preset": ("fast", "p5"),
    "tune": ("grain", "ull"),
    "hls_time": ("4",),
    "seg_duration": ("4",),
    "hls_list_size": ("9",),
    "window_size": ("9",),
    "timeout": ("5000000",),
    "rw_timeout": ("5000000",),
    "x264-params": ("keyint=25:me=umh",),
    "x264opts": ("me=umh",),
    ("input", "c"): ("h264", "aac"),
    "c": ("libx265", "libmp3lame", "dvbsub", "copy"),
    "filter": ("hflip", "volume=-3dB"),
    "map": ("0:v:1", "0:a:1"),
    "hwaccel": ("cuda", "vaapi", "qsv", "auto"),
    "init_hw_device": ("vaapi=card:/dev/dri/renderD129", "cuda=card:1"),
    "hwaccel_output_format": ("cuda", "vaapi", "qsv"),
    "rc_mode": ("CBR",),
    "aq-mode": ("2",),
    "bf": ("2",),
}


def read(args: str, hardware: Hardware = Hardware.NONE, **fields: Any) -> tuple[Arguments, Effect]:
    said = parse(profile(args, hardware_acceleration=hardware, **fields))
    return said, effect_of(said, hardware)


def is_taken(args: str, hardware: Hardware) -> bool:
    return not refusals_of(profile(args, hardware_acceleration=hardware))


def outcome(args: str, hardware: Hardware, **fields: Any) -> tuple[Any, ...]:
    """All that may change on air, and apart from it what is told."""
    said, effect = read(args, hardware, **fields)
    return (replace(effect, notices=()), said.output, said.input_timeout_s), effect.notices


def _wants_cuda(name: str, hardware: Hardware) -> bool:
    """Only filters of hardware want pictures that stay there."""
    return name == "hwaccel_output_format" and hardware is Hardware.NVIDIA


def written(place: str, name: str, specifier: str, value: str | None) -> str:
    word = f"-{name}{SPECIFIERS[specifier]}"
    return word if value is None else f"{word} '{value}'"


CASES = [
    (place, option, specifier)
    for place, table in (("input", INPUT_OPTIONS), ("middle", OUTPUT))
    for option in table.values()
    for specifier in option.specifiers
    if (place, option.name) != ("middle", "f")  # what it says is checked against output_format
]


@pytest.mark.parametrize(("place", "option", "specifier"), CASES, ids=[f"{place}-{each.name}{by}" for place, each, by in CASES])
def test_an_allowed_option_acts_or_says_what_is_so_or_is_told(place: str, option: Any, specifier: str) -> None:
    meaning = (INPUT if place == "input" else MIDDLE)[option.name]
    values = (None,) if option.takes is Takes.NOTHING else TELLING.get((place, option.name)) or TELLING.get(option.name, (option.example,))
    acts, tried = False, 0
    for hardware, coder in CODERS.items():
        codecs = f"-c:v {coder} -c:a aac" + (" -vf yadif_cuda" if _wants_cuda(option.name, hardware) else "")
        for value in values:
            said = written(place, option.name, specifier, value)
            if option.name == "c" and place == "middle":
                codecs = "-c:v libx264" if specifier == "a" else "-c:a aac" if specifier == "v" else CODED if specifier in "sd" else ""
            base = f"{{i}} -i {{{{input_url}}}} {codecs} {{m}} -f mpegts {{{{output_path}}}}"
            args = base.format(i=said if place == "input" else "", m=said if place == "middle" else "")
            if not is_taken(args, hardware):
                continue
            plain = base.format(i="", m="") if is_taken(base.format(i="", m=""), hardware) else after(CODED)
            (with_it, notices), (without, _) = outcome(args, hardware), outcome(plain, hardware)
            is_told = any(each.argument.startswith(f"-{option.name}") and each.reason for each in notices)
            tried += 1
            is_agreed = "*" in meaning.agreed or (value or "").removeprefix("+") in meaning.agreed
            assert with_it != without or is_told or is_agreed or codecs == "", (args, hardware)
            acts = acts or with_it != without
    assert tried
    if meaning.does is not Does.NOTHING and specifier not in ("s", "d"):
        has_sense = not (specifier == "a" and option.name in ("maxrate", "bufsize", "threads", "global_quality", "c"))
        assert acts or not has_sense or (place == "middle" and option.name == "c"), f"-{option.name} is told to act, and was not seen to"


def test_every_option_has_a_row_and_no_other() -> None:
    assert (set(INPUT), set(MIDDLE)) == (set(INPUT_OPTIONS), set(OUTPUT))
    assert all(meaning.told for table in (INPUT, MIDDLE) for meaning in table.values() if meaning.does is Does.NOTHING)
    assert {name for options in ENCODING.values() for name in options} <= set(OUTPUT)


@pytest.mark.parametrize("name", FILTERS)
def test_an_allowed_filter_stands_in_the_chain_or_is_told(name: str) -> None:
    known = FILTERS[name]
    for hardware, coder in CODERS.items():
        args = after(f"-c:v {coder} -c:a aac -filter:{known.medium} '{known.example}'")
        if is_taken(args, hardware):
            _, effect = read(args, hardware)
            chain = effect.picture if known.medium == "v" else effect.sound
            is_told = any(each.argument.endswith(f" {name}") for each in effect.notices)
            assert (name in chain) != is_told, (args, effect)


@pytest.mark.parametrize(("medium", "codec"), [(medium, codec) for medium, codecs in ENCODERS.items() for codec in codecs])
def test_an_allowed_encoder_encodes_or_another_is_named(medium: str, codec: str) -> None:
    hardware = next((each for each, coder in CODERS.items() if coder.partition("_")[2] == codec.partition("_")[2]), Hardware.NONE)
    other = {"v": "-c:a aac", "a": "-c:v libx264"}.get(medium, CODED)
    _, effect = read(after(f"-c:{medium} {codec} {other}"), hardware if "_" in codec and medium == "v" else Hardware.NONE)
    told = [each.reason for each in effect.notices if each.argument == f"-c:{medium} {codec}"]
    acts = effect.encoder == codec or (medium == "v" and codec == "copy" and effect.copies) or (medium == "a" and codec == "aac")
    assert acts != bool(told)
    assert effect.encoder in CODERS.values()


def test_hevc_of_a_card_is_h264_of_that_card() -> None:
    _, effect = read(after("-c:v hevc_vaapi -c:a aac"), Hardware.VAAPI)
    assert effect.encoder == "h264_vaapi"
    assert effect.notices == (Notice("-c:v hevc_vaapi", "the pictures of a channel are H.264, which its slates share: h264_vaapi encodes"),)


def test_where_hardware_is_absent_the_cpu_does_it_and_that_is_told() -> None:
    args = (
        "-hwaccel vaapi -hwaccel_device /dev/dri/renderD128 -hwaccel_output_format vaapi -i {input_url} -c:v h264_vaapi -c:a aac -b:v 2M "
        "-rc_mode CBR -vf 'format=nv12|vaapi,hwupload,deinterlace_vaapi,setpts=PTS' -f mpegts {output_path}"
    )
    said = parse(profile(args, hardware_acceleration=Hardware.VAAPI))
    effect = effect_of(said, Hardware.VAAPI, uses_hardware=False)
    assert (effect.encoder, effect.devices, effect.decoding, effect.upload) == ("libx264", (), (), "")
    assert (effect.picture, effect.bits) == ("format=pix_fmts=nv12", "2M")
    told = {each.argument: each.reason for each in effect.notices}
    assert set(told) == {
        "-hwaccel vaapi",
        "-hwaccel_device /dev/dri/renderD128",
        "-hwaccel_output_format vaapi",
        "-c:v h264_vaapi",
        "-rc_mode CBR",
        "-filter:v hwupload",
        "-filter:v deinterlace_vaapi",
        "-filter:v setpts",
    }
    assert "falls back" in told["-filter:v deinterlace_vaapi"] and "own time" in told["-filter:v setpts"]


def test_filters_of_hardware_have_pictures_there_and_back_again() -> None:
    args = "-hwaccel cuda -hwaccel_output_format cuda -i {input_url} -c:v h264_nvenc -c:a aac -vf {vf} -f mpegts {output_path}"
    _, effect = read(args.replace("{vf}", "yadif_cuda"), Hardware.NVIDIA)
    assert effect.picture == "yadif_cuda,hwdownload,format=nv12"
    assert ("hwaccel_output_format", "cuda") in effect.decoding
    _, effect = read(args.replace("{vf}", "yadif_cuda,hwdownload"), Hardware.NVIDIA)
    assert effect.picture == "yadif_cuda,hwdownload"
    _, effect = read(args.replace("{vf}", "yadif"), Hardware.NVIDIA)
    assert effect.picture == "yadif" and effect.decoding == (("hwaccel", "cuda"),)
    _, effect = read(after("-c:v libx264 -c:a aac -vf 'format=yuv420p,hwdownload'"))
    assert effect.notices == (Notice("-filter:v hwdownload", "there is no hardware in this profile"),)


def test_vaapi_has_a_device_to_encode_with_which_may_be_the_profiles_own() -> None:
    _, effect = read(before("-hwaccel_device /dev/dri/renderD130").replace("-c copy", "-c:v h264_vaapi -c:a aac"), Hardware.VAAPI)
    assert effect.devices == (("init_hw_device", "vaapi=house:/dev/dri/renderD130"), ("filter_hw_device", "house"))
    own = "-init_hw_device vaapi=card:/dev/dri/renderD129 -filter_hw_device card"
    _, effect = read(before(own).replace("-c copy", "-c:v h264_vaapi -c:a aac"), Hardware.VAAPI)
    assert effect.devices == (("init_hw_device", "vaapi=card:/dev/dri/renderD129"), ("filter_hw_device", "card"))
    assert effect.upload == "format=nv12,hwupload"


def test_options_of_another_protocol_are_left_out_in_silence() -> None:
    said = parse(profile(before("-reconnect 1 -rtsp_transport udp -live_start_index -3 -re")))
    assert effect_of(said, Hardware.NONE, url="rtsp://h/x").reading == (("rtsp_transport", "udp"), ("re", None))
    web = effect_of(said, Hardware.NONE, url="http://h/x.m3u8")
    assert web.reading == (("reconnect", "1"), ("live_start_index", "-3"), ("re", None)) and web.notices == ()


@pytest.mark.parametrize(
    ("value", "streams", "is_told"),
    [
        ("0", {}, False),
        ("0?", {}, False),
        ("0:v", {"v": "v:0"}, False),
        ("0:V:1?", {"v": "V:1"}, False),
        ("0:a:m:language:eng?", {"a": "a:m:language:eng"}, False),
        ("0:p:101", {"v": "p:101:v:0", "a": "p:101:a:0"}, False),
        ("0:p:101:a:1", {"a": "p:101:a:1"}, False),
        ("0:m:language:ger", {"v": "v:m:language:ger", "a": "a:m:language:ger"}, False),
        ("0:3", {}, True),
        ("-0:s", {}, True),
        ("0:s:0", {}, True),
    ],
)
def test_a_map_chooses_one_picture_or_one_sound(value: str, streams: dict[str, str], is_told: bool) -> None:
    assert (chosen(value)[0], bool(chosen(value)[1])) == (streams, is_told)
    assert OUTPUT["map"].value is not None and OUTPUT["map"].value.accepts(value)


def test_of_several_the_first_counts_and_the_others_are_told() -> None:
    _, effect = read(after(f"-map 0:v:1 -map 0:a:2 -map 0:v:0 {CODED} -b:v:1 3M -g 50 -x264-params keyint=25:ref=4:scenecut=0"))
    assert (effect.picture_stream, effect.sound_stream, effect.bits, effect.gop_frames) == ("v:1", "a:2", None, 25)
    assert [each.argument for each in effect.notices] == ["-map 0:v:0", "-b:v:1 3M", "-x264-params ref=4"]


def test_keys_of_x264_have_no_meaning_for_hardware() -> None:
    _, effect = read(
        after("-c:v h264_nvenc -c:a copy -x264-params me=umh -force_key_frames source -tune film -preset veryslow"), Hardware.NVIDIA
    )
    assert [each.argument for each in effect.notices] == [
        "-c:a copy",
        "-x264-params me=umh",
        "-force_key_frames source",
        "-tune film",
        "-preset veryslow",
    ]
    _, effect = read(after("-c:v libx264 -c:a aac -preset placebo -tune ull"))
    assert len(effect.notices) == 2


def test_what_is_copied_says_so_and_keeps_what_reads_it() -> None:
    _, effect = read(before("-fflags +genpts -threads 2"))
    assert effect.copies and (effect.reading, effect.decoding) == ((("fflags", "+genpts"),), (("threads", "2"),))
    assert read(COPY)[1] == Effect(copies=True)
