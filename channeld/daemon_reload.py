"""Taking another configuration while on air: read whole, checked whole, compared, and only what differs touched.

Rule: an invalid configuration changes nothing but `error`; what a daemon cannot change while it runs keeps its value and is
named. One reload at a time, on the thread that asks (the admin interface's, or `reload:watch`'s).
"""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import structlog

from channeld.api.control import ConfigRefused
from channeld.base.errors import PlaylistError
from channeld.channel.settings import ChannelSettings
from channeld.config import ConfigErrors, load
from channeld.config_diff import ConfigDiff, compare, merge
from channeld.config_values import ChannelSpec, Config
from channeld.config_yaml import PlacedError
from channeld.playlist.locate import PathRules
from channeld.playlist.parse import load as load_playlist
from channeld.telemetry.log_file import LogFile

log = structlog.get_logger()


class Taker(Protocol):
    """Gives the daemon's parts what a new configuration says."""

    def settings(self, config: Config, spec: ChannelSpec, before: ChannelSettings | None) -> ChannelSettings:
        """One channel's settings; `before` are its present ones."""
        ...

    def take(self, config: Config) -> None:
        """Daemon-wide keys."""
        ...


class Channels(Protocol):
    """The registry, as far as it is needed here."""

    def present(self) -> dict[str, ChannelSettings]:
        """Settings of every channel."""
        ...

    def renew(self, wanted: Iterable[ChannelSettings]) -> list[str]:
        """Have just these channels; gives those that restart."""
        ...


class Reloader:
    """`config` is what the daemon runs on; `error` says why the newest one was refused, None when it was taken."""

    def __init__(self, config: Config, *, channels: Channels, taker: Taker, publish: Callable[..., None]) -> None:
        self.config = config
        self.error: dict[str, Any] | None = None
        self.needs_restart: tuple[str, ...] = ()
        self._channels = channels
        self._taker = taker
        self._publish = publish
        self._lock = threading.Lock()  # one reload at a time: held over reading files, never by the control loop

    def reload(self) -> dict[str, Any]:
        """Read the configuration again and take it; gives what changed. Raises ConfigRefused with every fault."""
        with self._lock:
            try:
                wanted = load(self.config.path)
                if faults := list(_faults(self.config, wanted)):
                    raise ConfigErrors(faults)
            except ConfigErrors as errors:
                raise self._refuse(errors) from None
            return self._take(wanted)

    def _refuse(self, errors: ConfigErrors) -> ConfigRefused:
        faults = [_described(error) for error in errors.errors]
        self.error = {key: faults[0][key] for key in ("file", "line", "message")}
        log.error("config_refused", faults=len(faults), **self.error)
        self._publish("config_refused", error=self.error, faults=faults)
        return ConfigRefused(faults)

    def _take(self, wanted: Config) -> dict[str, Any]:
        diff = compare(self.config, wanted)
        config = merge(self.config, wanted)
        before = self._channels.present()
        settings = [self._taker.settings(config, spec, before.get(spec.id)) for spec in config.channels.values()]
        self._taker.take(config)
        restarted = self._channels.renew(settings)
        self.config, self.error, self.needs_restart = config, None, diff.needs_restart
        told = _told(diff, restarted)
        log.info("config_reloaded", **told)
        self._publish("config_reloaded", **told)
        return told


def _told(diff: ConfigDiff, restarted: list[str]) -> dict[str, Any]:
    return {
        "added": list(diff.added),
        "removed": list(diff.removed),
        "changed": {channel: list(keys) for channel, keys in diff.changed.items()},
        "restarted": restarted,
        "daemon": list(diff.daemon),
        "needs_restart": list(diff.needs_restart),
    }


def _described(error: PlacedError) -> dict[str, Any]:
    place = {"file": str(error.path) if error.path else None, "line": error.line, "column": error.column}
    return {**place, "key": error.key, "message": error.message}


def _faults(running: Config, wanted: Config) -> Iterable[PlacedError]:
    """What `check` would refuse of channels that are new or changed. One on air whose list is broken just now stays as it is."""
    for spec in wanted.channels.values():
        before = running.channels.get(spec.id)
        key = f"channels.{spec.id}"
        if (before is None or before.filler != spec.filler) and spec.filler is not None and (problem := _unreadable(spec.filler)):
            message = f"the filler {spec.filler} {problem}. Name a readable file, or remove the key for the built-in slate"
            yield PlacedError(message, path=wanted.path, key=f"{key}.filler")
        if spec.has_list and (before is None or before.playlist != spec.playlist):
            yield from _playlist_faults(wanted, spec)
    if wanted.log.file is not None and wanted.log.file != running.log.file:
        yield from _log_faults(wanted, wanted.log.file)
    for name, tls in (("admin", wanted.admin.tls), ("media", wanted.media.tls)):
        for path in (tls.cert, tls.key) if tls is not None else ():
            if problem := _unreadable(path):
                yield PlacedError(f"{path} {problem}. Name a readable PEM file", path=wanted.path, key=f"{name}.tls")


def _log_faults(wanted: Config, file: Path) -> Iterable[PlacedError]:
    try:
        LogFile(file).close()
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}. Make its folder, owned by the daemon's user"
        yield PlacedError(message, path=wanted.path, key="log.file")


def _playlist_faults(wanted: Config, spec: ChannelSpec) -> Iterable[PlacedError]:
    try:
        load_playlist(spec.playlist, PathRules(spec.media_roots, wanted.url_rules.schemes, wanted.url_rules.private))
    except PlaylistError as error:
        fault = PlacedError(f"{error.message}. Correct the list, or channels.{spec.id}.playlist", path=error.path)
        fault.line = error.line
        yield fault


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return None if file.read(1) else "is empty"
    except OSError as error:
        return f"cannot be read ({os.strerror(error.errno or 0)})"
