"""What can go wrong, named by the side at fault; each class says what is decided when it happens."""

from pathlib import Path


class ChannelError(Exception):
    """Root of all errors that channeld raises on purpose."""


class ConfigError(ChannelError):
    """The configuration is wrong: start or reload is refused."""

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.path, self.line, self.key = path, line, key


class PlaylistError(ChannelError):
    """A playlist file is invalid: the last good list stays."""

    def __init__(self, message: str, *, path: Path, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.path, self.line = message, path, line

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


class MediaError(ChannelError):
    """A clip cannot be used: the entry is skipped and noted."""


class ProbeError(MediaError):
    """The file could not be read as media."""


class PrepareError(MediaError):
    """The file could not be conformed to the house format."""


class StreamError(ChannelError):
    """Transport stream bytes break a rule: the clip is refused."""

    def __init__(self, message: str, *, pid: int | None = None, position: int | None = None) -> None:
        place = "".join((f" pid={pid}" if pid is not None else "", f" at byte {position}" if position is not None else ""))
        super().__init__(message + place)
        self.pid, self.position = pid, position


class StoreError(ChannelError):
    """State could not be written or read: logged, the channel stays on air."""


class ProcessError(ChannelError):
    """A child process failed."""


class SpawnError(ProcessError):
    """A child could not be started: back off and retry."""


class ChildExited(ProcessError):
    """A child ended; carries its status and the tail of its stderr."""

    def __init__(self, name: str, status: int, stderr_tail: str = "") -> None:
        super().__init__(f"{name} ended with status {status}" + (f": {stderr_tail[-400:]}" if stderr_tail else ""))
        self.name, self.status, self.stderr_tail = name, status, stderr_tail


class ChildKilled(ChildExited):
    """A signal ended a child, perhaps by the kernel's choice: tried once more."""


class ChildStalled(ProcessError):
    """A child lives but makes no progress: kill and restart."""

    def __init__(self, name: str, idle_s: float) -> None:
        super().__init__(f"{name} made no progress for {idle_s:.1f} s")
        self.idle_s = idle_s


class OutputError(ChannelError):
    """One output failed: that output only."""


class SourceError(ChannelError):
    """A source failed: the next source airs, then a slate."""
