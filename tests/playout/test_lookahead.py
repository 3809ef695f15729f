"""Clips read ahead from a disk: verified, followed while they grow, their files given back."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from on_fake_air import open_files, source_of
from prepared import PreparedShelf, blocks_of

from channeld.base.errors import StreamError
from channeld.media.clip import PreparedClip
from channeld.media.parts import PartWriter
from channeld.playout.lookahead import ClipSource, DiskReaders, Lookahead, load_whole
from channeld.ts.index import ClipHeader, IndexParser, Totals, encode_block, encode_header, encode_trailer

Until = Callable[[Callable[[], object]], None]


def source_in(folder: Path) -> ClipSource:
    return ClipSource("airing", "entry", str(folder / "c.ts"), str(folder / "c.idx"))


def parsed(clip: PreparedClip) -> tuple[ClipHeader, Totals]:
    parser = IndexParser()
    parser.feed(clip.idx_path.read_bytes())
    assert parser.header is not None and parser.totals is not None
    return parser.header, parser.totals


def read_all(lookahead: Lookahead, most: int = 50) -> None:
    for _ in range(most):
        lookahead.read_block()
        if lookahead.complete or lookahead.failure:
            return


def packets_of(lookahead: Lookahead) -> bytes:
    return b"".join(block.ts for block in lookahead.take_arrived())


def test_a_clip_comes_block_by_block_and_its_files_are_closed_at_the_end(long_clip: PreparedClip) -> None:
    lookahead = Lookahead(source_of(long_clip, "a"))
    lookahead.read_block()
    assert not lookahead.complete and len(open_files(long_clip.ts_path)) == 1
    read_all(lookahead)
    assert lookahead.complete and lookahead.failure is None
    assert packets_of(lookahead) == long_clip.ts_path.read_bytes()
    assert open_files(long_clip.ts_path) == open_files(long_clip.idx_path) == []


def test_every_damaged_block_is_found_by_its_checksum(long_clip: PreparedClip, tmp_path: Path) -> None:
    blocks = blocks_of(long_clip)
    (tmp_path / "c.idx").write_bytes(long_clip.idx_path.read_bytes())
    offset = 0
    for number, block in enumerate(blocks):
        packets = bytearray(long_clip.ts_path.read_bytes())
        packets[offset + len(block.ts) // 2] ^= 1
        (tmp_path / "c.ts").write_bytes(packets)
        lookahead = Lookahead(source_in(tmp_path))
        read_all(lookahead)
        assert lookahead.failure is not None and f"block {number} is damaged" in lookahead.failure
        assert len(lookahead.take_arrived()) == number
        offset += len(block.ts)
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_packets_cut_short_are_a_failure_not_a_short_clip(long_clip: PreparedClip, tmp_path: Path, kept: float) -> None:
    raw = long_clip.ts_path.read_bytes()
    (tmp_path / "c.ts").write_bytes(raw[: int(len(raw) * kept)])
    (tmp_path / "c.idx").write_bytes(long_clip.idx_path.read_bytes())
    lookahead = Lookahead(source_in(tmp_path))
    read_all(lookahead)
    assert lookahead.failure is not None and "damaged" in lookahead.failure


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_an_index_cut_short_is_a_failure_not_a_growing_clip(long_clip: PreparedClip, tmp_path: Path, kept: float) -> None:
    """Under its last name an index is whole, or damaged: nobody will write the rest of it."""
    (tmp_path / "c.ts").write_bytes(long_clip.ts_path.read_bytes())
    raw = long_clip.idx_path.read_bytes()
    (tmp_path / "c.idx").write_bytes(raw[: int(len(raw) * kept)])
    lookahead = Lookahead(source_in(tmp_path))
    read_all(lookahead)
    assert lookahead.failure is not None and "ends before the clip" in lookahead.failure


def test_an_index_of_something_else_is_a_failure(short_clip: PreparedClip, tmp_path: Path) -> None:
    (tmp_path / "c.ts").write_bytes(short_clip.ts_path.read_bytes())
    (tmp_path / "c.idx").write_bytes(b"This is not an index.")
    lookahead = Lookahead(source_in(tmp_path))
    read_all(lookahead)
    assert lookahead.failure is not None and "not a clip index" in lookahead.failure


def test_a_link_in_place_of_the_packets_is_not_followed(short_clip: PreparedClip, tmp_path: Path) -> None:
    (tmp_path / "c.ts").symlink_to(short_clip.ts_path)
    (tmp_path / "c.idx").write_bytes(short_clip.idx_path.read_bytes())
    lookahead = Lookahead(source_in(tmp_path))
    read_all(lookahead)
    assert lookahead.failure is not None


def test_a_growing_clip_is_followed_through_its_rename(long_clip: PreparedClip, tmp_path: Path) -> None:
    header, totals = parsed(long_clip)
    part, lookahead = PartWriter(tmp_path, "c", header), Lookahead(source_in(tmp_path))
    lookahead.read_block()
    assert (lookahead.failure, lookahead.complete) == (None, False), "nothing is there yet, and that is no failure"
    for block in blocks_of(long_clip):
        part.append(block)
        lookahead.read_block()
        assert packets_of(lookahead) == block.ts
        lookahead.read_block()
        assert packets_of(lookahead) == b""
    part.commit(totals)
    lookahead.read_block()
    assert lookahead.complete and lookahead.failure is None
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("step", range(3))
def test_a_clip_opens_at_every_step_of_its_commit(short_clip: PreparedClip, tmp_path: Path, step: int) -> None:
    """Packets are renamed first, the index last; between the two one is final and the other is not."""
    (tmp_path / ("c.ts" if step > 0 else "c.ts.part")).write_bytes(short_clip.ts_path.read_bytes())
    (tmp_path / ("c.idx" if step > 1 else "c.idx.part")).write_bytes(short_clip.idx_path.read_bytes())
    lookahead = Lookahead(source_in(tmp_path))
    read_all(lookahead)
    assert lookahead.failure is None and lookahead.complete


def test_half_an_index_record_waits_for_its_other_half(short_clip: PreparedClip, tmp_path: Path) -> None:
    (tmp_path / "c.ts.part").write_bytes(short_clip.ts_path.read_bytes())
    index = short_clip.idx_path.read_bytes()
    lookahead = Lookahead(source_in(tmp_path))
    with (tmp_path / "c.idx.part").open("wb") as file:
        for begin in range(0, len(index), 97):
            file.write(index[begin : begin + 97])
            file.flush()
            lookahead.read_block()
    read_all(lookahead)
    assert lookahead.failure is None and lookahead.complete
    assert packets_of(lookahead) == short_clip.ts_path.read_bytes()


def test_a_closed_look_ahead_reads_no_more_and_gives_its_files_back(long_clip: PreparedClip) -> None:
    lookahead = Lookahead(source_of(long_clip, "a"))
    lookahead.read_block()
    lookahead.take_arrived()
    lookahead.close()
    lookahead.read_block()
    assert packets_of(lookahead) == b"" and not lookahead.wants_more(1000)
    assert open_files(long_clip.ts_path) == []


@pytest.fixture
def readers() -> Iterator[DiskReaders]:
    made = DiskReaders()
    yield made
    made.close()


def test_a_folder_that_stalls_holds_back_only_itself(readers: DiskReaders, short_clip: PreparedClip, tmp_path: Path, until: Until) -> None:
    """A FIFO in place of the packets: opening it waits for a writer, as a dead file server would make it wait."""
    stalled_folder, good_folder = tmp_path / "stalled", tmp_path / "good"
    for folder in (stalled_folder, good_folder):
        folder.mkdir()
        (folder / "c.idx").write_bytes(short_clip.idx_path.read_bytes())
    os.mkfifo(stalled_folder / "c.ts")
    (good_folder / "c.ts").write_bytes(short_clip.ts_path.read_bytes())
    stalled, good = Lookahead(source_in(stalled_folder)), Lookahead(source_in(good_folder))
    readers.request(stalled)
    readers.request(good)
    until(lambda: good.complete or not good.requested)
    assert len(good.take_arrived()) == 1
    assert stalled.requested and not stalled.failure
    readers.retire(stalled)
    os.close(os.open(stalled_folder / "c.ts", os.O_RDWR))
    until(lambda: not stalled.requested)


def test_asking_never_waits_for_the_disk(readers: DiskReaders, tmp_path: Path, until: Until) -> None:
    """The heap thread may ask for clips of a folder that stalls, of one that is gone, and give them back."""
    os.mkfifo(tmp_path / "c.ts")
    (tmp_path / "c.idx").touch()
    stalled, gone = Lookahead(source_in(tmp_path)), Lookahead(source_in(tmp_path / "nowhere"))
    asker = threading.Thread(
        target=lambda: [readers.request(stalled), readers.request(gone), readers.retire(stalled), readers.retire(gone)]
    )
    asker.start()
    asker.join(10)
    assert not asker.is_alive()

    def is_let_go() -> bool:
        # Again and again: whoever opens the FIFO only now would wait for ever.
        os.close(os.open(tmp_path / "c.ts", os.O_RDWR))
        return not gone.requested and not stalled.requested

    until(is_let_go)


def test_the_reading_thread_outlives_an_index_full_of_nonsense(
    readers: DiskReaders, short_clip: PreparedClip, tmp_path: Path, until: Until
) -> None:
    """All checksums are right; the block begins beyond any file and its length is no whole packets."""
    header, totals = parsed(short_clip)
    (block,) = blocks_of(short_clip)
    (tmp_path / "c.ts").write_bytes(block.ts)
    for offset in (0, 1 << 61, (1 << 64) - 1):
        record = encode_block(block, ts_offset=offset)
        (tmp_path / "c.idx").write_bytes(encode_header(header) + record + encode_trailer(totals))
        lookahead = Lookahead(source_in(tmp_path))
        readers.request(lookahead)
        until(lambda found=lookahead: not found.requested)
        assert (lookahead.failure is None) == (offset == 0)
    assert open_files(tmp_path) == []


def test_a_clip_that_its_reader_cannot_take_costs_no_other_of_its_folder(
    readers: DiskReaders, short_clip: PreparedClip, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MemoryError("no room for a block")

    failing, other = Lookahead(source_of(short_clip, "a")), Lookahead(source_of(short_clip, "b"))
    monkeypatch.setattr(failing, "read_block", fail)
    for lookahead in (failing, other):
        readers.request(lookahead)
    until(lambda: not (failing.requested or other.requested))
    assert failing.failure == "MemoryError: no room for a block" and other.failure is None
    other.drain()
    assert other.feed.frames_ready > 0
    readers.retire(other)
    until(lambda: not other.requested)


def test_a_filler_is_read_whole_or_refused(prepared: PreparedShelf, long_clip: PreparedClip, tmp_path: Path) -> None:
    assert sum(len(block.video) for block in load_whole(source_of(prepared.filler(), "filler"))) == 250
    (tmp_path / "c.ts").write_bytes(long_clip.ts_path.read_bytes())
    (tmp_path / "c.idx").write_bytes(long_clip.idx_path.read_bytes()[:-10])
    with pytest.raises(StreamError, match="ends before the clip"):
        load_whole(source_in(tmp_path))
    assert open_files(tmp_path) == []
