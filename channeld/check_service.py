"""What the service would meet: which lists, media, folders, keys and certificates its user cannot use, or its sandbox hides.

Rule: judged by trying, as that user, and by the installed unit; changes nothing. What keeps a channel off air is an error, what costs
an entry, an edit or an output is a warning. Run by `channeld check --as-service`, on one thread.
"""

import contextlib
import errno
import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import ChannelError
from channeld.check import CheckReport, Finding, MeasureReadiness, check
from channeld.check_access import Denial, Wish, find_user, require_root, try_as
from channeld.check_attach import attach_problems
from channeld.check_unit import Unit, read_unit
from channeld.config_outputs import PipeSpec, PushSpec, RtmpSpec
from channeld.config_values import ChannelSpec, Config
from channeld.playlist.locate import PathRules
from channeld.playlist.parse import load as load_playlist

MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Need:
    """One thing that the service wants, who wants it, and what it costs when it is refused: error, warning or note."""

    wish: Wish
    what: str
    key: str
    severity: str


def check_as_service(config_path: Path, user_name: str | None, measure: MeasureReadiness, unit: Unit | None = None) -> CheckReport:
    """`check`, and beyond it what the service's user cannot do. Raises ConfigError (no such user), NeedsRoot, ChannelError."""
    unit = unit if unit is not None else read_unit()
    user = find_user(user_name or unit.user)
    require_root(user)
    with _credentials(unit) as (environ, folder):
        return check(config_path, measure=measure, look=lambda report, config: _look(report, config, unit, user, folder), environ=environ)


def _look(report: CheckReport, config: Config, unit: Unit, user: pwd.struct_passwd, handed: Path) -> None:
    # What systemd hands over it reads itself, as root.
    needs = [need for need in _needs(config) if need.wish.path.parent != handed]
    denials = try_as(user, [need.wish for need in needs])
    told: dict[tuple[str, str, str], list[str]] = {}
    for need, denial in zip(needs, denials, strict=True):
        problem = _sandboxed(unit, need) or (_denied(user, denial) if denial is not None else None)
        if problem is not None and not _is_made(unit, need):
            told.setdefault((need.severity, need.key, problem), []).append(need.what)
    for (severity, key, problem), things in told.items():
        shown = ", ".join(things[:MAX_SHOWN]) + (f" and {len(things) - MAX_SHOWN} more" if len(things) > MAX_SHOWN else "")
        finding = Finding(f"as {user.pw_name}: {shown}: {problem}", config.path, key=key)
        (report.machine_errors if severity == "error" else report.warnings).append(finding)
    report.warnings += [Finding(message, config.path, key=key) for key, message in attach_problems(config, user, unit)]
    where = f"by {unit.path}" if unit.path is not None else "without its sandbox: no channeld.service is installed"
    report.notes.append(f"looked at {len(needs)} files and folders as {user.pw_name}, {where}")


def _needs(config: Config) -> Iterator[_Need]:
    yield _Need(Wish(config.path, "read"), "the configuration", "channels", "error")
    folders = config.folders
    for key, folder in (("state_dir", folders.state), ("runtime_dir", folders.runtime), ("hls_dir", folders.hls)):
        yield _Need(Wish(folder, "write"), str(folder), key, "error")
    for key, tls in (("admin.tls", config.admin.tls), ("media.tls", config.media.tls)):
        for path in (tls.cert, tls.key) if tls is not None else ():
            yield _Need(Wish(path, "read"), str(path), key, "error")
    for number, hook in enumerate(config.webhooks):
        if hook.secret_path is not None:
            yield _Need(Wish(hook.secret_path, "read"), str(hook.secret_path), f"webhooks[{number}].secret_file", "error")
    for channel in config.channels.values():
        yield from _needs_of_channel(config, channel)


def _needs_of_channel(config: Config, channel: ChannelSpec) -> Iterator[_Need]:
    key = f"channels.{channel.id}"
    is_folder = channel.playlist.is_dir()
    if channel.has_list:
        yield _Need(Wish(channel.playlist, "list" if is_folder else "read"), str(channel.playlist), f"{key}.playlist", "error")
    if channel.has_list and not is_folder:
        # Watched for lists that are renamed into place; written beside when the admin API edits.
        yield _Need(Wish(channel.playlist.parent, "list"), f"{channel.playlist.parent} (watched)", f"{key}.playlist", "warning")
        what = f"{channel.playlist} (edits over HTTP)"
        yield _Need(Wish(channel.playlist.parent, "write"), what, f"{key}.playlist", "warning")
    if channel.filler is not None:
        yield _Need(Wish(channel.filler, "read"), str(channel.filler), f"{key}.filler", "error")
    for number, output in enumerate(channel.outputs):
        if isinstance(output, PushSpec):
            place = f"{key}.outputs[{number}].{output.type}"
            files = (("key_file", output.key_path), ("ca_file", output.ca_file if isinstance(output, RtmpSpec) else None))
            yield from (_Need(Wish(path, "read"), str(path), f"{place}.{name}", "error") for name, path in files if path is not None)
        elif isinstance(output, PipeSpec):
            folders = {path.parent for path in output.paths if not path.is_relative_to(config.folders.runtime)}
            place = f"{key}.outputs[{number}].{output.type}.path"
            yield from (_Need(Wish(folder, "write"), f"{folder} (named pipe)", place, "warning") for folder in folders)
    with contextlib.suppress(ChannelError):  # a list that cannot be read is told by `check` itself
        rules = PathRules(channel.media_roots, config.url_rules.schemes, config.url_rules.private)
        for entry in load_playlist(channel.playlist, rules).entries:
            if entry.path is not None and entry.fault is None:
                yield _Need(Wish(entry.path, "read"), str(entry.path), f"{key}.playlist", "warning")


def _sandboxed(unit: Unit, need: _Need) -> str | None:
    path = need.wish.path
    if setting := unit.hides(path):
        folder = path if need.wish.mode != "read" else path.parent
        return f"the sandbox hides it ({setting}). Bind its folder into the unit: BindReadOnlyPaths={folder} (drop-ins/media.conf)"
    if need.wish.mode == "write" and (setting := unit.keeps_from_writing(path)):
        return f"the sandbox keeps it from being written ({setting}). Add to the unit: ReadWritePaths={path} (drop-ins/media.conf)"
    return None


def _denied(user: pwd.struct_passwd, denial: Denial) -> str:
    culprit = denial.culprit
    if denial.reason != os.strerror(errno.EACCES):
        return f"{denial.reason} ({culprit})"
    return (
        f"{denial.reason} at {culprit} ({_owned(culprit)}). Let {user.pw_name} in: setfacl -m u:{user.pw_name}:{denial.lacks} '{culprit}'"
    )


def _owned(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as error:
        return os.strerror(error.errno or 0)
    owner, group = str(facts.st_uid), str(facts.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(facts.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(facts.st_gid).gr_name
    return f"{stat.filemode(facts.st_mode)} {owner}:{group}"


def _is_made(unit: Unit, need: _Need) -> bool:
    """systemd makes this folder for the service, owned by its user, whenever it starts."""
    path = need.wish.path
    if need.wish.mode != "write":
        return False
    return path in unit.made_folders or (any(path.is_relative_to(each) for each in unit.made_folders) and not path.exists())


@contextlib.contextmanager
def _credentials(unit: Unit) -> Iterator[tuple[dict[str, str], Path]]:
    """Our environment with the credentials that systemd would hand to the service, and their folder: links, made here."""
    with tempfile.TemporaryDirectory(prefix="channeld-check-") as name:
        for credential, path in unit.credentials.items():
            (Path(name) / credential).symlink_to(path)
        yield {**os.environ, **({"CREDENTIALS_DIRECTORY": name} if unit.credentials else {})}, Path(name)
