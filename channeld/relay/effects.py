"""What a profile does on air: what FFmpeg is given, which settings of the channel it changes, what has no effect, and why not.

Rule: every argument is in one of these; nothing is left out in silence, but options of another protocol than the upstream's. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from channeld.relay import effect_streams as streams
from channeld.relay.arguments import Arguments
from channeld.relay.effect_filters import hardware_words, said_chain
from channeld.relay.effect_table import (
    ENCODING,
    FIXED,
    HOUSE_PRESETS,
    HOUSE_TUNES,
    INPUT,
    MIDDLE,
    NVENC,
    QSV,
    VAAPI,
    X264,
    X264_AGREED,
    X264_PARAMS,
    Does,
    Meaning,
)
from channeld.relay.hardware import FIRST_DEVICE
from channeld.relay.options import INPUT as INPUT_OPTIONS
from channeld.relay.options import OUTPUT, PROTOCOLS, Option, Takes
from channeld.relay.profile import Hardware

Pairs = tuple[tuple[str, str | None], ...]
ENCODERS = {Hardware.NONE: X264, Hardware.NVIDIA: NVENC, Hardware.VAAPI: VAAPI, Hardware.QSV: QSV}
_ABSENT = "the hardware is not there, and it falls back to software"
_SETTINGS = {
    "s": ("size", ""), "r": ("rate", ""), "b": ("bits", "sound_bits"), "maxrate": ("max_bits", ""), "bufsize": ("buffer_bits", ""),
}  # fmt: skip
"""Fields of an effect that hold what an option of pictures, or of sound, was given."""
_FIRST = "one picture and one sound air: say it of the first"


@dataclass(frozen=True, slots=True)
class Notice:
    """An argument that has no effect on air, and why."""

    argument: str
    reason: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What FFmpeg gets (see media.treatment, whose fields these are), and settings: None where nothing is said of one."""

    devices: Pairs = ()
    reading: Pairs = ()
    decoding: Pairs = ()
    picture_stream: str = "v:0"
    sound_stream: str = "a:0"
    has_sound: bool = True
    picture: str = ""
    sound: str = ""
    upload: str = ""
    encoder: str = X264
    encoding: Pairs = ()
    x264_params: Pairs = ()
    copies: bool = False
    size: str | None = None
    rate: str | None = None
    bits: str | None = None
    sound_bits: str | None = None
    max_bits: str | None = None
    buffer_bits: str | None = None
    preset: str | None = None
    tune: str | None = None
    gop_frames: int | None = None
    gop_s: float | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Found:
    """What was gathered so far."""

    values: dict[str, object] = field(default_factory=dict)
    devices: list[tuple[str, str | None]] = field(default_factory=list)
    reading: dict[str, str | None] = field(default_factory=dict)
    decoding: dict[str, str | None] = field(default_factory=dict)
    encoding: dict[str, str | None] = field(default_factory=dict)
    params: dict[str, str | None] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    has_maps: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Said:
    """One argument: the option, for which medium (nothing: for all), and its value."""

    option: Option
    word: str
    medium: str
    is_first: bool
    value: str | None

    @property
    def shown(self) -> str:
        return self.word if self.value is None else f"{self.word} {self.value}"


def effect_of(said: Arguments, hardware: Hardware, *, url: str | None = None, uses_hardware: bool = True) -> Effect:
    """What these arguments do. `url` None: whatever the upstream is; `uses_hardware` False: the profile's hardware is not there."""
    return _Reading(said, Hardware(hardware), url, uses_hardware).effect()


class _Reading:
    """One walk over the arguments."""

    def __init__(self, said: Arguments, hardware: Hardware, url: str | None, uses_hardware: bool) -> None:
        self._said, self._hardware, self._url = said, hardware, url
        self._is_absent = hardware is not Hardware.NONE and not uses_hardware
        self._found = _Found()
        codec = _last(said.middle, "c", "v") or ""
        self._copies = codec == "copy"
        self._encoder = ENCODERS[hardware] if uses_hardware and codec.endswith(("_nvenc", "_vaapi", "_qsv")) else X264

    def effect(self) -> Effect:
        found = self._found
        for each in _arguments(self._said.input_options, is_input=True):
            self._read_input(each)
        for each in _arguments(self._said.middle, is_input=False):
            self._read_middle(each)
        for word, value in self._said.replaced:
            self._read_replaced(word, value)
        self._prepare_hardware()
        return Effect(
            devices=tuple(found.devices),
            reading=tuple(found.reading.items()),
            decoding=tuple(found.decoding.items()),
            encoder=self._encoder,
            encoding=tuple(found.encoding.items()),
            x264_params=tuple(found.params.items()),
            copies=self._copies,
            notices=tuple(dict.fromkeys(found.notices)),
            **found.values,  # type: ignore[arg-type]
        )

    def _no(self, said: _Said, reason: str) -> None:
        self._found.notices.append(Notice(said.shown, reason))

    def _disagree(self, said: _Said, meaning: Meaning) -> None:
        value = (said.value or "").removeprefix("+")
        if "*" not in meaning.agreed and not set(value.split("+")) <= meaning.agreed:
            self._no(said, meaning.told)

    # -- before -i ----------------------------------------------------------------------------------------------

    def _read_input(self, said: _Said) -> None:
        name, meaning = said.option.name, INPUT[said.option.name]
        if meaning.does is Does.NOTHING:
            return self._disagree(said, meaning)
        if not self._is_known(said.option):
            return None
        if self._is_absent and (hardware_words(said.shown) or name in ("hwaccel", "hwaccel_device", "extra_hw_frames", "filter_hw_device")):
            return self._no(said, _ABSENT)
        if name in ("init_hw_device", "filter_hw_device", "vaapi_device"):
            self._found.devices.append((name, said.value))
        elif meaning.does is Does.READS:
            self._found.reading[said.word[1:]] = said.value
        else:
            self._found.decoding[name if name.startswith("hwaccel") else said.word[1:]] = said.value
        return None

    def _is_known(self, option: Option) -> bool:
        """Whether FFmpeg knows it with this upstream."""
        if not option.protocol or self._url is None:
            return True
        parts = urlsplit(self._url)
        is_hls = parts.path.endswith(".m3u8") or ("f", "hls") in self._found.reading.items()
        return parts.scheme in PROTOCOLS[option.protocol] and (option.protocol != "hls" or is_hls)

    # -- after -i -----------------------------------------------------------------------------------------------

    def _read_middle(self, said: _Said) -> None:
        name, meaning = said.option.name, MIDDLE[said.option.name]
        if not said.is_first and name not in ("map", "metadata"):
            return self._no(said, _FIRST)
        if name == "c":
            return self._read_codec(said)
        if meaning.does is Does.NOTHING:
            return self._disagree(said, meaning)
        if said.medium == "a" and name in ("maxrate", "bufsize", "threads", "global_quality"):
            return self._no(said, "sound has the constant bit rate that -b:a says")
        return _READERS.get(name, _Reading._read_encoding)(self, said)

    def _read_codec(self, said: _Said) -> None:
        value = said.value or ""
        if said.medium in ("s", "d"):
            self._no(said, "one picture and one sound air, and nothing beside them")
        elif said.medium == "v" and value not in ("copy", X264, self._encoder):
            reason = _ABSENT if self._is_absent and hardware_words(value) else "the pictures of a channel are H.264, which its slates share"
            self._no(said, f"{reason}: {self._encoder} encodes")
        elif said.medium == "a" and value == "copy" and not self._copies:
            self._no(said, "pictures that are encoded have their sound encoded too: aac encodes")
        elif said.medium == "a" and value not in ("copy", "aac"):
            self._no(said, "the sound of a channel is AAC: FFmpeg's own aac encodes")

    def _read_encoding(self, said: _Said) -> None:
        name, value = said.option.name, said.value
        if name in ("aac_coder", "cutoff"):
            self._found.encoding[name] = value
            return
        takes = ENCODING[self._encoder].get(name)
        if takes is None or (takes and value not in takes):
            self._no(
                said, f"{self._encoder} encodes, and takes no such option here" if takes is None else f"{self._encoder} takes no such value"
            )
        else:
            self._found.encoding["threads:v" if name == "threads" else name] = value

    def _read_filter(self, said: _Said) -> None:
        is_hardware = not self._is_absent and self._hardware is not Hardware.NONE
        absent = {"absent": _ABSENT} if self._is_absent else {}
        chain = said_chain(said.value or "", said.medium, has_hardware=is_hardware, **absent)
        self._found.notices += [Notice(f"{said.word} {name}", why) for name, why in chain.left_out]
        self._found.values["picture" if said.medium == "v" else "sound"] = chain.text
        if chain.is_on_hardware:
            return
        if (form := self._found.decoding.pop("hwaccel_output_format", None)) and said.medium == "v":
            self._found.notices.append(Notice(f"-hwaccel_output_format {form}", INPUT["hwaccel_output_format"].told))

    def _read_map(self, said: _Said) -> None:
        chosen, reason = streams.chosen(said.value or "")
        for medium, stream in chosen.items():
            if medium in self._found.has_maps:
                reason = "one picture and one sound air: those that are named first"
            else:
                self._found.has_maps.add(medium)
                self._found.values["picture_stream" if medium == "v" else "sound_stream"] = stream
        if reason:
            self._no(said, reason)

    def _read_an(self, said: _Said) -> None:
        self._found.values["has_sound"] = False

    def _read_setting(self, said: _Said) -> None:
        video, audio = _SETTINGS[said.option.name]
        self._found.values[audio if said.medium == "a" else video] = said.value

    def _read_preset(self, said: _Said) -> None:
        if self._encoder != X264:
            self._read_encoding(said)
        elif said.value in HOUSE_PRESETS:
            self._found.values["preset"] = said.value
        else:
            self._no(said, "x264 encodes: it has no such preset, or takes longer than the picture lasts")

    def _read_tune(self, said: _Said) -> None:
        if self._encoder != X264:
            self._read_encoding(said)
        elif said.value in HOUSE_TUNES:
            self._found.values["tune"] = said.value
        else:
            self._no(said, "x264 encodes: it has no such tune")

    def _read_g(self, said: _Said) -> None:
        self._shorten(int(said.value or 0))

    def _read_force_key_frames(self, said: _Said) -> None:
        found = (said.value or "").partition("n_forced*")[2].rstrip(")")
        if found and float(found) > 0:
            self._found.values["gop_s"] = float(found)
        else:
            self._no(said, MIDDLE["keyint_min"].told)

    def _shorten(self, frames: int) -> None:
        before = self._found.values.get("gop_frames")
        self._found.values["gop_frames"] = frames if before is None else min(frames, int(str(before)))

    def _read_x264(self, said: _Said) -> None:
        for pair in (said.value or "").split(":"):
            key, _, value = pair.partition("=")
            if self._encoder != X264:
                self._found.notices.append(Notice(f"{said.word} {pair}", f"{self._encoder} encodes"))
            elif key == "keyint":
                self._shorten(int(value))
            elif key in X264_PARAMS:
                self._found.params["merange" if key == "me-range" else key] = value
            elif (key, value) not in X264_AGREED:
                self._found.notices.append(Notice(f"{said.word} {pair}", "it shapes what the channel's slates share, or is no key of x264"))

    def _read_replaced(self, word: str, value: str) -> None:
        name = word.removeprefix("-")
        table = MIDDLE if name in MIDDLE else INPUT
        option = (OUTPUT if name in OUTPUT else INPUT_OPTIONS)[name]
        if table[name].does is Does.NOTHING:
            self._disagree(_Said(option, f"-{name}", "", True, value or None), table[name])

    # -- hardware -----------------------------------------------------------------------------------------------

    def _prepare_hardware(self) -> None:
        found = self._found
        if "picture" not in found.values and (form := found.decoding.pop("hwaccel_output_format", None)):
            found.notices.append(Notice(f"-hwaccel_output_format {form}", INPUT["hwaccel_output_format"].told))
        if self._encoder == X264:
            return
        found.encoding = {**dict(FIXED[self._encoder]), **found.encoding}
        has_device = any(name in ("init_hw_device", "vaapi_device") for name, _ in found.devices)
        if self._encoder == VAAPI:
            found.values["upload"] = "format=nv12,hwupload"
            if not has_device:
                found.devices[:0] = [("init_hw_device", f"vaapi=house:{device_of(self._said)}"), ("filter_hw_device", "house")]
        elif self._encoder == QSV:
            found.values["upload"] = "format=nv12"


def device_of(said: Arguments) -> str:
    """The render node that the arguments name, or the first."""
    words = " ".join(said.input_options).replace(":", " ").split()
    return next((word for word in words if word.startswith("/dev/dri/")), FIRST_DEVICE)


def _arguments(words: tuple[str, ...], *, is_input: bool) -> Iterator[_Said]:
    at = 0
    while at < len(words):
        name, _, specifier = words[at][1:].partition(":")
        option = (INPUT_OPTIONS if is_input else OUTPUT)[name]
        medium, _, number = specifier.partition(":")
        value = None if option.takes is Takes.NOTHING else words[at + 1]
        yield _Said(option, words[at], medium, number in ("", "0"), value)
        at += 1 if option.takes is Takes.NOTHING else 2


def _last(words: tuple[str, ...], option: str, medium: str) -> str | None:
    found = [
        each for each in _arguments(words, is_input=False) if each.option.name == option and each.medium in ("", medium) and each.is_first
    ]
    return found[-1].value if found else None


_READERS: Mapping[str, Callable[[_Reading, _Said], None]] = {
    "filter": _Reading._read_filter,
    "map": _Reading._read_map,
    "an": _Reading._read_an,
    "preset": _Reading._read_preset,
    "tune": _Reading._read_tune,
    "g": _Reading._read_g,
    "force_key_frames": _Reading._read_force_key_frames,
    "x264-params": _Reading._read_x264,
    "x264opts": _Reading._read_x264,
    **dict.fromkeys(_SETTINGS, _Reading._read_setting),
}
"""Who reads an option that is not the encoder's own."""
