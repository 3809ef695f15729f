"""Which lookup is next: the soonest needed, of the disks that are free."""

from pathlib import Path

import pytest

from channeld.media.clip_state import pending
from channeld.media.prepare import PrepareRequest
from channeld.media.prepare_queue import PrepareQueue
from channeld.media.profile import Profile


@pytest.fixture
def queue(small: Profile) -> PrepareQueue:
    made = PrepareQueue()
    for name, needed_at, disk in (("a1", 3.0, "/a/"), ("a2", 1.0, "/a/"), ("b1", 2.0, "/b/")):
        made.add(name, PrepareRequest(Path(disk) / f"{name}.mp4", small), needed_at, disk=disk)
    return made


def taken(queue: PrepareQueue, *busy: str) -> list[str]:
    names = []
    while (lookup := queue.next_lookup(busy)) is not None:
        names.append(lookup.name)
    return names


def test_the_soonest_needed_is_looked_up_first_whatever_its_disk(queue: PrepareQueue) -> None:
    assert taken(queue) == ["a2", "b1", "a1"]


def test_nothing_of_a_busy_disk_is_given_out_until_it_is_free(queue: PrepareQueue) -> None:
    assert taken(queue, "/a/") == ["b1"]
    queue.remove("a2")
    assert taken(queue) == ["a1"]


def test_entries_come_before_the_clips_that_they_are(queue: PrepareQueue) -> None:
    first = queue.next_lookup()
    assert first is not None
    queue.resolve(first.name, first.request, "key", pending())
    assert taken(queue, "/b/") == ["a1", "key"]
    assert taken(queue) == ["b1"]
