"""Webhooks against a real HTTP endpoint: signed, in order, again until they are taken, and nobody else waits for a dead one."""

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver, receiving, until

from channeld.channel.events import EventLog
from channeld.notices.hook_queue import REFUSALS, WAITING, HookQueue
from channeld.notices.places import PlaceFile
from channeld.notices.settings import WebhookSettings
from channeld.notices.webhooks import Webhooks

SECRET = "a secret of tests"
Open = Callable[..., "contextlib.AbstractContextManager[Webhooks]"]


def hook_to(receiver: Receiver, **wanted: Any) -> WebhookSettings:
    settings = WebhookSettings("ops", receiver.url, "http://127.0.0.1/***", SECRET, is_private=True, timeout_s=5)
    return replace(settings, **wanted)


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def opened(tmp_path: Path, log: EventLog) -> Open:
    """Runs webhooks over the log; what was sent is remembered from one run to the next."""

    @contextmanager
    def run(*settings: WebhookSettings) -> Iterator[Webhooks]:
        places = PlaceFile(tmp_path / "webhooks.json")
        hooks = Webhooks(settings, places, follow=log.follow, newest_id=log.newest_id, first_s=0.02)
        hooks.start()
        until(lambda: len(hooks.describe()) == len(settings), "hooks")
        try:
            yield hooks
        finally:
            hooks.close()

    return run


def numbers(receiver: Receiver) -> list[int]:
    return [json.loads(each.body)["number"] for each in receiver.got]


def test_a_delivery_is_the_event_signed(opened: Open, log: EventLog, receiver: Receiver) -> None:
    with opened(hook_to(receiver)):
        log.publish("channel_state", channel="one", state="on_air")
        until(lambda: len(receiver.got) == 1, "a delivery")
    (got,) = receiver.got
    assert json.loads(got.body) == log.remembered()[0][-1].event
    assert got.path == "/hook"
    assert (got.headers["x-channeld-event"], got.headers["content-type"]) == ("channel_state", "application/json")
    signed = got.headers["x-channeld-timestamp"].encode() + b"." + got.body
    assert got.headers["x-channeld-signature"] == "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_only_the_wanted_kinds_and_channels_are_sent(opened: Open, log: EventLog, receiver: Receiver) -> None:
    with opened(hook_to(receiver, kinds=frozenset({"wanted"}), channels=frozenset({"one"}))):
        for number, (kind, channel) in enumerate([("other", "one"), ("wanted", "two"), ("wanted", "one")]):
            log.publish(kind, channel=channel, number=number)
        log.publish("wanted", number=3)
        log.publish("wanted", channel="one", number=4)
        until(lambda: len(receiver.got) == 2, "two deliveries")
    assert numbers(receiver) == [2, 4]


def test_what_is_not_taken_is_sent_again_in_order_with_the_same_id(opened: Open, log: EventLog, receiver: Receiver) -> None:
    receiver.answers = [500, 503, (302, ("Location", f"{receiver.url}/elsewhere")), 429]
    with opened(hook_to(receiver)) as hooks:
        for number in range(3):
            log.publish("counted", number=number)
        until(lambda: hooks.describe()[0]["delivered"] == 3, "three deliveries")
        (state,) = hooks.describe()
    assert numbers(receiver) == [0, 0, 0, 0, 0, 1, 2]
    ids = [each.headers["x-channeld-delivery"] for each in receiver.got]
    assert len(set(ids[:5])) == 1
    assert len(set(ids)) == 3
    assert {each.path for each in receiver.got} == {"/hook"}
    assert (state["state"], state["failures"], state["waiting"], state["last_error"]) == ("ok", 4, 0, None)


def test_content_that_is_refused_again_and_again_gives_way(opened: Open, log: EventLog, receiver: Receiver) -> None:
    receiver.answers = [422] * REFUSALS
    with opened(hook_to(receiver)) as hooks:
        log.publish("counted", number=0)
        log.publish("counted", number=1)
        until(lambda: hooks.describe()[0]["delivered"] == 1, "the second event")
        assert hooks.describe()[0]["dropped"] == 1
    assert numbers(receiver) == [0] * REFUSALS + [1]


def test_a_dead_target_and_a_silent_one_hold_up_nobody(opened: Open, log: EventLog, receiver: Receiver) -> None:
    with receiving() as silent, receiving() as gone:
        dead = hook_to(gone, name="dead")
        gone.close()
        silent.holds.set()
        with opened(dead, hook_to(silent, name="silent"), hook_to(receiver)) as hooks:
            for number in range(50):
                log.publish("counted", number=number)
            until(lambda: len(receiver.got) == 50, "all deliveries")
            until(lambda: hooks.describe()[0]["failures"] > 1, "another attempt")
            state = {each["name"]: each for each in hooks.describe()}
            silent.holds.clear()
    assert numbers(receiver) == list(range(50))
    assert (state["dead"]["state"], state["dead"]["waiting"]) == ("failing", 50)
    assert "no connection to 127.0.0.1" in state["dead"]["last_error"]


def test_a_private_target_is_refused_unless_it_is_said(opened: Open, log: EventLog, receiver: Receiver) -> None:
    with opened(hook_to(receiver, is_private=False)) as hooks:
        log.publish("counted", number=0)
        until(lambda: hooks.describe()[0]["failures"] > 0, "a failure")
        assert "set `private: true`" in hooks.describe()[0]["last_error"]
    assert receiver.got == []


def test_another_process_goes_on_where_this_one_ended(opened: Open, log: EventLog, receiver: Receiver) -> None:
    log.publish("counted", number=0)  # before there was a hook
    with opened(hook_to(receiver)) as hooks:
        log.publish("counted", number=1)
        # Not when it came: its answer must have been heard, for one that was not is delivered again.
        until(lambda: hooks.describe()[0]["delivered"] == 1, "the first delivery")
    log.publish("counted", number=2)
    with opened(hook_to(receiver)) as hooks:
        until(lambda: hooks.describe()[0]["delivered"] == 1, "what happened in between")
        log.publish("counted", number=3)
        until(lambda: hooks.describe()[0]["delivered"] == 2, "the newest")
    assert numbers(receiver) == [1, 2, 3]


def test_a_hook_whose_address_is_another_one_goes_on_with_what_waits(opened: Open, log: EventLog, receiver: Receiver) -> None:
    with receiving() as before:
        before.answers = [500] * 1000
        with opened(hook_to(before)) as hooks:
            for number in range(3):
                log.publish("counted", number=number)
            until(lambda: hooks.describe()[0]["waiting"] == 3, "events that wait")
            hooks.change([hook_to(receiver), hook_to(receiver, name="new", kinds=frozenset({"none"}))])
            until(lambda: len(receiver.got) == 3, "deliveries")
            assert [each["name"] for each in hooks.describe()] == ["ops", "new"]
            hooks.change([])
            until(lambda: hooks.describe() == [], "no hook")
            log.publish("counted", number=3)
    assert numbers(receiver) == [0, 1, 2]


def test_a_damaged_file_of_places_means_to_begin_with_what_comes(tmp_path: Path, opened: Open, log: EventLog, receiver: Receiver) -> None:
    log.publish("counted", number=0)
    (tmp_path / "webhooks.json").write_text("[1]")
    with opened(hook_to(receiver)):
        log.publish("counted", number=1)
        until(lambda: len(receiver.got) == 1, "a delivery")
    assert numbers(receiver) == [1]


def test_what_waits_is_bounded_and_the_oldest_give_way() -> None:
    queue = HookQueue(WebhookSettings("ops", "", "", ""), 0)
    for number in range(1, WAITING + 11):
        queue.offer({"id": number, "kind": "counted"})
    oldest = queue.next()
    assert (len(queue), queue.dropped, oldest and oldest["id"], queue.place) == (WAITING, 10, 11, 10)


def test_an_event_that_was_pushed_out_while_on_its_way_is_not_taken_twice() -> None:
    queue = HookQueue(WebhookSettings("ops", "", "", ""), 0)
    queue.offer({"id": 1, "kind": "counted"})
    first = queue.next()
    assert first is not None
    for number in range(2, WAITING + 2):
        queue.offer({"id": number, "kind": "counted"})
    queue.take(first, 0.0)
    following = queue.next()
    assert following is not None and following["id"] == 2


def test_closing_ends_the_thread_also_while_a_target_is_silent(opened: Open, log: EventLog, receiver: Receiver) -> None:
    receiver.holds.set()
    with opened(hook_to(receiver)):
        log.publish("counted", number=0)
        until(lambda: len(receiver.got) == 1, "an attempt")
    assert "webhooks" not in {thread.name for thread in threading.enumerate()}
