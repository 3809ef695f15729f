"""A manifest that nobody adds to any more is not a live source, however often it is read again."""

import functools
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prepared import TINY

from channeld.media.cache import ClipCache
from channeld.media.card import ensure_reference
from channeld.media.live_input import live_input
from channeld.media.tools import find_tools
from channeld.sources.attempt import Attempt, Choice, Figures, Means
from channeld.sources.segments import Segments
from channeld.sources.spec import Reason, SourceSpec, SourceState


def opened(*names: str) -> list[str]:
    return [f"[hls @ 0x5559] [info] Opening 'http://h/{name}' for reading" for name in names]


def fed(before: Segments | None, *names: str) -> Segments:
    segments = Segments(before.seen if before else ())
    for line in opened(*names):
        segments.feed(line)
    return segments


def test_what_had_come_before_a_loss_is_old_until_something_new_is_opened() -> None:
    first = fed(None, "1.ts", "2.ts", "3.ts", "4.ts")
    assert not first.are_old
    again = fed(first, "2.ts", "3.ts", "4.ts")
    assert again.are_old and fed(again, "2.ts", "3.ts", "4.ts").are_old
    assert not fed(again, "3.ts", "4.ts", "5.ts").are_old


def test_a_server_that_names_its_segments_in_turns_comes_back_all_the_same() -> None:
    first = fed(None, "1.ts", "2.ts", "3.ts", "1.ts", "2.ts", "3.ts")
    assert fed(first, "2.ts", "3.ts", "1.ts").are_old and not fed(first, "2.ts", "3.ts", "1.ts", "2.ts").are_old


def test_pictures_and_sound_with_manifests_of_their_own_begin_with_as_many_each() -> None:
    names = ("v.m3u8", "a.m3u8?x=1", "v1.ts", "v2.ts", "v3.ts", "a1.ts", "a2.ts", "a3.ts")
    assert fed(fed(None, *names), *names).are_old


def test_another_token_or_session_does_not_make_a_segment_new() -> None:
    first = fed(None, *(f"media_w123_{number}.ts?token=a" for number in range(5)))
    again = fed(first, *(f"media_w456_{number}.ts?token=b" for number in range(2, 5)))
    assert again.are_old and not fed(again, "media_w789_5.ts?token=c").are_old


def test_a_source_without_segments_is_never_old() -> None:
    segments = Segments(Segments().seen)
    segments.feed("[info] Input #0, mpegts, from 'udp://127.0.0.1:5000':")
    assert not segments.are_old


@pytest.fixture
def left_alone(tmp_path: Path) -> Iterator[str]:
    """A manifest whose encoder died."""
    folder = tmp_path / "www"
    folder.mkdir()
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-f", "lavfi", "-i", "sine=440:r=48000", "-t", "2")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-f", "hls", "-hls_time", "0.4", "-hls_list_size", "0")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *picture, *coded, "index.m3u8"], cwd=folder, check=True)
    manifest = folder / "index.m3u8"
    manifest.write_text(manifest.read_text().replace("#EXT-X-ENDLIST\n", ""))
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="www")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/index.m3u8"
        server.shutdown()
        thread.join(10)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # the library's name
        """Nothing."""


def test_a_manifest_that_stands_still_is_told_as_live_once(left_alone: str, tmp_path: Path) -> None:
    reference = ensure_reference(ClipCache(tmp_path / "cache", 1 << 30), TINY, find_tools())
    told: list[SourceState] = []

    def tell(state: SourceState, reason: Reason | None, _detail: str, _clip: str | None) -> None:
        if not told or told[-1] is not state:
            told.append(state)

    (tmp_path / "live").mkdir()
    spec = SourceSpec("cam", left_alone, str(tmp_path / "live"), TINY, timeout_s=1.0, loss_grace_s=0.5)
    means = Means(spec, live_input(left_alone, timeout_s=1.0), reference, find_tools(), tell, lambda: False)
    choice, figures = Choice(copies=False), Figures()
    attempt: Callable[[str], Attempt] = lambda key: Attempt(means, choice, figures, key)  # noqa: E731
    assert attempt("cam-1").run()[0] is Reason.TIMED_OUT
    assert told == [SourceState.LIVE, SourceState.LOST]
    frames = figures.frames
    assert attempt("cam-2").run()[0] is Reason.TIMED_OUT
    assert figures.frames > frames, "it did come again"
    assert told == [SourceState.LIVE, SourceState.LOST]
