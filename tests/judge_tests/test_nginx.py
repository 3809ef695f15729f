"""What a real nginx-rtmp makes of a clean stream is clean within its muxer's allowances, and not without them."""

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from clips import numbered_clip, read_numbers
from judge.flv import read_flv
from judge.hls_recorder import HlsRecorder
from judge.ts import NGINX_HLS, SPLICED, read_ts
from nginx_origin import NginxOrigin

from .conftest import HOUSE

FRAMES = 240


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(30000, 1001)], ids=str)
def test_a_push_in_real_time_is_clean_in_hls_and_in_flv(nginx_rtmp: NginxOrigin, tmp_path: Path, fps: Fraction) -> None:
    options = (*HOUSE, "-g", "30")
    clip = numbered_clip(tmp_path / "clip.ts", frames=FRAMES, fps=fps, size=(320, 180), options=(*options, "-pes_payload_size", "0"))
    address, recorded = nginx_rtmp.rtmp_url("judged"), tmp_path / "recorded.flv"
    tags = ["-tag:v", "7", "-tag:a", "10", "-bsf:a", "aac_adtstoasc"]
    push = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-i", str(clip), "-c", "copy", *tags, "-f", "flv", address]
    pull = ["ffmpeg", "-nostdin", "-v", "error", "-rw_timeout", "20000000", "-i", address, "-c", "copy", "-t", "5", str(recorded)]
    with HlsRecorder(nginx_rtmp.hls_url("judged"), tmp_path / "seen", poll_s=0.2) as viewer:
        # Both at once: who comes before the publisher waits for it; who comes when it has ended would wait for ever.
        with subprocess.Popen(pull) as puller, subprocess.Popen(push) as publisher:
            assert publisher.wait(timeout=60) == 0
            assert puller.wait(timeout=60) == 0
        assert viewer.wait_for_segments(1, 30)
    assert viewer.faults() == []
    assert read_flv(recorded).faults(fps) == []
    joined = viewer.concatenate()
    assert read_ts(joined, fps=fps, allowances=NGINX_HLS, segment_bytes=viewer.sizes()).faults() == []
    strict = " ".join(read_ts(joined, fps=fps, allowances=SPLICED, segment_bytes=viewer.sizes()).faults())
    assert "continuity errors" in strict and "PCRs are up to" in strict and "not exactly one ADTS frame" in strict
    stream = tmp_path / "joined.ts"
    stream.write_bytes(joined)
    numbers = read_numbers(stream)
    assert len(numbers) >= 4 * 30 and numbers == list(range(len(numbers)))
