"""A live clip: read from its edge, read on where another left it, and never larger than its newest part."""

import errno
from pathlib import Path

import pytest

from channeld.base.units import FrameRate
from channeld.playout.beginning import Beginning
from channeld.playout.lookahead import ClipSource, Lookahead
from channeld.sources import live_clip
from channeld.sources.live_clip import LiveClip
from channeld.ts.index import Block, ClipHeader

HEADER = ClipHeader("", FrameRate(25, 1), 25, 1)


def source_of(clip: LiveClip, behind_s: float) -> ClipSource:
    return ClipSource("airing", "entry", str(clip.ts_path), str(clip.idx_path), behind_s=behind_s)


def read(lookahead: Lookahead) -> list[Block]:
    """All that is there."""
    found: list[Block] = []
    while True:
        lookahead.read_block()
        arrived = lookahead.take_arrived()
        if not arrived:
            assert lookahead.failure is None
            return found
        found += arrived


def frames(blocks: list[Block]) -> int:
    return sum(len(block.video) for block in blocks)


@pytest.fixture
def kept_short(tmp_path: Path) -> LiveClip:
    """Keeps next to nothing."""
    return LiveClip(tmp_path, "cam-1", HEADER, kept_s=0.0, turn_s=0.0)


def test_a_reader_begins_at_the_random_access_point_behind_the_newest_picture(tmp_path: Path, blocks: list[Block]) -> None:
    clip = LiveClip(tmp_path, "cam-1", HEADER)
    for block in blocks:
        clip.append(block)
    lookahead = Lookahead(source_of(clip, 1.5))
    got = read(lookahead)
    assert frames(got) == 50  # 1.5 s behind frame 225 is 187; the random access point before it is 175
    assert lookahead.feed.frames_sent == 0 and got[0].video["flags"][0] & 1
    clip.close()


def test_a_reader_sees_what_is_appended_and_ends_when_it_is_finished(tmp_path: Path, blocks: list[Block]) -> None:
    clip = LiveClip(tmp_path, "cam-1", HEADER)
    clip.append(blocks[0])
    lookahead = Lookahead(source_of(clip, 60.0))
    assert frames(read(lookahead)) == len(blocks[0].video) and not lookahead.complete
    clip.append(blocks[1])
    assert read(lookahead)[0].ts == blocks[1].ts
    clip.finish(0)
    assert read(lookahead) == [] and lookahead.complete


def test_what_is_old_is_given_back_and_the_rest_is_read_as_it_was(kept_short: LiveClip, blocks: list[Block], tmp_path: Path) -> None:
    for _ in range(20):
        for block in blocks:
            kept_short.append(block)
    size = kept_short.bytes_written
    on_disk = (tmp_path / "cam-1.ts.part").stat().st_blocks * 512
    assert size > 20 * 60 * len(blocks[0].ts) // 60 and on_disk < 4 * max(len(block.ts) for block in blocks)
    lookahead = Lookahead(source_of(kept_short, 0.5))
    assert read(lookahead)[-1].ts == blocks[-1].ts
    kept_short.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_host_reads_on_at_the_picture_though_the_beginning_is_gone(kept_short: LiveClip, blocks: list[Block]) -> None:
    for _ in range(5):
        for block in blocks:
            kept_short.append(block)
    sent_frames = kept_short.frames - len(blocks[-1].video) + 3
    sent_audio = sum(len(block.audio) for block in blocks) * 5 - len(blocks[-1].audio) + 5
    lookahead = Lookahead(source_of(kept_short, 1.0), Beginning(sent_frames, sent_audio))
    (got,) = read(lookahead)
    assert len(got.video) == len(blocks[-1].video) - 3 and len(got.audio) == len(blocks[-1].audio) - 5
    lookahead.drain()
    assert (lookahead.feed.frames_sent, lookahead.feed.audio_sent) == (sent_frames, sent_audio)


def test_a_disk_that_is_full_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(live_clip, "_write_all", refuse)
    with pytest.raises(OSError, match="No space"):
        LiveClip(tmp_path, "cam-1", HEADER)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_is_never_begun_over_another(tmp_path: Path) -> None:
    LiveClip(tmp_path, "cam-1", HEADER).close()
    with pytest.raises(FileExistsError):
        LiveClip(tmp_path, "cam-1", HEADER)
