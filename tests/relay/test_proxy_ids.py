"""Ids of a proxy's channels: the same after each refresh, whatever the order, and no two alike."""

from random import Random

from channeld.relay.proxy_ids import CHANNEL_ID, Identity, channel_ids, slug


def one(tvg_id: str, title: str, url: str = "http://a.test/1") -> Identity:
    return Identity(tvg_id, title, url)


def given(entries: list[Identity], known: dict[str, Identity] | None = None) -> dict[str, Identity]:
    ids = channel_ids(entries, known or {})
    assert len(set(ids)) == len(entries) and all(CHANNEL_ID.fullmatch(each) and len(each) <= 64 for each in ids)
    return dict(zip(ids, entries, strict=True))


def test_an_id_comes_of_the_guide_s_id_else_of_the_title() -> None:
    assert slug(one("BBC.One.uk", "x")) == "bbc-one-uk"
    assert slug(one(" ", "Télé 5 – Été")) == "tele-5-ete"
    assert slug(one("", "")) == "channel"
    assert slug(one("x" * 99, "")) == "x" * 56 and slug(one("x" * 55 + " yy", "")) == "x" * 55


def test_a_name_in_another_script_is_not_cut_down_to_its_digits() -> None:
    first, second = slug(one("", "Первый канал 1 HD")), slug(one("", "Второй канал 1 HD"))
    assert first != second and first.startswith("channel-") and CHANNEL_ID.fullmatch(first)


def test_the_order_of_a_list_has_no_part_in_its_ids() -> None:
    entries = [one("news", f"News {number % 3}", f"http://a.test/{number}") for number in range(9)]
    entries += [one("news-2", "Two"), one("", "News"), one("", "Films"), one("films", "Films HD")]
    first = given(entries)
    assert first["news-2"].title == "Two" and "news-3" in first
    for seed in range(20):
        Random(seed).shuffle(entries)
        assert given(entries) == first
        assert given(entries, first) == first


def test_an_entry_keeps_its_id_when_a_namesake_comes_or_goes() -> None:
    before = given([one("news", "News", "http://a.test/1")])
    both = given([one("news", "A news", "http://a.test/0"), one("news", "News", "http://a.test/1")], before)
    assert both["news"].title == "News" and both["news-2"].title == "A news"
    left = given([one("news", "A news", "http://a.test/0")], both)
    assert list(left) == ["news-2"]


def test_the_id_of_a_channel_that_went_is_not_given_to_another_at_once() -> None:
    before = given([one("news.uk", "News")])
    assert list(given([one("news-uk", "Other news", "http://b.test/")], before)) == ["news-uk-2"]


def test_an_entry_is_known_again_by_its_title_when_its_address_has_a_new_token_and_by_its_address_when_it_was_renamed() -> None:
    before = given([one("n", f"News {kind}", f"http://a.test/{kind}?t=1") for kind in ("HD", "SD", "4K")])
    ids = {identity.title: channel_id for channel_id, identity in before.items()}
    after = given(
        [one("n", "News HD", "http://a.test/HD?t=2"), one("n", "Renamed", "http://a.test/SD?t=1"), one("n", "Q", "http://q/")], before
    )
    assert after[ids["News HD"]].title == "News HD" and after[ids["News SD"]].title == "Renamed" and after[ids["News 4K"]].title == "Q"


def test_ids_that_another_entry_may_claim_are_not_given_as_numbers() -> None:
    found = given([one("a", f"A{number}", str(number)) for number in range(4)] + [one("a-2", "B"), one("a-3", "C")])
    assert (found["a-2"].title, found["a-3"].title) == ("B", "C") and {"a", "a-4", "a-5", "a-6"} < set(found)


def test_fifty_thousand_namesakes_have_fifty_thousand_ids() -> None:
    entries = [one("a", "A", f"http://a.test/{number}") for number in range(50_000)]
    assert given(list(reversed(entries)), given(entries)) == given(entries)
