"""What a relay's profile has done with a live source, by real FFmpeg: its filters act, and the house format holds whatever it says."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from channeld.base.units import FrameRate
from channeld.media.ffmpeg_args import live_args, live_copy_args
from channeld.media.live_input import LiveInput
from channeld.media.profile import Profile
from channeld.media.tools import Tools
from channeld.media.treatment import NO_TREATMENT, Treatment
from channeld.relay.arguments import parse
from channeld.relay.effect_table import X264_PARAMS
from channeld.relay.effects import effect_of
from channeld.relay.profile import Hardware, RelayProfile
from channeld.ts import packet as tsp
from channeld.ts.conform import StreamRules
from channeld.ts.live_conform import LiveConformer
from channeld.ts.nal import ParameterSets

HOUSE = Profile("house", 320, 180, FrameRate(25, 1), 400_000, 96_000, gop_seconds=0.4)
# Both x264's quickest way and one whose psychovisual options move numbers in the picture parameter set.
PRESETS = ("veryfast", "medium")
PARAMS = {
    "rc-lookahead": "12", "sync-lookahead": "2", "threads": "2", "lookahead-threads": "1", "me": "umh", "merange": "20", "qpmin": "12",
    "qpmax": "44", "qpstep": "3", "ratetol": "1.5", "ipratio": "1.3", "pbratio": "1.2", "qcomp": "0.7", "vbv-init": "0.8", "aq-mode": "2",
    "aq-strength": "0.8", "crf": "24", "mbtree": "0", "slices": "2", "sliced-threads": "1", "deterministic": "0", "b-adapt": "2",
    "deblock": "1,1",
}  # fmt: skip


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: the left half white, the right one black; a tone at full scale."""
    path = tmp_path_factory.mktemp("upstream") / "up.ts"
    picture = "color=black:s=320x180:r=25,drawbox=x=0:y=0:w=160:h=180:color=white:t=fill"
    made = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        picture,
        "-f",
        "lavfi",
        "-i",
        "aevalsrc=sin(2*PI*440*t):s=48000:c=stereo",
        "-t",
        "2",
    ]
    subprocess.run([*made, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpegts", str(path)], check=True, timeout=60)
    return path


def treated(args: str) -> Treatment:
    """The treatment of a profile with these arguments after -i."""
    said = parse(RelayProfile("p", "P", f"-i {{input_url}} {args} -f mpegts {{output_path}}"))
    effect = effect_of(said, Hardware.NONE)
    assert effect.notices == ()
    return Treatment(**{name: getattr(effect, name) for name in Treatment.__dataclass_fields__})


def made(upstream: Path, treatment: Treatment, profile: Profile = HOUSE, *, has_sound: bool = True) -> bytes:
    argv = live_args(LiveInput(str(upstream)), profile, Tools("ffmpeg", "ffprobe"), has_sound=has_sound, treatment=treatment)
    argv[-1:-1] = ["-t", "1.5"]
    return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout


def halves(stream: bytes) -> tuple[int, int]:
    """Brightness of the left and the right half of the first picture."""
    argv = ["ffmpeg", "-v", "error", "-i", "-", "-frames:v", "1", "-vf", "scale=2:1:flags=area", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    left, right = subprocess.run(argv, input=stream, capture_output=True, check=True, timeout=60).stdout
    return left, right


def peak_db(stream: bytes) -> float:
    argv = ["ffmpeg", "-hide_banner", "-i", "-", "-af", "volumedetect", "-vn", "-f", "null", "-"]
    told = subprocess.run(argv, input=stream, capture_output=True, check=True, timeout=60).stderr.decode()
    return float(told.partition("max_volume: ")[2].split(" dB")[0])


def sets_of(stream: bytes, profile: Profile = HOUSE, sets: ParameterSets | None = None) -> ParameterSets:
    """Those of a stream that the gate lets through, as it airs."""
    gate = LiveConformer(StreamRules(profile.fps, profile.gop_frames, 1, parameter_sets=sets))
    blocks = gate.feed(stream)
    assert sum(len(block.video) for block in blocks) >= 25
    assert gate.parameter_sets is not None
    return gate.parameter_sets


def test_filters_of_a_profile_act_before_the_house_format_is_made(upstream: Path) -> None:
    plain = made(upstream, NO_TREATMENT)
    left, right = halves(plain)
    assert left > 200 > 50 > right
    own = made(upstream, treated("-vf hflip,scale=640:480,fps=10 -af volume=-20dB,aformat=channel_layouts=mono -c:v libx264 -c:a aac"))
    left, right = halves(own)
    assert right > 200 > 50 > left
    assert peak_db(plain) - peak_db(own) == pytest.approx(20, abs=2)
    assert sets_of(own, sets=sets_of(plain)) == sets_of(plain)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_an_encoder_is_told_leaves_the_parameter_sets_alone(upstream: Path, preset: str) -> None:
    assert set(PARAMS) | {"me-range"} == X264_PARAMS
    profile = replace(HOUSE, preset=preset)
    said = ":".join(f"{key}={value}" for key, value in PARAMS.items())
    own = treated(f"-c:v libx264 -qmin 11 -qmax 45 -threads 2 -x264-params {said} -c:a aac -aac_coder fast -cutoff 12000")
    reference = sets_of(made(upstream, NO_TREATMENT, profile), profile)
    assert sets_of(made(upstream, own, profile), profile, reference) == reference


@pytest.mark.parametrize("tune", ["zerolatency", "grain", "fastdecode"])
def test_a_tune_is_of_the_house_format_as_it_shapes_the_parameter_sets(upstream: Path, tune: str) -> None:
    assert sets_of(made(upstream, NO_TREATMENT, replace(HOUSE, tune=tune)), replace(HOUSE, tune=tune))


def test_sound_that_is_left_out_or_is_not_there_is_not_encoded(upstream: Path) -> None:
    for stream in (
        made(upstream, treated("-c:v libx264 -an")),
        made(upstream, treated("-c:v libx264 -c:a aac -aac_coder fast -cutoff 12000 -af volume=-20dB"), has_sound=False),
    ):
        assert set(tsp.pids(tsp.as_packets(stream)).tolist()) & {tsp.VIDEO_PID, tsp.AUDIO_PID} == {tsp.VIDEO_PID}


def test_a_copied_source_is_read_as_the_profile_says_and_neither_filtered_nor_decoded() -> None:
    own = Treatment(reading=(("fflags", "+genpts"),), decoding=(("threads", "2"),), picture="hflip", sound_stream="a:1")
    argv = live_copy_args(LiveInput("udp://239.0.0.1:1"), Tools("ffmpeg", None), own)
    assert argv[argv.index("-fflags") + 1] == "+genpts" and "-threads" not in argv and "hflip" not in " ".join(argv)
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "-map"] == ["0:v:0", "0:a:1"]


def test_hardware_encodes_with_its_own_options_and_a_device_that_stands_first() -> None:
    own = Treatment(
        devices=(("init_hw_device", "vaapi=house:/dev/dri/renderD128"), ("filter_hw_device", "house")),
        decoding=(("hwaccel", "vaapi"),),
        upload="format=nv12,hwupload",
        encoder="h264_vaapi",
        encoding=(("rc_mode", "CBR"),),
    )
    argv = live_args(LiveInput("udp://239.0.0.1:1"), HOUSE, Tools("ffmpeg", None), has_sound=True, treatment=own)
    assert argv.index("-init_hw_device") < argv.index("-filter_hw_device") < argv.index("-i")
    assert argv[argv.index("-c:v") + 1] == "h264_vaapi" and argv[argv.index("-rc_mode") + 1] == "CBR"
    assert argv[argv.index("-filter:v") + 1].endswith(f"fps=fps={HOUSE.fps},format=nv12,hwupload")
    assert not {"-preset", "-level", "-x264-params", "-a53cc"} & set(argv)
    assert (argv[argv.index("-g") + 1], argv[argv.index("-bf") + 1]) == ("10", "0")


def test_it_crosses_the_wire_as_it_is() -> None:
    own = Treatment(devices=(("vaapi_device", "/dev/dri/renderD128"),), reading=(("re", None),), picture="hflip", has_sound=False)
    assert Treatment.from_message(json.loads(json.dumps(own.message()))) == own
    with pytest.raises(TypeError):
        Treatment.from_message({"shell": "rm"})
