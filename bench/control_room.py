"""What the control room costs with many channels on air: answers of the API beside an empty route, and the wall in Chromium.

Run: python bench/control_room.py [--channels 100] [--wall 200] [--requests 300] [--seconds 60] [--folder DIR] [--json]
Channels are of 320x180 with an HTTP stream that nobody watches: what is measured is control, not the outputs. Goals: API p99 ≤ 50 ms;
with the wall's channels first paint < 1 s, < 100 MB of the page, idle CPU near zero. Each request to the API is followed by one to an
empty FastAPI route of another process, so that what else the machine does falls on both.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from fastapi import FastAPI
from stage import DEFAULT_FOLDER, Cast, Stage, by_role, free_ports, quantile, staged

PROFILE = "{width: 320, height: 180, fps: 25, gop_seconds: 1, video_bitrate: 300k, audio_bitrate: 64k, preset: ultrafast}"
WARM_UP_S = 15.0
GOALS = {"p99_ms": 50.0, "paint_ms": 1000.0, "page_mb": 100.0, "idle_percent": 5.0}
ROUTES = {
    "all channels": ("/api/v1/channels", "application/json"),
    "one channel": ("/api/v1/channels/c000", "application/json"),
    "playlist": ("/api/v1/channels/c000/playlist", "application/json"),
    "as-run, 100 lines": ("/api/v1/as-run?limit=100", "application/json"),
}


def serve_nothing(port: int) -> None:
    """An empty FastAPI route, by the same server and loop."""
    app = FastAPI()

    @app.get("/")
    async def nothing() -> dict[str, str]:
        return {}

    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", log_level="error")


@contextlib.contextmanager
def empty_route() -> Iterator[http.client.HTTPConnection]:
    """A connection to it."""
    (port,) = free_ports(1)
    with subprocess.Popen([sys.executable, __file__, "--serve", str(port)]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                connection.connect()
                break
            if time.monotonic() > deadline:
                raise TimeoutError("the empty route does not answer")
            time.sleep(0.1)
        yield connection
        connection.close()
        server.terminate()


def ask(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> tuple[float, int]:
    """Milliseconds to the last byte, and how many bytes."""
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} answers {answer.status}: {body[:300]!r}")
    return (time.perf_counter() - began) * 1000, len(body)


def measure_api(stage: Stage, requests: int) -> dict[str, Any]:
    """Answer times of each route, and of the empty one."""
    daemon = http.client.HTTPConnection("127.0.0.1", int(stage.url.rpartition(":")[2]), timeout=30)
    times: dict[str, list[float]] = {name: [] for name in (*ROUTES, "empty")}
    sizes = dict.fromkeys(ROUTES, 0)
    with empty_route() as empty, contextlib.closing(daemon):
        for _ in range(requests):
            for name, (path, accept) in ROUTES.items():
                spent, sizes[name] = ask(daemon, path, {**stage.headers, "Accept": accept})
                times[name].append(spent)
                times["empty"].append(ask(empty, "/", {})[0])
    least = {share: quantile(times["empty"], share) for share in (0.5, 0.99)}
    found: dict[str, Any] = {"empty route": {"p50_ms": round(least[0.5], 2), "p99_ms": round(least[0.99], 2)}}
    for name in ROUTES:
        p50, p99 = quantile(times[name], 0.5), quantile(times[name], 0.99)
        ratio = {"p50": round(p50 / least[0.5], 1), "p99": round(p99 / least[0.99], 1)}
        found[name] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "ratio": ratio, "kb": round(sizes[name] / 1000, 1)}
    return found


def measure_wall(stage: Stage, seconds: float) -> dict[str, Any]:
    """The page with all channels: paint, memory, and CPU while nobody touches it."""
    from playwright.sync_api import sync_playwright  # only for those who ask for the wall

    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("this benchmark needs chromium")
    with sync_playwright() as playwright:
        known = {process.pid for process in psutil.Process().children(recursive=True)}
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--enable-precise-memory-info"])
        family = [process for process in psutil.Process().children(recursive=True) if process.pid not in known]
        page = browser.new_page(viewport={"width": 1360, "height": 850})
        blank = _memory(_page_process(family))
        page.goto(f"{stage.url}/#/")
        page.get_by_label("Token").fill(stage.headers["Authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()
        page.locator(".card").first.wait_for(state="attached")
        page.reload()  # signed in: what an operator's bookmark does
        began = time.perf_counter()
        page.locator(".card").nth(len(stage.cast.channels) - 1).wait_for(state="attached")
        shown_ms = (time.perf_counter() - began) * 1000
        paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        time.sleep(20)
        idle = _idle(stage, family, seconds)
        heap = page.evaluate("(globalThis.gc?.(), performance.memory.usedJSHeapSize)")
        nodes = page.evaluate("document.querySelectorAll('*').length")
        browser.close()
    told = {"paint_ms": round(paint_ms), "names_after_load_ms": round(shown_ms), "heap_mb": round(heap / 1e6, 1), "nodes": nodes}
    return {**told, **idle, "blank": blank}


def _idle(stage: Stage, family: list[psutil.Process], seconds: float) -> dict[str, Any]:
    """CPU in percent of a core and memory: of the page's process, the browser's others, and control, over this time."""
    page, everything = _page_process(family), _living(family)
    roles = {"page": [page], "browser": [each for each in everything if each != page], "control": by_role(stage.daemon_pid)["control"]}
    before = {role: _cpu(members) for role, members in roles.items()}
    began = time.monotonic()
    time.sleep(seconds)
    wall = time.monotonic() - began
    percent = {role: round((_cpu(members) - before[role]) / wall * 100, 1) for role, members in roles.items()}
    return {"idle_cpu_percent": percent, **_memory(page)}


def _living(family: list[psutil.Process]) -> set[psutil.Process]:
    return {child for process in family if process.is_running() for child in (process, *process.children(recursive=True))}


def _page_process(family: list[psutil.Process]) -> psutil.Process:
    """The renderer that has most of its own: the page's, beside a spare one."""
    return max((each for each in _living(family) if "--type=renderer" in each.cmdline()), key=lambda each: each.memory_full_info().uss)


def _memory(process: psutil.Process) -> dict[str, float]:
    """Of a process alone, its share, and what it wrote itself: unlike the first two, that does not depend on who else runs Chromium.

    Pages of the program's own file count as its alone where no other process has them in memory: 10 to 40 MB, from run to run.
    """
    memory = process.memory_full_info()
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    written_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty:"))
    return {
        "page_mb": round(memory.uss / 1e6, 1),
        "page_pss_mb": round(memory.pss / 1e6, 1),
        "page_written_mb": round(written_kb * 1024 / 1e6, 1),
    }


def _cpu(members: list[psutil.Process]) -> float:
    used = 0.0
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def on_air(folder: Path, channels: int) -> contextlib.AbstractContextManager[Stage]:
    """So many small channels."""
    return staged(folder, Cast(tuple(f"c{number:03}" for number in range(channels)), outputs="ts", profile=PROFILE), timeout_s=300.0)


def run(folder: Path, channels: int, wall: int, requests: int, seconds: float) -> dict[str, Any]:
    """Both; `channels` or `wall` 0 leaves one out."""
    found: dict[str, Any] = {"cores": psutil.cpu_count()}
    if channels:
        with on_air(folder, channels) as stage:
            time.sleep(WARM_UP_S)
            found["api"] = {"channels": channels, "machine_percent": psutil.cpu_percent(3.0), **measure_api(stage, requests)}
        found["api_goal_met"] = all(found["api"][name]["p99_ms"] <= GOALS["p99_ms"] for name in ROUTES)
    if wall:
        with on_air(folder, wall) as stage:
            time.sleep(WARM_UP_S)
            shown = measure_wall(stage, seconds)
        met = shown["paint_ms"] < GOALS["paint_ms"] and shown["page_mb"] < GOALS["page_mb"]
        found |= {"wall": {"channels": wall, **shown}, "wall_goal_met": met and shown["idle_cpu_percent"]["page"] < GOALS["idle_percent"]}
    return found


def main() -> int:
    """Print the figures; status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--wall", type=int, default=200)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER / "small")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if wishes.serve is not None:
        serve_nothing(wishes.serve)
        return 0
    found = run(wishes.folder, wishes.channels, wishes.wall, wishes.requests, wishes.seconds)
    sys.stdout.write((json.dumps(found) if wishes.json else "\n".join(f"{name:16} {value}" for name, value in found.items())) + "\n")
    return 0 if all(found.get(goal, True) for goal in ("api_goal_met", "wall_goal_met")) else 1


if __name__ == "__main__":
    raise SystemExit(main())
