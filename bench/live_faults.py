"""Never a dead picture: every protocol suffers every fault, again and again, at random moments, while viewers watch.

Run: python bench/live_faults.py [--protocols http,rtsp,…] [--faults kill,freeze,…] [--rounds 20] [--minutes M] [--seed 7]
     [--clients ffmpeg,hls,mpv,vlc,chromium] [--folder DIR] [--json]
One daemon, a channel for each protocol, all at once; peers are those of tests/peers/upstreams.py, in network namespaces where these can be
had (root). Each channel's endless stream is kept by a viewer's process and judged afterwards: continuity, timestamps, decoding, and whether
pictures are what the as-run log says. Tells, for each fault, how long after the blow the first slate and the one with the right reason were
seen, and how long after the source was live again it was seen. Ends with status 1 where a viewer had to complain.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stage import REPOSITORY, quantile

sys.path.insert(0, str(REPOSITORY / "tests" / "on_air"))

import running
from ordeal import Figures, Ordeal, shuffled
from ordeal_clients import CLIENTS, Client
from peers.upstreams import FAULTS, KINDS, make_upstream
from running import RunningDaemon, free_ports

STILL_S = 15.0
COLUMNS = ("slate_s", "reason_s", "silent_s", "silent_reason_s", "back_s", "mended_s")


def channel_of(name: str, url: str) -> dict[str, Any]:
    """A channel of one source, of the same name."""
    kind = KINDS[name]
    source = {"name": name, "url": url, "timeout_seconds": 4, **kind.source}
    return {"sources": [source], "failover": dict(kind.graces), "outputs": [{"ts": {}}, {"hls": {"segment_seconds": 1}}]}


def run(wanted: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All of it; what is told."""
    upstreams = [make_upstream(name, folder / name, free_ports, seed=wanted.seed) for name in wanted.protocols]
    daemon = RunningDaemon(folder / "daemon", {each.name: channel_of(each.name, each.url) for each in upstreams})
    clients: list[Client] = []
    try:
        for each in upstreams:
            each.start()
        daemon.start()
        ordeals = [Ordeal(daemon, each, folder, wanted.seed) for each in upstreams]
        for ordeal in ordeals:
            ordeal.until_on_air(f"{ordeal.name} on air")
            ordeal.watch()
        until_still(folder / "daemon" / "state" / "cache")
        clients += [CLIENTS[client](daemon, name, folder) for client in wanted.clients for name in wanted.protocols]
        load = suffer(ordeals, wanted)
        found = judge(ordeals, clients)
    finally:
        faults_at_end = daemon.stop()
        for client in clients:
            client.close()
        for each in upstreams:
            each.stop()
    return {**found, "faults": found["faults"] + faults_at_end, "load": load}


def until_still(cache: Path) -> None:
    """Wait until nothing new is prepared: slates are, in the minutes after the first start of all, and what is not there cannot air."""
    names, since_s = set[Path](), time.monotonic()
    while time.monotonic() - since_s < STILL_S:
        time.sleep(0.5)
        now = set(cache.rglob("*"))
        if now != names:
            names, since_s = now, time.monotonic()


def suffer(ordeals: Sequence[Ordeal], wanted: argparse.Namespace) -> list[float]:
    """All at the same time; the machine's load meanwhile, at the beginning and the end."""
    until_s = time.monotonic() + 60 * wanted.minutes
    load = [os.getloadavg()[0]]

    def go(ordeal: Ordeal) -> None:
        faults = [fault for fault in wanted.faults if fault in ordeal.upstream.faults]
        try:
            ordeal.suffer(shuffled(faults, wanted.rounds, wanted.seed), until_s)
        except Exception as error:  # noqa: BLE001  # told with what the others found
            ordeal.trouble.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=go, args=(ordeal,), name=ordeal.name) for ordeal in ordeals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [round(each, 1) for each in (*load, os.getloadavg()[0])]


def judge(ordeals: Sequence[Ordeal], clients: Sequence[Client]) -> dict[str, Any]:
    """What viewers saw."""
    time.sleep(2)
    faults = [fault for client in clients for fault in client.faults()]
    figures: list[Figures] = []
    for ordeal in ordeals:
        airings = ordeal.daemon.airings(ordeal.name)
        ordeal.finish()
        faults += ordeal.faults() + ordeal.pictures(airings)
        figures += ordeal.figures(airings)
    still = {ordeal.name: ordeal.longest_still_s for ordeal in ordeals}
    waits = {ordeal.name: round(ordeal.longest_wait_s, 2) for ordeal in ordeals}
    watched = {ordeal.name: round(len(ordeal.report.video.units.dts) / 25 if ordeal.report.video else 0.0) for ordeal in ordeals}
    return {
        "figures": [asdict(each) for each in figures],
        "faults": faults,
        "watched_s": watched,
        "longest_still_s": still,
        "longest_wait_s": waits,
    }


def table(figures: Sequence[dict[str, Any]], by: str) -> list[str]:
    """Rows of p50/p99/max for each protocol or fault."""
    rows = [
        f"| {by} | blows | first slate | slate with the reason | after the last that came | with the reason | live to air | mended |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(each[by] for each in figures):
        of = [each for each in figures if each[by] == name]
        cells = []
        for column in COLUMNS:
            values = [each[column] for each in of if each[column] is not None]
            cells.append(
                f"{quantile(values, 0.5):.2f} / {quantile(values, 0.99):.2f} / {max(values):.2f} ({len(values)})" if values else ""
            )
        rows.append(f"| {name} | {len(of)} | " + " | ".join(cells) + " |")
    return rows


def words(text: str) -> tuple[str, ...]:
    """Of a list with commas."""
    return tuple(word for word in text.split(",") if word)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", type=words, default=tuple(KINDS))
    parser.add_argument("--faults", type=words, default=FAULTS)
    parser.add_argument("--clients", type=words, default=())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running.START_S = 300.0  # a machine may be busy
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="live-faults-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = run(wanted, folder)
    if wanted.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        lines = [
            *table(found["figures"], "upstream"),
            "",
            *table(found["figures"], "fault"),
            "",
            f"load {found['load']}, watched {found['watched_s']}, longest still {found['longest_still_s']}, "
            f"longest wait {found['longest_wait_s']}",
        ]
        sys.stdout.write("\n".join([*lines, *(found["faults"] or ["no viewer had to complain"])]) + "\n")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
