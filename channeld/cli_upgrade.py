"""`channeld upgrade-restart`: have the daemon go over to the code that is installed now, and wait until its successor answers.

Rule: the air is never touched from here; whoever waits in vain is told what to look at. Used by one command.
"""

import time
from typing import Any

from channeld.base.errors import ChannelError
from channeld.cli_client import AdminClient, DaemonUnreachable

WAIT_S = 30.0
POLL_S = 0.1


def upgrade(client: AdminClient, *, hosts: bool) -> dict[str, Any]:
    """Another control, and other hosts where wanted; gives the new one's status. Raises ChannelError when none comes."""
    before = client.post("/api/v1/restart?part=control")["since"]
    status = _until(client, lambda status: status["since"] != before, "no other control answers")
    if hosts:
        old = set(status["hosts"].values())
        client.post("/api/v1/restart?part=hosts")
        status = _until(client, lambda status: status["hosts"] and not old & set(status["hosts"].values()), "the hosts were not replaced")
    return status


def _until(client: AdminClient, holds: Any, what: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            status: dict[str, Any] = client.get("/api/v1/status")
        except DaemonUnreachable:
            status = {}
        if status and holds(status):
            return status
        time.sleep(POLL_S)
    raise ChannelError(f"{what} within {WAIT_S:g} s. Look at the daemon's log; the channels are on air as long as `channeld hold` runs")
