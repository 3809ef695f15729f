"""Logs: past-tense events with facts, on stderr, for people on a terminal and as JSON for machines.

Rule: every value passes the redactor and loses its control characters before it is written, whoever logged it
(structlog, the standard library or uvicorn). Set up once by the process's main function; used from any thread.
"""

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from channeld.base.clock import NS_PER_SECOND, Clock, SystemClock
from channeld.base.errors import ConfigError
from channeld.base.redact import MASK, redact_text
from channeld.telemetry.log_file import LogFile

Format = Literal["auto", "console", "json"]
Logger = structlog.stdlib.BoundLogger

_SECRET_NAMES = frozenset({"authorization", "key", "password", "secret", "stream_key", "token"})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a file name may carry terminal escapes; tab and newline stay
_FOREIGN = ("uvicorn", "uvicorn.access", "uvicorn.error", "apprise", "watchdog")
# They tell every request and every step of a server's start; we tell what came of it.
_CHATTY = ("httpx", "httpcore", "uvicorn", "uvicorn.error", "uvicorn.access")


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", redact_text(value))
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): MASK if str(name).lower() in _SECRET_NAMES else _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return _clean(str(value))


def redact_event(_logger: WrappedLogger | None, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: every text in the event redacted, values under secret names masked."""
    return cast(EventDict, _clean(event))


def _destination(stream: TextIO, file: Path | None) -> tuple[logging.Handler, bool]:
    """Where lines go, and whether people read them there."""
    if file is None:
        return logging.StreamHandler(stream), stream.isatty()
    try:
        return LogFile(file), False
    except OSError as error:
        raise ConfigError(f"log.file: {file} cannot be written: {error.strerror}. Make its folder, owned by the daemon's user") from None


def _renderer(chosen: Format, on_terminal: bool) -> Processor:
    if chosen == "json" or (chosen == "auto" and not on_terminal):
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    # Plain tracebacks only: the rich ones print local variables, among them stream keys.
    return structlog.dev.ConsoleRenderer(colors=on_terminal, exception_formatter=structlog.dev.plain_traceback)


def configure(level: str = "info", format: Format = "auto", *, stream: TextIO | None = None, file: Path | None = None) -> None:
    """Send all logs of this process to `file`, else `stream` (stderr). `auto` is console on a terminal, else one JSON object per line.

    May be called again (reload); raises ValueError for an unknown level, ConfigError for a file that cannot be written.
    """
    handler, on_terminal = _destination(sys.stderr if stream is None else stream, file)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, _renderer(format, on_terminal)],
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    before, root.handlers[:] = list(root.handlers), [handler]
    for each in before:
        if isinstance(each, LogFile):
            each.close()
    for name in _FOREIGN:
        foreign = logging.getLogger(name)
        foreign.handlers.clear()
        foreign.propagate = True
    set_level(level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def relay(line: str) -> None:
    """Write a line that a child formatted and redacted already, to where this process's own lines go."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            handler.write_line(line)
            return
    sys.stderr.write(line + "\n")


def set_level(level: str) -> None:
    """The least level that is logged from now on. Raises ValueError for an unknown one."""
    logging.getLogger().setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def get(name: str) -> Logger:
    """The logger of one part of the project; `bind` facts to it that all its events share."""
    return cast(Logger, structlog.get_logger(name))


class Repeats:
    """Tells an event at once, counts its repeats, and tells them once a second with `repeats=` and the newest facts.

    Used by one thread, which calls `flush` in its loop so that the last repeats are told too.
    """

    def __init__(self, log: Logger, *, clock: Clock | None = None, interval_s: float = 1.0) -> None:
        self._log = log
        self._clock = clock if clock is not None else SystemClock()
        self._interval_ns = int(interval_s * NS_PER_SECOND)
        self._told_ns: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}

    def tell(self, level: str, event: str, **facts: Any) -> None:
        """Log an event at a level (`info`, `warning` …), or count it when the same one was told within the second."""
        kind = (level, event)
        now = self._clock.monotonic_ns()
        if kind in self._told_ns and now - self._told_ns[kind] < self._interval_ns:
            count, _ = self._waiting.get(kind, (0, facts))
            self._waiting[kind] = (count + 1, facts)
            return
        count, _ = self._waiting.pop(kind, (0, facts))
        self._told_ns[kind] = now
        self._write(kind, count, facts)

    def flush(self, *, everything: bool = False) -> None:
        """Tell the counted repeats whose second is over; all of them when the owner ends."""
        now = self._clock.monotonic_ns()
        for kind, (count, facts) in list(self._waiting.items()):
            if everything or now - self._told_ns[kind] >= self._interval_ns:
                del self._waiting[kind]
                self._told_ns[kind] = now
                self._write(kind, count, facts)

    def _write(self, kind: tuple[str, str], count: int, facts: dict[str, Any]) -> None:
        level, event = kind
        if count:
            facts = {**facts, "repeats": count}
        self._log.log(logging.getLevelNamesMapping()[level.upper()], event, **facts)
