"""Prepare speed against the same plain FFmpeg line: what measuring, checking, indexing and syncing cost.

Run: python bench/prepare_bench.py FILE [--rounds 3] [--json]. Goal: at least 0.95 of the plain line's speed.
The plain line is the very command that prepare runs, its output thrown away. Loudness is measured once before, and told apart:
a plain encoder would not measure at all. Both run in turn, so that what else the machine does meets both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_reference, key_of_profile
from channeld.media.facts import choose_audio
from channeld.media.ffmpeg_args import Sound, Voice, prepare_args
from channeld.media.job import Job, run_job
from channeld.media.loudness import level, measure
from channeld.media.plan import Trim, make_plan
from channeld.media.probe import probe
from channeld.media.profile import Profile
from channeld.media.tools import find_tools
from channeld.process.confine import clean_environment

PROFILE = Profile("720p30", 1280, 720, FrameRate(30, 1), 3_000_000, 128_000)


def plain_seconds(argv: list[str]) -> float:
    """Seconds that the bare command takes, at the priority that prepare's child has."""
    started = time.monotonic()
    nothing = subprocess.DEVNULL
    subprocess.run(["nice", "-n", "10", *argv], stdin=nothing, stdout=nothing, stderr=nothing, env=clean_environment(), check=True)
    return time.monotonic() - started


def compare(source: Path, rounds: int) -> dict[str, float]:
    """Seconds of each part, the best of `rounds`, and the ratio of speeds."""
    tools = find_tools()
    facts = probe(source)
    audio = choose_audio(facts, None)
    plan = make_plan(facts, audio, Trim(), PROFILE.fps)
    voice = Voice(source, audio.index, plan) if audio else None
    seconds = PROFILE.fps.seconds(plan.frames)
    started = time.monotonic()
    sound = level(measure(voice, seconds, tools), PROFILE.loudness) if voice else Sound()
    measured_s = time.monotonic() - started
    assert facts.video is not None, "a file with a picture, please"
    argv = prepare_args(source, facts.video, voice, plan, PROFILE, sound, tools)
    plain, prepared = [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = ClipCache(Path(folder), 1 << 40)
        reference = ensure_reference(cache, PROFILE, tools)
        job = Job("bench", PROFILE, key_of_profile(PROFILE, tools), argv, plan.frames)
        for number in range(rounds):
            plain.append(plain_seconds(argv))
            started = time.monotonic()
            run_job(replace(job, key=f"bench{number}"), cache, reference)
            prepared.append(time.monotonic() - started)
    return {
        "clip_s": round(seconds, 2),
        "measure_s": round(measured_s, 3),
        "plain_s": round(min(plain), 3),
        "prepare_s": round(min(prepared), 3),
        "speed": round(seconds / min(prepared), 2),
        "ratio": round(min(plain) / min(prepared), 3),
        "ratio_with_measuring": round(min(plain) / (min(prepared) + measured_s), 3),
    }


def main() -> int:
    """Print the comparison; status 1 below the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    wishes = parser.parse_args()
    found = compare(wishes.file, wishes.rounds)
    text = json.dumps(found) if wishes.json else "\n".join(f"{name:22} {value}" for name, value in found.items())
    sys.stdout.write(text + "\n")
    return 0 if found["ratio"] >= 0.95 else 1


if __name__ == "__main__":
    raise SystemExit(main())
