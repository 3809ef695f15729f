"""`channeld playlist edit`: the list's text in an editor, put back over what was read.

Rule: what somebody has typed is never lost: a text that could not be put stays in its file, and the error says where and what to do.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from channeld.base.errors import ChannelError, ConfigError
from channeld.cli_client import AdminClient, Conflict, Rejected, channel_route
from channeld.cli_playlist_list import Listed, conflict
from channeld.cli_render import show_error, show_note

_SUFFIXES = {"audio/x-mpegurl": ".m3u", "application/yaml": ".yaml"}
_EDITORS = ("VISUAL", "EDITOR")
_DEFAULT_EDITOR = "vi"


def put_text(client: AdminClient, channel: str, listed: Listed, text: str, *, is_dry_run: bool) -> dict[str, Any]:
    """Put the text over what was read; gives the daemon's answer. Raises Conflict, Rejected with the line."""
    route = channel_route(channel, "playlist") + ("?dry_run=true" if is_dry_run else "")
    try:
        answer: dict[str, Any] = client.edit("PUT", route, text, listed.tag)
    except Conflict as error:
        raise conflict(channel, error.revision) from None
    except Rejected as error:
        place = "" if error.line is None else f"line {error.line}: "
        raise Rejected({"detail": f"{place}{error}", "line": error.line}) from None
    return answer


def edit_text(client: AdminClient, channel: str, listed: Listed, *, is_dry_run: bool) -> dict[str, Any]:
    """Have the text edited until it can be put. Raises Conflict or Rejected, the text kept; ChannelError when the editor fails."""
    path = _laid_out(channel, listed)
    try:
        while True:
            _run_editor(path)
            try:
                answer = put_text(client, channel, listed, read_text(path), is_dry_run=is_dry_run)
            except Rejected as error:
                if not _wants_another_try(error):
                    raise
                continue
            path.unlink()
            return answer
    except KeyboardInterrupt:
        show_note(_kept(channel, path))
        raise
    except Conflict as error:
        raise conflict(channel, error.revision, _kept(channel, path)) from None
    except Rejected as error:
        raise Rejected({"detail": f"{error}. Nothing was written. {_kept(channel, path)}"}) from None
    except ChannelError as error:
        raise type(error)(f"{error}. {_kept(channel, path)}") from None


def read_text(path: Path | None) -> str:
    """A list's text, line ends as they are; None: from stdin. Raises ConfigError when it is no text."""
    try:
        return (sys.stdin.buffer.read() if path is None else path.read_bytes()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path or 'stdin'}: no UTF-8 text ({error})") from None


def _laid_out(channel: str, listed: Listed) -> Path:
    suffix = _SUFFIXES.get(listed.document["media_type"], ".txt")
    descriptor, name = tempfile.mkstemp(prefix=f"channeld-{channel}-", suffix=suffix)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(listed.document["text"])
    return Path(name)


def _run_editor(path: Path) -> None:
    line = next((found for name in _EDITORS if (found := os.environ.get(name, "").strip())), _DEFAULT_EDITOR)
    try:
        done = subprocess.run([*shlex.split(line), str(path)], check=False)
    except (OSError, ValueError) as error:
        raise ChannelError(f"the editor {line!r} cannot be run ({error}). Name one in $EDITOR") from None
    if done.returncode != 0:
        raise ChannelError(f"the editor {line!r} ended with {done.returncode}: nothing was written")


def _wants_another_try(error: Rejected) -> bool:
    if not sys.stdin.isatty():
        return False
    show_error(str(error))
    try:
        return typer.confirm("Edit again?", default=True, err=True)
    except typer.Abort:
        return False


def _kept(channel: str, path: Path) -> str:
    command = f"channeld playlist edit {channel} --file {path}"
    return f"Your text is kept: `{command} --dry-run` shows how it differs from what is there now, and without --dry-run it is put"
