"""What would keep local readers from a channel: the group that may read, and where its sockets are.

Rule: nothing is changed; none of it keeps a channel off the air. Run by `channeld check`, of the user who runs it or of the service's.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from channeld.bus.protocol import FOLDER, SOCKET_SUFFIX
from channeld.check_unit import Unit
from channeld.config_values import Config

LONGEST_ADDRESS = 107
"""sun_path has 108 bytes, the last of them 0 (unix(7)). The daemon and `channeld.client` get around it, others do not."""


def attach_problems(config: Config, user: pwd.struct_passwd | None = None, unit: Unit | None = None) -> Iterator[tuple[str, str]]:
    """Key and what is wrong with it, and what to do; of our own user, or of that of the service and its unit."""
    if not config.attach.is_enabled:
        return
    if config.attach.group is not None:
        problem = _group_problem(config.attach.group, user, unit)
        if problem is not None:
            yield "attach.group", f"{problem}, and nobody but root and the daemon's user can read a channel on this machine"
    longest = max((_path(config, channel) for channel in config.channels), key=lambda path: len(os.fsencode(path)), default=None)
    if longest is not None and (length := len(os.fsencode(longest))) > LONGEST_ADDRESS:
        why = f"{length} bytes, and a Unix socket's address has {LONGEST_ADDRESS}"
        yield (
            "runtime_dir",
            f"{longest} has {why}: only `channeld` and its Python client can connect to it. Name a folder with a shorter path",
        )


def _path(config: Config, channel: str) -> Path:
    return config.folders.runtime / FOLDER / f"{channel}{SOCKET_SUFFIX}"


def _group_problem(name: str, user: pwd.struct_passwd | None, unit: Unit | None) -> str | None:
    try:
        group = grp.getgrnam(name)
    except KeyError:
        return f"this machine has no group {name!r}. Make it (`groupadd --system {name}`), or leave attach.group out: now no socket is made"
    uid = user.pw_uid if user is not None else os.geteuid()
    if uid == 0 or group.gr_gid in _groups_of(user, unit):
        if user is not None and unit is not None and unit.confines_users and group.gr_gid != user.pw_gid:
            return f"PrivateUsers= of the unit hides group {name!r}: no socket is made. Name {user.pw_name}'s own group"
        return None
    who = user.pw_name if user is not None else _name_of(uid)
    return f"{who} is no member of {name!r}: no socket is made. Make it one (`usermod -aG {name} {who}`), or check as the daemon's user"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # as in a container that runs under any number
        return str(uid)


def _groups_of(user: pwd.struct_passwd | None, unit: Unit | None) -> set[int]:
    if user is None:
        return {os.getegid(), *os.getgroups()}
    named = unit.groups if unit is not None else []
    known = {entry.gr_gid for entry in grp.getgrall() if entry.gr_name in named}
    return {*os.getgrouplist(user.pw_name, user.pw_gid), *known}
