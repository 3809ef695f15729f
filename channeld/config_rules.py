"""From checked keys to values: paths, secrets, names, and the rules that span keys.

Rule: a fault never stops the others from being found; each is noted at the place of the key that has to change, and no
message shows a URL's secret. Environment variables count in the URLs and key files of outputs and of those who are told, nowhere else.
Run by `config.load`.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from channeld.base.redact import MASK, redact_url
from channeld.base.tls import TlsSpec
from channeld.config_model import (
    ChannelModel,
    ConfigModel,
    NamedPipeModel,
    OutputEntry,
    OutputModel,
    ProfileModel,
    RtmpModel,
    SrtModel,
    TlsModel,
)
from channeld.config_outputs import DashSpec, HlsSpec, OutputSpec, PushSpec, RtmpSpec, SegmentedSpec, SrtSpec, TsSpec
from channeld.config_pipes import make_pipe, refuse_shared_paths
from channeld.config_schedule import make_timetable
from channeld.config_sources import failover_of, idle_of, make_sources
from channeld.config_types import BUILT_IN_PROFILE
from channeld.config_values import ChannelSpec
from channeld.config_yaml import KeyPath, PlacedError, Tree, key_text
from channeld.media.profile import Profile
from channeld.outputs.push_srt import PASSPHRASE_LENGTHS, STREAM_ID_LENGTH, SrtLink
from channeld.ts.nal import VideoCodec

MAX_KEY_BYTES = 512
"""No platform's key is longer, and FFmpeg takes no longer one."""
CREDENTIAL = "credential:"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PUSH_SCHEMES = ("rtmp", "rtmps")


@dataclass(slots=True)
class Findings:
    """The file that is read, and the faults found in it. Faults of keys that were already refused are not told twice."""

    path: Path
    tree: Tree
    environ: Mapping[str, str]
    refused: frozenset[KeyPath] = frozenset()
    errors: list[PlacedError] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """What relative paths start at."""
        return self.path.absolute().parent

    def fault(self, key: KeyPath, message: str) -> None:
        """Note a fault of a key's value."""
        if key not in self.refused:
            self.errors.append(PlacedError(message, path=self.path, place=self.tree.value_place(key), key=key_text(key)))

    def absolute(self, text: str) -> Path:
        """A path of the file, made absolute; links stay unresolved, because they may be swapped while on air."""
        return (self.folder / Path(text).expanduser()).absolute()

    def expand(self, key: KeyPath, text: str) -> str:
        """Put in the environment variables that a text names as `${NAME}`."""
        for name in sorted(set(_VARIABLE.findall(text)) - set(self.environ)):
            self.fault(key, f"the environment variable {name} is not set. Set it for the daemon, or name a file")
        return _VARIABLE.sub(lambda match: self.environ.get(match[1], ""), text)


def make_profiles(found: Findings, model: ConfigModel) -> dict[str, Profile]:
    """Every profile by name; the built-in one is there unless the file redefines it."""
    profiles: dict[str, Profile] = {}
    for name, keys in ({BUILT_IN_PROFILE: ProfileModel()} | model.profiles).items():
        try:
            profiles[name] = Profile(name=name, **dict(keys) | {"preset": keys.preset.value})
            _ = profiles[name].level
        except ValueError as error:
            found.fault(("profiles", name), f"{str(error).removeprefix(f'profile {name}: ')}. Lower the size, the rate or the bitrate")
    return profiles


def make_database(found: Findings, text: str) -> str:
    """The database's URL; it may hold a password and never stands in a message."""
    url = found.expand(("database",), text)
    if re.fullmatch(r"postgresql(\+psycopg)?://[^/\s]*/[^\s]+", url) is None:
        found.fault(("database",), "not a database. Write postgresql://user@host/name, or null for SQLite in state_dir")
    return url


def make_tls(found: Findings, tls: TlsModel | None) -> TlsSpec | None:
    """Certificate and key with absolute paths."""
    return None if tls is None else TlsSpec(found.absolute(tls.cert), found.absolute(tls.key))


def make_channels(found: Findings, model: ConfigModel) -> dict[str, ChannelSpec]:
    """Every channel, with the rules between its keys checked."""
    check_listeners(found, model)
    channels = {channel_id: _channel(found, channel_id, channel, model) for channel_id, channel in model.channels.items()}
    _refuse_shared_targets(found, channels)
    refuse_shared_paths(found, channels.values())
    return channels


def check_listeners(found: Findings, model: ConfigModel) -> None:
    """Admin and viewers have a listener each; port 0 means any free one."""
    if model.admin.listen == model.media.listen and model.admin.listen.port:
        found.fault(("media", "listen"), f"{model.media.listen} is also admin.listen. Give viewers another port")
    if model.defaults.profile not in _profile_names(found, model):
        found.fault(("defaults", "profile"), _unknown_profile(found, model, model.defaults.profile))


def _profile_names(found: Findings, model: ConfigModel) -> set[str]:
    written = {str(key[1]) for key in found.tree.keys if len(key) == 2 and key[0] == "profiles"}
    return written | set(model.profiles) | {BUILT_IN_PROFILE}


def _unknown_profile(found: Findings, model: ConfigModel, name: str) -> str:
    usable = ", ".join(sorted(known for known in _profile_names(found, model) if ("profiles", known) not in found.refused))
    return f"there is no profile {name!r}. Use one of {usable}, or add it under profiles"


def _channel(found: Findings, channel_id: str, channel: ChannelModel, model: ConfigModel) -> ChannelSpec:
    here: KeyPath = ("channels", channel_id)
    profile = channel.profile or model.defaults.profile
    if channel.profile is not None and profile not in _profile_names(found, model):
        found.fault((*here, "profile"), _unknown_profile(found, model, profile))
    playlist = found.absolute(channel.playlist or f"playlists/{channel_id}.m3u")
    roots = (playlist if playlist.is_dir() else playlist.parent, *map(found.absolute, [*channel.media_roots, *model.media_roots]))
    uploads = roots[0] if channel.uploads is None else found.absolute(channel.uploads)
    if not any(uploads.resolve().is_relative_to(root.resolve()) for root in roots):
        found.fault(
            (*here, "uploads"),
            f"{uploads} is below none of the channel's media roots: what is sent there could not air. Add it to media_roots",
        )
    folders = {key: found.absolute(getattr(model, key)) for key in ("runtime_dir", "state_dir", "hls_dir")}
    outputs = _outputs(found, here, channel.outputs, folders)
    if profile in model.profiles or profile == BUILT_IN_PROFILE:
        keys = model.profiles.get(profile, ProfileModel())
        _check_segments(found, here, outputs, keys, profile)
        _check_codec(found, here, outputs, keys, profile)
    return ChannelSpec(
        id=channel_id,
        name=channel.name or channel_id,
        enabled=channel.enabled,
        playlist=playlist,
        order=channel.order,
        shuffle_seed=channel.shuffle_seed,
        timeline_start=channel.timeline_start,
        ring_s=channel.ring_seconds,
        filler=found.absolute(channel.filler) if channel.filler else None,
        resume=channel.resume,
        on_outage=channel.on_outage,
        media_roots=tuple(dict.fromkeys(roots)),
        uploads=uploads,
        profile=profile,
        outputs=outputs,
        number=channel.number,
        logo=channel.logo,
        group=channel.group,
        sources=make_sources(found, here, channel),
        failover=failover_of(found, here, channel),
        timetable=make_timetable(found, here, channel),
        idle_s=idle_of(found, here, channel, model.relay.default_timeout_seconds),
        has_list=channel.playlist is not None or not channel.sources,
    )


def _check_segments(found: Findings, here: KeyPath, outputs: tuple[OutputSpec, ...], profile: ProfileModel, name: str) -> None:
    """A segment ends at a random access point, and there is one at the start of each GOP only."""
    for number, output in enumerate(outputs):
        if isinstance(output, SegmentedSpec) and profile.gop_seconds > output.segment_s:
            message = (
                f"segments of {output.segment_s:g} s are shorter than the GOP of profile {name} ({profile.gop_seconds:g} s). "
                f"Write {profile.gop_seconds:g} or more, or lower profiles.{name}.gop_seconds"
            )
            if ("profiles", name, "gop_seconds") not in found.refused:
                found.fault((*here, "outputs", number, output.type, "segment_seconds"), message)


def _check_codec(found: Findings, here: KeyPath, outputs: tuple[OutputSpec, ...], profile: ProfileModel, name: str) -> None:
    """FLV, which RTMP speaks, has no place for H.265 that FFmpeg and servers of today agree on."""
    if profile.codec is VideoCodec.H264:
        return
    message = (
        f"RTMP does not carry H.265, which profile {name} has. Push by srt, serve hls, dash or ts (named pipes and "
        f"local readers get it, too), or write codec: h264 in a profile for this channel"
    )
    for number, output in enumerate(outputs):
        if isinstance(output, RtmpSpec):
            found.fault((*here, "outputs", number, output.type), message)


def _outputs(found: Findings, here: KeyPath, entries: list[OutputEntry], folders: dict[str, Path]) -> tuple[OutputSpec, ...]:
    names = _output_names(found, here, entries)
    outputs: list[OutputSpec] = []
    for number, entry in enumerate(entries):
        kind, model = _kind(entry)
        place = (*here, "outputs", number, kind)
        if isinstance(model, NamedPipeModel):
            outputs.append(make_pipe(found, place, names[number], model, folders))
            continue
        if not isinstance(model, RtmpModel | SrtModel) and any(output.type == kind for output in outputs):
            found.fault(place, f"a channel has one address for {kind}. Remove this second {kind} output")
        outputs.append(_output(found, place, names[number], model, entry))
    return tuple(outputs)


def _kind(entry: OutputEntry) -> tuple[str, OutputModel]:
    return next((kind, model) for kind in OutputEntry.model_fields if (model := getattr(entry, kind)) is not None)


def _output(found: Findings, place: KeyPath, name: str, model: OutputModel, entry: OutputEntry) -> OutputSpec:
    if isinstance(model, RtmpModel):
        return _rtmp(found, place, name, model)
    if isinstance(model, SrtModel):
        return _srt(found, place, name, model)
    if entry.hls is not None:
        return HlsSpec(name, model.enabled, entry.hls.segment_seconds, entry.hls.window)
    if entry.dash is not None:
        return DashSpec(name, model.enabled, entry.dash.segment_seconds, entry.dash.window)
    return TsSpec(name, model.enabled)


def _output_names(found: Findings, here: KeyPath, entries: list[OutputEntry]) -> list[str]:
    """Names as written; an output without one is named for its type, then `type-2` and so on."""
    taken: set[str] = set()
    for number, entry in enumerate(entries):
        kind, model = _kind(entry)
        if model.name in taken:
            found.fault(
                (*here, "outputs", number, kind, "name"), f"another output of this channel is named {model.name!r}. Choose another name"
            )
        taken |= {model.name} if model.name else set()
    names: list[str] = []
    for entry in entries:
        kind, model = _kind(entry)
        free = (kind if number == 1 else f"{kind}-{number}" for number in range(1, len(entries) + len(taken) + 2))
        names.append(model.name or next(name for name in free if name not in taken))
        taken.add(names[-1])
    return names


def _rtmp(found: Findings, place: KeyPath, name: str, model: RtmpModel) -> RtmpSpec:
    base = found.expand((*place, "url"), model.url)
    check_url(found, (*place, "url"), base, _PUSH_SCHEMES)
    url, shown, key_path = base, redact_url(base), None
    if model.key_file is not None:
        key, key_path = secret_in(found, (*place, "key_file"), found.expand((*place, "key_file"), model.key_file))
        key = key.lstrip("/")
        url, shown = _with_key(base, key), _with_key(redact_url(base), MASK)
    pages = {}
    for field_name, text in (("control", model.control), ("manifest", model.manifest)):
        pages[field_name] = None if text is None else found.expand((*place, field_name), text)
        if text is not None:
            check_url(found, (*place, field_name), pages[field_name] or "", ("http", "https"))
    ca_file = None if model.ca_file is None else found.absolute(model.ca_file)
    return RtmpSpec(name, model.enabled, url, shown, pages["control"], pages["manifest"], key_path, model.tls_verify, ca_file)


def _srt(found: Findings, place: KeyPath, name: str, model: SrtModel) -> SrtSpec:
    url = found.expand((*place, "url"), model.url)
    _check_srt_url(found, (*place, "url"), url, model.mode)
    secret, key_path = None if model.passphrase is None else found.expand((*place, "passphrase"), model.passphrase), None
    if model.key_file is not None:
        if secret is not None:
            found.fault((*place, "key_file"), "the passphrase is written beside it. Keep one of passphrase and key_file")
        secret, key_path = secret_in(found, (*place, "key_file"), found.expand((*place, "key_file"), model.key_file), "passphrase")
    if secret not in (None, MASK) and not (len(secret) in PASSPHRASE_LENGTHS and secret.isascii() and secret.isprintable()):
        shortest, longest = PASSPHRASE_LENGTHS[0], PASSPHRASE_LENGTHS[-1]
        found.fault(
            (*place, "passphrase" if key_path is None else "key_file"),
            f"not a passphrase that SRT takes. It has {shortest} to {longest} printable ASCII characters",
        )
    stream_id = None if model.streamid is None else found.expand((*place, "streamid"), model.streamid)
    if stream_id is not None and not (0 < len(stream_id.encode()) <= STREAM_ID_LENGTH and stream_id.isprintable()):
        found.fault((*place, "streamid"), f"not a stream id that SRT takes. It has 1 to {STREAM_ID_LENGTH} printable characters")
    if stream_id is not None and model.mode == "listener":
        found.fault((*place, "streamid"), "a listener is told the caller's stream id and has none. Remove it, or write `mode: caller`")
    return SrtSpec(name, model.enabled, url, SrtLink(model.mode, model.latency_ms, secret, stream_id), key_path)


def _check_srt_url(found: Findings, key: KeyPath, url: str, mode: str) -> None:
    """Host and port and nothing else: what other programs write behind `?` are keys here, and a passphrase there would show."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "srt" and bool(parts.hostname or mode == "listener") and bool(parts.port) and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", url):
        found.fault(key, "not a usable URL. Write srt://host:port (of a listener the address to listen at, such as srt://0.0.0.0:9000)")
    elif parts.path not in ("", "/") or parts.query or parts.fragment or url.endswith("?"):
        keys = "mode, latency_ms (milliseconds), streamid, passphrase"
        found.fault(key, f"an SRT URL ends with its port. Write srt://host:port, and what else there is as keys of their own: {keys}")


def check_url(found: Findings, key: KeyPath, url: str, schemes: tuple[str, ...]) -> None:
    """The text itself is never shown: it may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # FFmpeg takes what follows a space in an RTMP URL as options of its own.
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        found.fault(key, f"not a usable URL. Write {schemes[0]}://host/path ({' or '.join(schemes)}), without spaces")


def _with_key(url: str, key: str) -> str:
    """The key as the last part of the path; what the URL has behind `?` stays behind it."""
    path, _, query = url.partition("?")
    joint = "&" if "?" in key else "?"
    return f"{path.rstrip('/')}/{key}" + (joint + query if query else "")


def secret_in(found: Findings, key: KeyPath, text: str, what: str = "stream key") -> tuple[str, Path | None]:
    """The one line of a file or credential, and where it was read; the mask for one that cannot be had, and a fault."""
    path = _credential_path(found, key, text) if text.startswith(CREDENTIAL) else found.absolute(text)
    if path is None:
        return MASK, None
    try:
        raw = _read_key(path)
    except OSError as error:
        found.fault(key, f"the key cannot be read from {path}: {os.strerror(error.errno or 0)}. Make the file readable for the daemon")
        return MASK, path
    secret = raw.decode("ascii", "replace").strip()
    if not re.fullmatch(r"[!-~]+", secret) or len(raw) > MAX_KEY_BYTES:
        advice = f"Write the key into it as one line without spaces, {MAX_KEY_BYTES} characters at most"
        found.fault(key, f"{path} does not hold a {what}. {advice}")
        return MASK, path
    return secret, path


def _read_key(path: Path) -> bytes:
    """The file's beginning, one byte more than a key may have. Raises OSError."""
    # O_NONBLOCK: opening a FIFO under this name would wait for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return file.read(MAX_KEY_BYTES + 1)


def _credential_path(found: Findings, key: KeyPath, text: str) -> Path | None:
    name = text.removeprefix(CREDENTIAL)
    folder = found.environ.get("CREDENTIALS_DIRECTORY")
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", name) is None:
        found.fault(key, "not a credential's name. Write credential:NAME, as in the unit's LoadCredential=NAME:…")
    elif folder is None:
        found.fault(key, f"systemd gave no credentials. Add LoadCredential={name}:/path to the unit, or name a file")
    else:
        return Path(folder) / name
    return None


def _refuse_shared_targets(found: Findings, channels: dict[str, ChannelSpec]) -> None:
    """Two publishers of one RTMP name lock each other out, as do two SRT callers with one stream id, and two listeners at one port."""
    first: dict[tuple[str, str | None], KeyPath] = {}
    for channel in channels.values():
        for number, output in enumerate(channel.outputs):
            if not isinstance(output, PushSpec) or not output.enabled or not channel.enabled:
                continue
            here: KeyPath = ("channels", channel.id, "outputs", number, output.type, "url")
            other = first.setdefault(_target_of(output), here)
            if other != here:
                place = found.tree.value_place(other)
                where = f"{key_text(other[:-1])}" + (f" (line {place.line})" if place else "")
                found.fault(here, f"the same target as {where}. Give each output a target of its own")


def _target_of(output: PushSpec) -> tuple[str, str | None]:
    """What only one push may have."""
    url = output.url.rstrip("/")
    if isinstance(output, RtmpSpec):
        return url, None
    if output.link.mode == "listener":
        return "listener", url.rpartition(":")[2]
    return url, output.link.stream_id
