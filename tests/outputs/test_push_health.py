"""How a push is judged from lines and progress, as FFmpeg 5.1 wrote them in trials."""

import pytest

from channeld.outputs.push_health import LOST, Delivery, PushCondition
from channeld.process.ffmpeg_log import parse_line

S = 1_000_000_000
CONNECTED = "[tcp @ 0x1] [verbose] Successfully connected to 127.0.0.1 port 1935"
RECOVERING = "[fifo @ 0x1] [verbose] Recovery attempt #1"
GIVEN_UP = "[AVIOContext @ 0x1] [verbose] Statistics: 441085 bytes written, 0 seeks, 452 writeouts"
RECOVERED = "[fifo @ 0x1] [info] Recovery successful"
REFUSED = "[tcp @ 0x1] [error] Connection to tcp://127.0.0.1:1935 failed: Connection refused"
IO_ERROR = "[fifo @ 0x1] [error] Error opening rtmp://127.0.0.1/live/a: Input/output error"
TAKEN = "[rtmp @ 0x1] [error] Server error: Already publishing"


class Trial:
    """A delivery whose progress advances by a second each."""

    def __init__(self) -> None:
        self.delivery = Delivery(now_ns=0)
        self.now_s = 0

    def lines(self, *lines: str) -> "Trial":
        for line in lines:
            self.delivery.take_line(parse_line(line))
        return self

    def seconds(self, count: int) -> "Trial":
        for _ in range(count):
            self.now_s += 1
            self.delivery.take_progress(f"out_time_us={self.now_s}000000", now_ns=self.now_s * S)
        return self

    @property
    def seen(self) -> tuple[PushCondition, str | None]:
        return self.delivery.condition, self.delivery.reason


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_progress_without_a_connection_is_not_delivery(trial: Trial) -> None:
    assert trial.seconds(5).seen == (PushCondition.STARTING, None)


def test_a_first_connection_counts_once_progress_went_on_after_it(trial: Trial) -> None:
    assert trial.lines(CONNECTED).seconds(1).seen == (PushCondition.STARTING, None)
    assert trial.seconds(1).seen == (PushCondition.UP, None)


def test_a_connection_that_rtmp_refuses_is_never_up(trial: Trial) -> None:
    for _ in range(3):
        trial.lines(CONNECTED, TAKEN, RECOVERING).seconds(1)
    assert trial.seconds(3).seen == (PushCondition.RETRYING, "already publishing")


def test_a_name_whose_first_address_does_not_answer_is_up_on_the_next_one(trial: Trial) -> None:
    failed = "[tcp @ 0x1] [verbose] Connection attempt to ::1 port 1935 failed: Connection refused"
    assert trial.lines(failed).seconds(3).seen == (PushCondition.RETRYING, "connection refused")
    assert trial.lines(CONNECTED).seconds(2).seen == (PushCondition.UP, None)


def test_a_lost_connection_is_told_at_once_and_its_cause_when_known(trial: Trial) -> None:
    trial.lines(CONNECTED).seconds(3)
    assert trial.lines(RECOVERING).seen == (PushCondition.RETRYING, LOST)
    assert trial.lines(REFUSED).seen == (PushCondition.RETRYING, "connection refused")
    assert trial.seconds(5).seen == (PushCondition.RETRYING, "connection refused")


def test_a_connection_that_is_given_up_is_lost_before_its_farewells_have_failed(trial: Trial) -> None:
    trial.lines(CONNECTED).seconds(3)
    assert trial.lines(GIVEN_UP).seconds(10).seen == (PushCondition.RETRYING, LOST)
    assert trial.lines(RECOVERING, CONNECTED, RECOVERED).seconds(2).seen == (PushCondition.UP, None)


def test_the_farewell_of_the_ffmpeg_before_says_nothing_of_a_new_one(trial: Trial) -> None:
    assert trial.lines(GIVEN_UP, CONNECTED).seconds(2).seen == (PushCondition.UP, None)


def test_it_is_up_again_when_ffmpeg_recovered_and_progress_advanced(trial: Trial) -> None:
    trial.lines(REFUSED, RECOVERING, CONNECTED).seconds(3)
    assert trial.seen == (PushCondition.RETRYING, "connection refused")
    assert trial.lines(RECOVERED).seconds(1).seen == (PushCondition.UP, None)
    assert trial.delivery.last_error == "Connection to tcp://127.0.0.1:1935 failed: Connection refused"


def test_the_cause_is_not_hidden_by_the_general_error_after_it(trial: Trial) -> None:
    assert trial.lines(TAKEN, IO_ERROR, RECOVERING).seen == (PushCondition.RETRYING, "already publishing")
    assert trial.lines(IO_ERROR).seen == (PushCondition.RETRYING, "input/output error")


def test_progress_that_repeats_itself_is_idle(trial: Trial) -> None:
    trial.seconds(2)
    trial.delivery.take_progress("out_time_us=2000000", now_ns=9 * S)
    trial.delivery.take_progress("total_size=N/A", now_ns=9 * S)
    assert trial.delivery.idle_s(12 * S) == 10.0


def test_health_is_the_longest_time_up_without_a_break(trial: Trial) -> None:
    trial.lines(CONNECTED).seconds(2 + 61)
    trial.lines(RECOVERING, RECOVERED).seconds(1 + 5)
    assert trial.delivery.healthy_s == 61.0


def test_an_srt_connection_counts_from_the_muxer_behind_it_and_a_refusal_is_not_hidden_by_what_follows(trial: Trial) -> None:
    opened = "[mpegts @ 0x1] [verbose] muxrate VBR, sdt every 500 ms, pat/pmt every 100 ms"
    refused = "17:37:09.02/SRT:RcvQ:w1!W:SRT.cn: processAsyncConnectRequest: REJECT reported from HS processing: Incorrect passphrase"
    silent = "[srt @ 0x1] [error] Connection to srt://192.0.2.1:9000 failed: Input/output error"
    trial.lines(refused, silent, IO_ERROR)
    assert trial.seen == (PushCondition.RETRYING, "authentication failed")
    assert "Incorrect passphrase" in (trial.delivery.last_error or "")
    assert trial.lines(RECOVERING, silent, IO_ERROR).seen == (PushCondition.RETRYING, "no answer")
    assert trial.lines(RECOVERING, opened, RECOVERED).seconds(1).seen == (PushCondition.UP, None)


def test_an_adopted_one_that_is_to_be_called_is_up_only_where_it_told_of_a_caller(trial: Trial) -> None:
    trial.delivery.remember([], is_called=True)
    assert trial.seconds(5).seen == (PushCondition.STARTING, None)
    opened = parse_line("[mpegts @ 0x1] [verbose] muxrate VBR, sdt every 500 ms, pat/pmt every 100 ms")
    called, calling = Trial(), Trial()
    called.delivery.remember([opened], is_called=True)
    calling.delivery.remember([])
    assert called.seconds(3).seen == calling.seconds(3).seen == (PushCondition.UP, None)
