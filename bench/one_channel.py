"""CPU of one steady 720p30 channel against a plain `ffmpeg -re -c copy` and against a real-time x264 encode.

Run: python bench/one_channel.py [--seconds 60] [--folder DIR] [--json]
All three push at the same time to the same nginx-rtmp, so that what else the machine does meets all. Then the same
daemon with ten channels, as a daemon that stands idle costs something too: the difference is what one more channel costs.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from stage import DEFAULT_FOLDER, Cast, Meter, Spent, Stage, by_role, staged

GOAL_COPY, GOAL_ENCODE = 1.15, 1 / 40
WARM_UP_S = 15.0
MORE_CHANNELS = 10
_FLV_TAGS = ("-tag:v", "7", "-tag:a", "10")
_ENCODE = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "3M", "-maxrate", "4.5M", "-bufsize", "3M", "-g", "60", "-c:a", "copy")


def plain_pushes(stage: Stage, clip: Path) -> dict[str, subprocess.Popen[bytes]]:
    """The two that channeld is compared with, started. FLV wants its own tags for what came from a transport stream."""
    source = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(clip)]
    lines = {
        "plain copy": [*source, "-c", "copy", *_FLV_TAGS, "-f", "flv", stage.origin.rtmp_url("plain")],
        "x264 veryfast": [*source, *_ENCODE, *_FLV_TAGS, "-f", "flv", stage.origin.rtmp_url("encoded")],
    }
    return {name: subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name, line in lines.items()}


def side_by_side(folder: Path, seconds: float) -> Spent:
    """One channel, plain copy and encode at once."""
    with staged(folder, Cast(("c000",))) as stage:
        pushes = plain_pushes(stage, longest_clip(folder))
        try:
            time.sleep(WARM_UP_S)
            plain = {name: [psutil.Process(push.pid)] for name, push in pushes.items()}
            meter = Meter({**by_role(stage.daemon_pid), **plain})
            time.sleep(seconds)
            if ended := [name for name, push in pushes.items() if push.poll() is not None]:
                raise RuntimeError(f"ended while measured: {ended}")
            return meter.read()
        finally:
            for push in pushes.values():
                push.send_signal(signal.SIGTERM)
                push.wait(10)


def longest_clip(folder: Path) -> Path:
    """The prepared clip that loops least often."""
    return max((folder / "state" / "cache").glob("*/*.ts"), key=lambda path: path.stat().st_size)


def daemon_alone(folder: Path, channels: int, seconds: float) -> Spent:
    """A daemon with so many channels, and nothing beside it."""
    with staged(folder, Cast(tuple(f"c{number:03}" for number in range(channels)))) as stage:
        time.sleep(WARM_UP_S)
        meter = Meter(by_role(stage.daemon_pid))
        time.sleep(seconds)
        return meter.read()


def compare(folder: Path, seconds: float) -> dict[str, object]:
    """All figures: percent of one core, and ratios."""
    spent = side_by_side(folder, seconds)
    plain, encode = spent.by_role.pop("plain copy"), spent.by_role.pop("x264 veryfast")
    one, ten = daemon_alone(folder, 1, seconds), daemon_alone(folder, MORE_CHANNELS, seconds)
    marginal = (ten.total - one.total) / (MORE_CHANNELS - 1)
    return {
        "channel_percent": {**percent(spent), "total": round(spent.total * 100, 3)},
        "plain_copy_percent": round(plain * 100, 3),
        "x264_veryfast_percent": round(encode * 100, 2),
        "ratio_to_copy": round(spent.total / plain, 3),
        "ratio_to_encode": f"1/{encode / spent.total:.1f}",
        "one_channel_percent": {**percent(one), "total": round(one.total * 100, 3)},
        "ten_channels_percent": {**percent(ten), "total": round(ten.total * 100, 3)},
        "one_more_channel_percent": round(marginal * 100, 3),
        "one_more_channel_to_copy": round(marginal / plain, 3),
        "other_programs_percent": round(spent.others * 100, 1),
        "goals_met": {"copy": spent.total <= GOAL_COPY * plain, "encode": spent.total <= GOAL_ENCODE * encode},
    }


def percent(spent: Spent) -> dict[str, float]:
    """Percent of one core by role."""
    return {role: round(cores * 100, 3) for role, cores in sorted(spent.by_role.items())}


def main() -> int:
    """Print the comparison; status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--json", action="store_true")
    wishes = parser.parse_args()
    found = compare(wishes.folder, wishes.seconds)
    lines = json.dumps(found) if wishes.json else "\n".join(f"{name:26} {value}" for name, value in found.items())
    sys.stdout.write(lines + "\n")
    return 0 if found["goals_met"] == {"copy": True, "encode": True} else 1


if __name__ == "__main__":
    raise SystemExit(main())
