"""Makes the desk of named pipes: where they are, who may read, and who is told how they do.

Rule: a group that cannot be is told, and then nobody but root and the daemon's own user may read; no channel stays off the air for it.
"""

import contextlib
from collections.abc import Callable

import structlog

from channeld.base.errors import ConfigError
from channeld.channel.alarms import Alarms
from channeld.channel.host_hub import HostHub
from channeld.channel.loop import ControlLoop
from channeld.channel.means import Publish
from channeld.channel.pipe_desk import PipeDesk, PipePlace
from channeld.channel.pipe_state import PipeState
from channeld.config_values import Config
from channeld.daemon_attach import attach_gid
from channeld.outputs.pipe_file import PipeOwner
from channeld.outputs.push_health import PushCondition
from channeld.process.holding import Holding

ALARM = "named_pipe"

log = structlog.get_logger()


def make_pipes(config: Config, loop: ControlLoop, holder: Holding, hosts: HostHub, alarms: Alarms, publish: Publish) -> PipeDesk:
    """The desk, not started yet."""

    def changed(state: PipeState) -> None:
        loop.post(lambda: _tell(state, alarms, publish))

    return PipeDesk(PipePlace(config.folders.runtime, pipe_owner(config)), holder, hosts.send, changed)


def pipe_owner(config: Config) -> PipeOwner:
    """Who may read pipes."""
    try:
        return PipeOwner(attach_gid(config))
    except ConfigError as error:
        log.error("pipes_without_group", error=str(error))
        return PipeOwner(None)


def start_pipes(desk: PipeDesk, parts: contextlib.ExitStack, *, leaves: Callable[[], bool]) -> None:
    """Start it; with the daemon it is closed, or leaves what it has to the next one."""
    parts.callback(lambda: desk.leave() if leaves() else desk.close())
    desk.start()


def _tell(state: PipeState, alarms: Alarms, publish: Publish) -> None:
    """Control loop's thread."""
    subject = f"{state.channel}/{state.output}"
    log.info("output_changed", channel=state.channel, output=state.output, state=state.condition.value, reason=state.last_error)
    publish("output_state", channel=state.channel, output=state.output, state=state.condition.value, reason=state.last_error)
    if state.condition is PushCondition.RETRYING:
        alarms.raise_alarm(ALARM, subject, level="warning", message=f"{state.last_error}. It is tried again")
    else:
        alarms.clear(ALARM, subject)
