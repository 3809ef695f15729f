"""What the verbs of the command line share: exit codes, options, and how a failure is told.

Rule: 0 done, 1 failed, 2 bad input, 3 no daemon answers, 4 not allowed, 130 ended by Ctrl-C; a failure is one clear message on stderr,
never a traceback.
"""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from channeld.base.errors import ChannelError, ConfigError, MediaError, PlaylistError
from channeld.check_access import NeedsRoot
from channeld.cli_client import DaemonUnreachable, NotAllowed, Rejected
from channeld.cli_render import show_error

OK, FAILED, BAD_INPUT, UNREACHABLE, NOT_ALLOWED = range(5)
INTERRUPTED = 130
"""As shells have it: 128 and the number of SIGINT."""
_EXIT_CODES: tuple[tuple[type[ChannelError], int], ...] = (
    (DaemonUnreachable, UNREACHABLE),
    (NotAllowed, NOT_ALLOWED),
    (NeedsRoot, NOT_ALLOWED),
    (Rejected, BAD_INPUT),
    (ConfigError, BAD_INPUT),
    (PlaylistError, BAD_INPUT),
    (MediaError, BAD_INPUT),
    (ChannelError, FAILED),
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file. Default: $CHANNELD_CONFIG, ./channeld.yaml, /etc/channeld/channeld.yaml."),
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Admin address of the daemon. Default: admin.listen of the configuration.")]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="CHANNELD_TOKEN", help="A token whose role may do this. Default: that of admin.token.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]

Options = ParamSpec("Options")


def verb_of(group: typer.Typer, name: str | None = None) -> Callable[[Callable[Options, int]], Callable[Options, None]]:
    """Make functions that return an exit code verbs of the command line, or of a group of it, which tell errors instead of raising them."""

    def add(function: Callable[Options, int]) -> Callable[Options, None]:
        return group.command(name)(_telling(function))

    return add


def _telling(function: Callable[Options, int]) -> Callable[Options, None]:

    @wraps(function)
    def tell(*args: Options.args, **options: Options.kwargs) -> None:
        try:
            code = function(*args, **options)
            sys.stdout.flush()  # here, not as the interpreter ends: a reader that went away is then no error to tell
        except KeyboardInterrupt:
            code = INTERRUPTED
        except ChannelError as error:
            show_error(str(error))
            code = next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
        except BrokenPipeError:
            raise  # whoever read our output went away, as `head` does: typer ends quietly
        except OSError as error:
            show_error(f"{error.filename or 'the system'}: {error.strerror or error}")
            code = FAILED
        raise typer.Exit(code)

    return tell


def write_json(values: Any) -> None:
    """What `--json` writes."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False, indent=2) + "\n")
