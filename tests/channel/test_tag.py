"""What goes out with an airing and comes back: short, without secrets, enough to name what airs."""

from pathlib import Path

from channeld.channel.tag import MAX_BYTES, Tag
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry

CLIP = PreparedClip("key", "profile", Path("/cache/key.ts"), Path("/cache/key.idx"), 250, 10.0, 1000)


def entry(locator: str, title: str = "A film") -> Entry:
    return Entry("e1", locator, None, locator, title)


def test_a_tag_that_comes_back_names_the_entry_and_holds_the_clip() -> None:
    tag = Tag.read(Tag.of(entry("http://host/a.mp4"), CLIP, 10.0).text())
    assert tag is not None
    assert (tag.as_entry().id, tag.as_entry().title, tag.as_clip().key, tag.as_clip().frames) == ("e1", "A film", "key", 250)


def test_a_tag_stays_small_whatever_the_names() -> None:
    text = Tag.of(entry("/" + "\N{FILM FRAMES}" * 5000, "\N{CLAPPER BOARD}" * 5000), CLIP, 10.0).text()
    assert len(text.encode()) <= MAX_BYTES


def test_a_tag_holds_no_password() -> None:
    assert "secret" not in Tag.of(entry("https://user:secret@host/a.mp4?token=secret"), CLIP, 10.0).text()


def test_what_is_no_tag_is_told_as_none() -> None:
    assert [Tag.read(text) for text in ("", "{}", "[1]", '{"entry": 1}', "\0")] == [None] * 5
