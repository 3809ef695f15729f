"""What looking at a published segment costs: parsing it, loading it over HTTP, and decoding it.

Run: python bench/readback_bench.py [--rounds 50] [--json]. Goal: parsing a segment of 4 s at 3 Mb/s takes less than 5 ms of CPU.
The segment is made anew: test pattern with noise at a constant 3 Mb/s, sound at 128 kb/s. Loading is a whole look (manifest and
segment, from a server in another process, parsing included), in CPU time of the process that looks. Decoding is FFmpeg's own
account of its CPU time.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from channeld.media.tools import find_tools
from channeld.readback.decode import decode
from channeld.readback.effort import Effort
from channeld.readback.follow import Follower
from channeld.readback.sampling import Sampler
from channeld.readback.segment import inspect_segment
from channeld.readback.subject import Subject
from channeld.readback.turns import Budget, Turns
from channeld.readback.viewer import Viewer

SEGMENT_S = 4.0
GOAL_MS = 5.0


def make_segment(path: Path, ffmpeg: str) -> bytes:
    """Four seconds of 720p30 at a constant 3 Mb/s."""
    picture = ["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30,noise=alls=12:allf=t", "-f", "lavfi", "-i", "sine=r=48000"]
    rate = ["-b:v", "3M", "-minrate", "3M", "-maxrate", "3M", "-bufsize", "1M", "-x264-params", "nal-hrd=cbr"]
    video = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "60", *rate]
    sound = ["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-pes_payload_size", "0"]
    command = [ffmpeg, "-nostdin", "-v", "error", *picture, "-t", str(SEGMENT_S), *video, *sound, "-f", "mpegts", str(path)]
    subprocess.run(command, check=True, timeout=120)
    return path.read_bytes()


def parse_ms(segment: bytes, rounds: int) -> list[float]:
    """CPU of parsing, in milliseconds."""
    if faults := inspect_segment(segment, SEGMENT_S).faults:
        sys.exit(f"the segment made for this is faulty: {faults}")
    spent = []
    for _ in range(rounds):
        begun = time.thread_time()
        inspect_segment(segment, SEGMENT_S)
        spent.append(1000 * (time.thread_time() - begun))
    return spent


async def look_ms(folder: Path, segment: bytes, rounds: int) -> list[float]:
    """CPU of whole looks, in milliseconds; each finds a new segment."""
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stdout is not None
    port = int(server.stdout.readline().split(" port ")[1].split()[0])
    viewer, turns = Viewer(), Turns(Budget(0.0, now_ns=time.monotonic_ns()))
    sampler = Sampler(turns, {}, "ffmpeg", lambda: False)
    follower = Follower(Subject("bench", "hls", "hls", f"http://127.0.0.1:{port}/index.m3u8"), viewer, sampler, Effort(1.0), 5.0)
    spent = []
    try:
        for number in range(rounds):
            (folder / f"s{number}.ts").write_bytes(segment)
            head = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{number}\n"
            (folder / "index.m3u8").write_text(f"{head}#EXTINF:{SEGMENT_S:.6f},\ns{number}.ts\n")
            begun = time.process_time()
            reading = await follower.look()
            spent.append(1000 * (time.process_time() - begun))
            if reading.verdict is None or reading.verdict.reason is not None:
                sys.exit(f"the look failed: {reading}")
            (folder / f"s{number}.ts").unlink()
    finally:
        await viewer.close()
        sampler.close()
        server.terminate()
        server.wait(10)
    return spent


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ffmpeg = find_tools().ffmpeg
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segment = make_segment(folder / "made.ts", ffmpeg)
        parsed = parse_ms(segment, options.rounds)
        looked = asyncio.run(look_ms(folder, segment, options.rounds))
        decoded = [1000 * decode(segment, SEGMENT_S, ffmpeg).cpu_s for _ in range(max(3, options.rounds // 10))]
    figures = {
        "segment_bytes": len(segment),
        **{
            f"{name}_ms": {"median": round(statistics.median(spent), 2), "worst": round(max(spent), 2)}
            for name, spent in (("parse", parsed), ("look", looked), ("decode", decoded))
        },
    }
    told = json.dumps(figures) if options.json else "\n".join(f"{key}: {value}" for key, value in figures.items())
    sys.stdout.write(told + "\n")
    sys.exit(statistics.median(parsed) >= GOAL_MS)


if __name__ == "__main__":
    main()
