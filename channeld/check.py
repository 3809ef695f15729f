"""What stands between a configuration and being on air, told before anything is started.

Rule: looks at everything, changes nothing, and finds all there is in one go; what would keep a channel off air is an error,
what costs an entry or an output is a warning. Run by `channeld check`, on one thread.
"""

import contextlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from channeld.base.errors import PlaylistError, ProcessError
from channeld.base.redact import redact_text
from channeld.check_attach import attach_problems
from channeld.check_pipes import troubles_of
from channeld.check_srt import silence_of, speaks_srt
from channeld.config import ConfigErrors, load
from channeld.config_outputs import PipeSpec, PushSpec, RtmpSpec, SrtSpec
from channeld.config_values import ChannelSpec, Config
from channeld.config_yaml import key_text, parse
from channeld.media import child
from channeld.media.tools import encoder_version, find_tools
from channeld.playlist.locate import PathRules
from channeld.playlist.model import Playlist
from channeld.playlist.parse import load as load_playlist
from channeld.relay.machine import KINDS, looked_at
from channeld.ts.nal import VideoCodec

CONNECT_TIMEOUT_S = 2.0
MAX_FAULTS_PER_LIST = 50
OLDEST_FFMPEG = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: the place, if it stands in a file, and what is wrong there and what to do."""

    message: str
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return ": ".join(part for part in (place, self.key, self.message) if part)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How much of a channel's loop is prepared, in seconds; `loop_bytes` is what the whole loop takes in the cache.

    `dry_after_s`: how much of the list's beginning is prepared, None when all of it is.
    """

    ready_s: float
    needed_s: float
    loop_bytes: int
    dry_after_s: float | None = None
    fits_cache: bool = True


MeasureReadiness = Callable[[Config, ChannelSpec, Playlist], Readiness]
"""Asks the cache about one channel; whoever knows the cache hands it to `check`."""


@dataclass(slots=True)
class CheckReport:
    """All findings; `input_errors` are faults of the configuration or a playlist, `machine_errors` of what surrounds them."""

    input_errors: list[Finding] = field(default_factory=list)
    machine_errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    readiness: dict[str, Readiness] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """Everything that keeps a channel off air."""
        return self.input_errors + self.machine_errors

    def to_json(self) -> dict[str, Any]:
        """Plain values for `check --json`."""
        found = {name: [_plain(each) for each in each_list] for name, each_list in (("errors", self.errors), ("warnings", self.warnings))}
        return {
            "ok": not self.errors,
            **found,
            "notes": self.notes,
            "prepared": {key: asdict(each) for key, each in self.readiness.items()},
        }


LookFurther = Callable[[CheckReport, Config], None]
"""Adds to the report of a configuration that loads; whoever can look further hands it to `check`."""


def _plain(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"file": None if finding.file is None else str(finding.file)}


def check(
    config_path: Path, *, measure: MeasureReadiness | None = None, look: LookFurther | None = None, environ: Mapping[str, str] = os.environ
) -> CheckReport:
    """Check a configuration and everything it names. Never raises for what it finds; what `look` raises is passed on."""
    report = CheckReport()
    try:
        config = load(config_path, environ)
    except ConfigErrors as errors:
        report.input_errors += [Finding(each.message, each.path, each.line, each.column, each.key) for each in errors.errors]
        _check_ffmpeg(report, ())
        return report
    if not config.channels:
        report.warnings.append(Finding("no channel is configured. Add one under channels", config_path, key="channels"))
    for channel in config.channels.values():
        _check_channel(report, config, channel, measure)
    if measure is not None:
        _check_cache_size(report, config)
    _check_folders(report, config)
    _check_listeners(report, config)
    _check_ffmpeg(report, {config.profile(channel.profile).codec for channel in config.channels.values()})
    if config.relay.enabled:
        _check_hardware(report)
    _check_keys(report, config)
    _check_targets(report, config)
    _check_srt(report, config)
    if look is None:
        report.warnings += [Finding(message, config.path, key=key) for key, message in attach_problems(config)]
    _check_pipes(report, config)
    if look is not None:
        look(report, config)
    _add_places(report, config_path)
    return report


def _add_places(report: CheckReport, config_path: Path) -> None:
    """Give findings about a key its line; for a key that is not written, its nearest written parent's."""
    tree = parse(config_path.read_bytes())
    places = {key_text(key): place for key, place in (tree.places | tree.keys).items()}
    for findings in (report.input_errors, report.machine_errors, report.warnings):
        for number, finding in enumerate(findings):
            key = finding.key or ""
            while key and key not in places:
                key = key[: max(key.rfind("."), key.rfind("["), 0)]
            if finding.line is None and key:
                findings[number] = replace(finding, file=finding.file or config_path, line=places[key].line, column=places[key].column)


def _check_channel(report: CheckReport, config: Config, channel: ChannelSpec, measure: MeasureReadiness | None) -> None:
    key = f"channels.{channel.id}"
    if channel.filler is not None and (problem := _unreadable(channel.filler)):
        message = f"the filler {channel.filler} {problem}. Name a readable file, or remove the key for the built-in slate"
        report.input_errors.append(Finding(message, config.path, key=f"{key}.filler"))
    if not channel.outputs:
        report.warnings.append(Finding("the channel has no output. Add one, such as `- hls: {}`", config.path, key=f"{key}.outputs"))
    if not channel.has_list:
        report.notes.append(f"{key}: {len(channel.sources)} live sources, and no playlist behind them")
        return
    try:
        rules = PathRules(channel.media_roots, config.url_rules.schemes, config.url_rules.private)
        playlist = load_playlist(channel.playlist, rules)
    except PlaylistError as error:
        report.input_errors.append(Finding(f"{error.message}. Correct the list, or {key}.playlist", error.path, error.line))
        return
    report.warnings += [Finding(notice.message, playlist.source, notice.line) for notice in playlist.warnings]
    _check_entries(report, playlist)
    if measure is not None:
        with contextlib.suppress(ProcessError):  # no FFmpeg: told by itself
            report.readiness[channel.id] = measure(config, channel, playlist)


def _check_entries(report: CheckReport, playlist: Playlist) -> None:
    faulty = [entry for entry in playlist.entries if entry.fault is not None]
    for entry in faulty[:MAX_FAULTS_PER_LIST]:
        message = f"{redact_text(entry.locator)}: {entry.fault}{_advice(entry.fault or '')}"
        report.warnings.append(Finding(message, playlist.source, entry.line))
    if len(faulty) > MAX_FAULTS_PER_LIST:
        report.warnings.append(Finding(f"{len(faulty) - MAX_FAULTS_PER_LIST} more entries have faults", playlist.source))
    if len(faulty) == len(playlist.entries):
        report.warnings.append(Finding("no entry can air: the channel would show its filler", playlist.source))
    else:
        report.notes.append(f"{playlist.source}: {len(playlist.entries) - len(faulty)} of {len(playlist.entries)} entries can air")


def _advice(fault: str) -> str:
    """The line of the configuration that would admit a refused entry."""
    if outside := re.search(r"outside the media roots: (/.*)$", fault):
        target = Path(outside[1])
        # A refused plain path is told by its folder, a refused link by the file it leads to.
        folder = target.parent if fault.startswith("a link") else target
        return f". To allow it, add to the configuration: media_roots: ['{str(folder).replace(chr(39), chr(39) * 2)}']"
    if refused := re.search(r"scheme (\S+) is refused \(allowed: (.*)\)", fault):
        return f". To allow it, add to the configuration: url_allow: {{schemes: [{refused[2]}, {refused[1]}]}}"
    if "url_allow.private" in fault:
        return ". To allow it, add to the configuration: url_allow: {private: true}"
    return ""


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return None if file.read(1) else "is empty"
    except OSError as error:
        return f"cannot be read ({os.strerror(error.errno or 0)})"


def _check_cache_size(report: CheckReport, config: Config) -> None:
    limit = config.prepare.cache_limit.on(config.folders.state)
    needed = sum(each.loop_bytes for each in report.readiness.values())
    if needed > limit:
        message = (
            f"the loops of all channels take {needed >> 20} MiB, the cache holds {limit >> 20} MiB: a part is prepared again each round"
        )
        report.warnings.append(Finding(f"{message}. Raise prepare.cache_max_bytes", config.path, key="prepare.cache_max_bytes"))


def _check_folders(report: CheckReport, config: Config) -> None:
    folders = (("state_dir", config.folders.state), ("runtime_dir", config.folders.runtime), ("hls_dir", config.folders.hls))
    for key, folder in folders:
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not _is_writable(existing):
            message = f"{folder} is not writable for this user. Make it so, name another folder, or check as the daemon's user"
            report.machine_errors.append(Finding(message, config.path, key=key))


def _is_writable(folder: Path) -> bool:
    try:
        # Tried, not asked: access(2) tells root yes for file systems that take no files.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _check_listeners(report: CheckReport, config: Config) -> None:
    if not config.admin.listen.is_loopback and config.admin.tls is None:
        message = f"{config.admin.listen} is open to the network without TLS. Set admin.tls, or listen on 127.0.0.1"
        report.warnings.append(Finding(message, config.path, key="admin.listen"))
    for key, tls in (("admin.tls", config.admin.tls), ("media.tls", config.media.tls)):
        for path in (tls.cert, tls.key) if tls is not None else ():
            if problem := _unreadable(path):
                report.input_errors.append(Finding(f"{path} {problem}. Name a readable PEM file", config.path, key=key))


def _check_ffmpeg(report: CheckReport, codecs: Collection[VideoCodec]) -> None:
    try:
        tools = find_tools()
        report.notes.append(encoder_version(tools))
        if VideoCodec.H265 in codecs:
            report.notes.append(encoder_version(tools, VideoCodec.H265))
        encoders = child.run([tools.ffmpeg, "-v", "error", "-hide_banner", "-encoders"], max_bytes=1 << 20, deadline_s=20).decode(
            "utf-8", "replace"
        )
    except ProcessError as error:
        report.machine_errors.append(Finding(f"{error}. Install the ffmpeg package with libx264 and libx265, or channeld[bundled]"))
        return
    if re.search(r"^ A\S* aac ", encoders, re.MULTILINE) is None:
        report.machine_errors.append(Finding(f"{tools.ffmpeg} has no AAC encoder. Install the distribution's ffmpeg package"))
    if tools.ffprobe is None:
        report.warnings.append(Finding("ffprobe was not found: files are probed less exactly. Install the ffmpeg package"))
    version = re.search(r"version \D{0,2}(\d+)", report.notes[-1])
    if version is not None and int(version[1]) < OLDEST_FFMPEG:
        report.warnings.append(
            Finding(f"FFmpeg {version[1]} is older than {OLDEST_FFMPEG}, the oldest one that is tried. Install a newer one")
        )


def _targets(channels: Iterable[ChannelSpec]) -> Iterator[tuple[str, PushSpec]]:
    for channel in channels:
        for number, output in enumerate(channel.outputs):
            if isinstance(output, PushSpec) and output.enabled and channel.enabled:
                yield f"channels.{channel.id}.outputs[{number}].{output.type}", output


def _check_hardware(report: CheckReport) -> None:
    """Which hardware encodes here, for relay profiles. No relay has to have any."""
    try:
        ffmpeg = find_tools().ffmpeg
    except ProcessError:
        return  # told already
    found = [looked_at(ffmpeg, kind) for kind in KINDS]
    told = [f"{each.hardware} {'yes' if each.is_available else f'no ({each.reason})'}" for each in found]
    report.notes.append(f"hardware encoders for relay profiles: {', '.join(told)}")


def _check_keys(report: CheckReport, config: Config) -> None:
    secrets = [(f"{key}.key_file", output.key_path) for key, output in _targets(config.channels.values())]
    secrets += [(f"webhooks[{number}].secret_file", hook.secret_path) for number, hook in enumerate(config.webhooks)]
    for key, path in secrets:
        if path is not None and path.stat().st_mode & stat.S_IROTH:
            message = f"everybody on this machine can read {path}. Protect the key: chmod 0640 {path}"
            report.warnings.append(Finding(message, config.path, key=key))
    for key, output in _targets(config.channels.values()):
        if isinstance(output, RtmpSpec) and output.ca_file is not None and (problem := _unreadable(output.ca_file)):
            report.input_errors.append(Finding(f"{output.ca_file} {problem}. Name a readable PEM file", config.path, key=f"{key}.ca_file"))


def _check_targets(report: CheckReport, config: Config) -> None:
    tried: dict[tuple[str, str, int], str | None] = {}
    for key, output in _targets(config.channels.values()):
        if isinstance(output, SrtSpec) and output.link.mode == "listener":
            continue  # nobody is called
        parts = urlsplit(output.url)
        address = (output.type, parts.hostname or "", parts.port or (443 if parts.scheme == "rtmps" else 1935))
        if address not in tried:
            tried[address] = silence_of(*address[1:]) if isinstance(output, SrtSpec) else _unreachable(address[1:])
        if (problem := tried[address]) is not None:
            message = f"{output.shown_url} does not answer ({problem}). Start its server, or correct the URL"
            report.warnings.append(Finding(message, config.path, key=key))


def _check_srt(report: CheckReport, config: Config) -> None:
    key = next((key for key, output in _targets(config.channels.values()) if isinstance(output, SrtSpec)), None)
    if key is None:
        return
    with contextlib.suppress(ProcessError):  # no FFmpeg at all is told by itself
        if not speaks_srt(find_tools().ffmpeg):
            message = "this FFmpeg cannot push by SRT. Install the distribution's ffmpeg package, which can"
            report.machine_errors.append(Finding(message, config.path, key=key))


def _check_pipes(report: CheckReport, config: Config) -> None:
    """What costs an output, and no more."""
    for channel in config.channels.values():
        for number, output in enumerate(channel.outputs):
            if isinstance(output, PipeSpec) and output.enabled and channel.enabled:
                key = f"channels.{channel.id}.outputs[{number}].named_pipe"
                found = troubles_of(output, config.folders.runtime, channel.ring_s)
                report.warnings += [Finding(message, config.path, key=f"{key}.{name}") for name, message in found]


def _unreachable(address: tuple[str, int]) -> str | None:
    try:
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
