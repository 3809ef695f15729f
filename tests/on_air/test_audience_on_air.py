"""Clients of the endless stream of a running daemon: served over the death of a host, known to the API and to the metrics."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from nginx_origin import wait_until
from running import RunningDaemon
from timeline import LONG

SECONDS = 8
CLIENTS = 6
HOST = "channeld.playout.host"


def figures(daemon: RunningDaemon) -> dict[str, float]:
    """Metrics of the stream's clients by name, without labels."""
    with daemon.client() as client:
        text = client.get("/metrics").text
    found = re.findall(r'^channeld_output_(\w+)\{[^}]*output="ts"(?:,le="\+Inf")?\} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_clients_stay_when_a_host_dies_and_are_known_by_name_number_and_bytes(
    daemon_of: Callable[..., RunningDaemon], deck: Path, prepared: Path
) -> None:
    """The host is killed while they watch: no client is lost, and none finds a counter out of step."""
    playlist = deck.parent / "audience.txt"
    playlist.write_text(f"{deck / LONG}\n")
    channel = {"playlist": str(playlist), "media_roots": [str(deck)], "outputs": [{"ts": {}}]}
    daemon = daemon_of({"one": channel}, cache=prepared)
    daemon.config["media"] |= {"max_clients_per_address": CLIENTS}
    daemon.write_config()
    daemon.start()
    line = [sys.executable, "-m", "channeld", "load", daemon.ts_url("one"), "--clients", str(CLIENTS), "--seconds", str(SECONDS), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as load:
        wait_until(lambda: told(daemon)["totals"]["clients"] == CLIENTS, what="every client to be there", timeout_s=30)
        assert httpx.get(daemon.ts_url("one")).status_code == 429
        (host,) = [process for process in daemon.family() if HOST in " ".join(process.cmdline())]
        host.kill()
        listed = told(daemon)["clients"]
        assert len({each["id"] for each in listed}) == CLIENTS
        assert {(each["address"], each["user_agent"]) for each in listed} == {("127.0.0.1", "channeld-load")}
        report = json.loads(load.communicate(timeout=60)[0])
    assert (report["connected"], report["lost"], report["continuity_errors"], report["unsynced_packets"]) == (CLIENTS, 0, 0, 0), report
    wait_until(lambda: told(daemon)["totals"]["ended"] == CLIENTS, what="every client to be gone", timeout_s=30)
    after = told(daemon)
    assert {each["ended"] for each in after["gone"]} == {"left"}
    assert (after["clients"], after["totals"]["refused"], after["is_complete"]) == ([], 1, True)
    assert after["totals"]["bytes"] >= report["bytes"] > 0
    shown = figures(daemon)
    assert (shown["clients"], shown["clients_refused_total"], shown["connection_seconds_bucket"]) == (0, 1, CLIENTS)
    assert shown["client_bytes_total"] == after["totals"]["bytes"] and shown["client_skips_total"] == 0


def told(daemon: RunningDaemon) -> dict[str, Any]:
    """What the API tells of the clients."""
    answer: dict[str, Any] = daemon.get("/api/v1/channels/one/clients?limit=1000")
    return answer
