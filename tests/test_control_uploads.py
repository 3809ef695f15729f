"""The upload desk on real disks: what is given up, what there is room for, where a folder may lie."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from tight_disks import Balloon, memory_disk

from channeld.api.control import Refused, UnknownChannel
from channeld.config import ConfigErrors, parse_config
from channeld.control_uploads import MAX_UNFINISHED, UploadDesk
from channeld.media.drafts import DraftBook
from channeld.media.tools import find_tools


def desk_over(home: Path, text: str = "") -> UploadDesk:
    """A desk by a configuration in `home`, whose one channel airs `media/list.txt`."""
    (home / "media").mkdir(exist_ok=True)
    config = parse_config(f"{text}\nchannels: {{live1: {{playlist: media/list.txt}}}}".encode(), home / "channeld.yaml")
    told: list[Any] = []
    return UploadDesk(
        lambda: config, DraftBook(home / "state", find_tools()), publish=lambda *_, **values: told.append(values), heard=lambda: None
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with memory_disk(tmp_path / "disk", kilobytes=2_000) as folder:
        yield folder


def refusal(desk: UploadDesk, length: int) -> int:
    with pytest.raises(Refused) as refused:
        desk.begin("live1", "film.mp4", length)
    return refused.value.status


def test_what_is_promised_to_unfinished_uploads_counts_as_taken(small_disk: Path) -> None:
    desk = desk_over(small_disk, "disk: {critical: 200K}")
    desk.begin("live1", "film.mp4", 1_000_000)
    assert refusal(desk, 1_000_000) == 507
    desk.begin("live1", "short.mp4", 400_000)


def test_a_disk_that_fills_up_meanwhile_stops_the_upload_and_it_goes_on_with_room(small_disk: Path) -> None:
    desk = desk_over(small_disk, "disk: {critical: 10K}")
    upload = desk.begin("live1", "film.mp4", 1_000_000)
    turn = desk.open("live1", upload.id, 0)
    turn.write(b"x" * 100_000)
    balloon = Balloon(small_disk)
    balloon.inflate()
    with pytest.raises(Refused) as refused:
        turn.write(b"x" * 500_000)
    assert refused.value.status == 507
    with pytest.raises(Refused) as refused:
        turn.close()
    assert refused.value.status == 507  # the record, too, wants room
    reached = desk.find("live1", upload.id).offset
    assert 100_000 <= reached < 600_000
    with pytest.raises(Refused) as refused:
        desk.open("live1", upload.id, reached)
    assert refused.value.status == 507
    (small_disk / "balloon").unlink()
    turn = desk.open("live1", upload.id, reached)
    turn.write(b"x" * 1_000)
    assert turn.close().offset == reached + 1_000


def test_a_disk_without_inodes_begins_nothing_and_leaves_nothing(small_disk: Path) -> None:
    desk = desk_over(small_disk, "disk: {critical: 10K}")
    Balloon(small_disk).scatter()
    assert refusal(desk, 1_000) == 507
    assert list((small_disk / "media").iterdir()) == []


def test_uploads_that_nobody_goes_on_with_are_removed(tmp_path: Path) -> None:
    desk = desk_over(tmp_path, "uploads: {expire_hours: 1}\ndisk: {critical: 1M}")
    upload = desk.begin("live1", "film.mp4", 100)
    book = DraftBook(tmp_path / "state", find_tools())
    assert book.sweep(upload.ends_s - 1) == []
    assert [draft.id for draft in book.sweep(upload.ends_s + 1)] == [upload.id]
    assert list((tmp_path / "media").iterdir()) == [] and desk.all("live1") == []


def test_there_is_a_bound_on_unfinished_uploads(tmp_path: Path) -> None:
    desk = desk_over(tmp_path, "disk: {critical: 1M}")
    for number in range(MAX_UNFINISHED):
        desk.begin("live1", f"{number}.mp4", 10)
    assert refusal(desk, 10) == 409


def test_uploads_may_be_off_and_are_bounded(tmp_path: Path) -> None:
    assert refusal(desk_over(tmp_path, "uploads: {enabled: false}"), 10) == 403
    desk = desk_over(tmp_path, "uploads: {max_bytes: 1000}\ndisk: {critical: 1M}")
    assert refusal(desk, 1001) == 413
    desk.begin("live1", "film.mp4", 1000)
    with pytest.raises(UnknownChannel):
        desk.begin("live9", "film.mp4", 10)


def test_what_is_sent_could_air_or_the_configuration_is_refused(tmp_path: Path) -> None:
    text = "channels: {live1: {playlist: media/list.txt, uploads: sent%s}}"
    with pytest.raises(ConfigErrors, match="below none of the channel's media roots"):
        parse_config((text % "").encode(), tmp_path / "channeld.yaml")
    config = parse_config((text % ", media_roots: [sent]").encode(), tmp_path / "channeld.yaml")
    assert config.channel("live1").uploads == tmp_path / "sent"
