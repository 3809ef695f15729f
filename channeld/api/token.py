"""The admin token: made at the first start, read at every later one.

Rule: the file appears whole or not at all, and a token that everybody on this machine can read is refused. Used by the
daemon at start.
"""

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from channeld.base.errors import ConfigError

TOKEN_NAME = "admin.token"
_TOKEN_BYTES = 32
_MAX_FILE_BYTES = 1024
_TOKEN = re.compile(rb"[\x21-\x7e]{16,512}")


def ensure_token(state_dir: Path) -> str:
    """The token in `<state_dir>/admin.token`, made with mode 0640 when it is not there. Raises ConfigError."""
    path = state_dir / TOKEN_NAME
    try:
        if not path.is_symlink() and not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise ConfigError(f"{path}: {os.strerror(error.errno or 0)}. The daemon's user must own its state_dir", path=path) from None


def _make(path: Path) -> None:
    """Written aside and linked: a reader or a second daemon sees a whole token, and the first of two makers wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n")
            file.flush()
            os.fchmod(file.fileno(), 0o640)  # whatever the umask says
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read(path: Path) -> str:
    # O_NONBLOCK: opening a FIFO under this name would wait for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is not a file. Remove it; the next start makes a new token", path=path)
        if status.st_mode & 0o027:
            mode = stat.S_IMODE(status.st_mode)
            raise ConfigError(f"{path} has mode {mode:04o}, so others know the token. Remove it; the next start makes a new one", path=path)
        content = file.read(_MAX_FILE_BYTES + 1).strip()
    if _TOKEN.fullmatch(content) is None:
        raise ConfigError(
            f"{path} holds no token (16 to 512 visible ASCII characters). Remove it; the next start makes a new one", path=path
        )
    return content.decode("ascii")
