"""Figures of a connection: losses by lines that FFmpeg really writes, unevenness by timestamps that are known."""

import itertools
from random import Random

import pytest

from channeld.base.units import FrameRate
from channeld.sources.measures import Arrival, Loss, Losses, Rate
from channeld.ts.conform import StreamRules
from channeld.ts.index import Block
from channeld.ts.live_conform import LiveConformer
from channeld.ts.timeline import WRAP_TICKS

FRAME_NS, FRAME_TICKS = 40_000_000, 3_600


@pytest.mark.parametrize(
    ("line", "loss", "count"),
    [
        ("[rtsp @ 0x5649708f4300] [warning] RTP: missed 3 packets", Loss.RTP_LOST, 3),
        ("[in#0/rtsp @ 0x561ccf547380] [warning] RTP: missed 1 packets", Loss.RTP_LOST, 1),
        ("[rtsp @ 0x55] [warning] RTP: missed -65534 packets", Loss.RTP_LOST, 2),
        ("[rtsp @ 0x55] [warning] RTP: dropping old packet received too late", Loss.RTP_LATE, 1),
        ("[mpegts @ 0x55] [warning] Packet corrupt (stream = 0, dts = 8370).", Loss.PACKET_DAMAGED, 1),
        ("[in#0/mpegts @ 0x55] [warning] Packet corrupt (stream = 1, dts = NOPTS).", Loss.PACKET_DAMAGED, 1),
        ("[warning] rtsp://10.0.0.5:554/live: corrupt decoded frame in stream 0", Loss.PICTURE_DAMAGED, 1),
        ("[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] [warning] corrupt decoded frame", Loss.PICTURE_DAMAGED, 1),
    ],
)
def test_each_line_counts_once_for_what_it_tells(line: str, loss: Loss, count: int) -> None:
    losses = Losses()
    losses.feed(line)
    assert losses.counts == dict.fromkeys(Loss, 0) | {loss: count}


@pytest.mark.parametrize(
    "line",
    [
        "[rtsp @ 0x55] [warning] max delay reached. need to consume packet",
        "[warning] udp://127.0.0.1:5000: corrupt input packet in stream 1",  # the demuxer told it already
        "[h264 @ 0x55] [info] concealing 40 DC, 40 AC, 40 MV errors in I frame",  # the program tells it, too
        "[info] Stream #0:0: Video: h264, 25 fps",
    ],
)
def test_what_is_told_twice_or_is_no_loss_does_not_count(line: str) -> None:
    losses = Losses()
    losses.feed(line)
    assert not any(losses.counts.values())


def arrived(count: int, late_ns: list[int], *, from_ticks: int = 0) -> Arrival:
    arrival = Arrival()
    for number in range(count):
        arrival.feed((from_ticks + number * FRAME_TICKS) % WRAP_TICKS, number * FRAME_NS + late_ns[number % len(late_ns)])
    return arrival


def test_pictures_that_come_evenly_have_no_jitter_not_even_where_timestamps_wrap() -> None:
    assert arrived(200, [7_000_000], from_ticks=WRAP_TICKS - 50 * FRAME_TICKS).jitter_ms == 0.0


def test_jitter_is_the_mean_deviation_of_neighbours() -> None:
    assert arrived(400, [0, 10_000_000]).jitter_ms == pytest.approx(10, rel=0.01)
    random = Random(5)
    # |difference| of two uniform ones is a third of their range on average.
    assert arrived(5_000, [random.randrange(30_000_000) for _ in range(5_000)]).jitter_ms == pytest.approx(10, rel=0.35)


def test_a_jump_of_timestamps_and_another_connection_are_no_jitter() -> None:
    arrival = arrived(100, [0])
    arrival.feed(3_000 * FRAME_TICKS, 101 * FRAME_NS)
    arrival.restart()
    arrival.feed(0, 900 * FRAME_NS)
    assert arrival.jitter_ms == 0.0
    assert Arrival().jitter_ms is None


def test_the_rate_is_that_of_the_newest_reports() -> None:
    rate = Rate()
    assert rate.bits_per_s(0.0, 0) is None
    told = [
        rate.bits_per_s(float(second), total)
        for second, total in ((1, 1_000), (2, 2_000), (12, 2_000), *((12 + n, 2_000 + 500 * n) for n in range(1, 8)))
    ]
    assert told[1] == 8_000 and told[-1] == 4_000


def test_the_conformer_tells_decoding_times_as_pictures_begin(blocks: list[Block]) -> None:
    conformer = LiveConformer(StreamRules(FrameRate(25, 1), 50, 1))
    found: list[int] = []
    stream = b"".join(block.ts for block in blocks)
    for at in range(0, len(stream), 1_000):
        conformer._take(stream[at : at + 1_000])
        found += conformer.arrived()
    assert len(found) == sum(len(block.video) for block in blocks)
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {FRAME_TICKS}
