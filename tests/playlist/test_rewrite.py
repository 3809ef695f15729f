"""Edits to the text of a list: what was meant happens, and nothing else in the file moves or changes."""

import string
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from channeld.playlist.locate import PathRules
from channeld.playlist.model import Entry
from channeld.playlist.parse import parse
from channeld.playlist.rewrite import Change, Edit, Insert, Move, Remove, is_as_meant, rewrite
from channeld.playlist.written import Unwritable

FOLDER = Path("/nowhere-that-is")
NAMES = (
    st.text(string.ascii_letters + string.digits + " ./_-é#,:'\"[]{}&*!|>%@`日\u2028\x85\t", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)
TITLES = (
    st.text(string.printable + "é日\u2028😀", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: text and "\n" not in text and "\r" not in text)
)
TIMES = st.sampled_from(["5", "1:30", "00:00:12.500", "0.25"])


def entries_of(content: bytes, suffix: str) -> tuple[Entry, ...]:
    return parse(content, source=FOLDER / f"list{suffix}", rules=PathRules()).entries


def lines_of(content: bytes) -> list[bytes]:
    """Lines without their ends: the last one of a file may get one."""
    return [line.rstrip(b"\r\n") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]


def is_subsequence(few: list[bytes], many: list[bytes]) -> bool:
    rest = iter(many)
    return all(line in rest for line in few)


# -- texts ------------------------------------------------------------------------------------------------------

PLAIN_LINES = st.one_of(
    st.just(""),
    st.just("   "),
    st.just("# a comment, not a.mp4"),
    st.just("#"),
    NAMES.filter(lambda name: not name.startswith("#")),
    NAMES.filter(lambda name: not name.startswith("#")).map(lambda name: f"  {name} "),
)
TITLED_LINES = st.one_of(
    PLAIN_LINES, st.just('#EXTINF:-1 tvg-id="a,b",One, two'), st.just("#EXTINF:12"), st.just("#EXTVLCOPT:network-caching=1")
)


def joined(lines: list[str], end: str, *, has_bom: bool, has_last_end: bool) -> bytes:
    text = end.join(lines) + (end if has_last_end else "")
    return (b"\xef\xbb\xbf" if has_bom else b"") + text.encode()


def line_lists(lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    ends, flags = st.sampled_from(["\n", "\r\n"]), st.booleans()
    return st.builds(
        lambda *given_: joined(given_[0], given_[1], has_bom=given_[2], has_last_end=given_[3]), st.lists(lines), ends, flags, flags
    )


YAML_BLOCK_ITEMS = st.sampled_from(
    [
        "- a.mp4",
        "-   'b c.mp4'   # a good one",
        '- "d\\u00e9.mp4"',
        '- path: e.mp4\n  # within\n  title: "E"   # said twice\n  in: 5',
        "- title: first\n  path: f.mp4",
        "- {path: g.mp4, title: 'G', repeat: 2}  # flow",
        "- {path: h.mp4,\n   out: 10,\n  }",
        "-\n  # far\n  path: i.mp4",
        "- path: >-\n    j.mp4\n  title: J",
        "- |\n  k.mp4",
        "- ? path\n  : l.mp4",
        "- m\n  n.mp4",
        "- path: o.mp4\n  title:",
        "# a comment - of dashes",
        "",
        "# another",
    ]
)
YAML_FLOW_ITEMS = st.sampled_from(
    ["a.mp4", " 'b c.mp4' ", "\n  c.mp4", " # not d\n  d.mp4 ", "{path: e.mp4, title: E}", "\n  {title: F,\n   path: f.mp4}", "path: g.mp4"]
)


def block_yaml(items: list[str], end: str, indent: str, head: str) -> bytes:
    text = "".join(f"{indent}{line}\n" if line else "\n" for item in items for line in item.split("\n"))
    return (head + text).replace("\n", end).encode()


def flow_yaml(items: list[str], end: str, *, has_last_comma: bool) -> bytes:
    text = "# a list\n[" + ",".join(items) + ("," if has_last_comma and items else "") + "\n]\n# its end"
    return text.replace("\n", end).encode()


BLOCK_YAML = st.builds(
    block_yaml,
    st.lists(YAML_BLOCK_ITEMS),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "  "]),
    st.sampled_from(["", "---\n", "# head\n"]),
)
FLOW_YAML = st.builds(flow_yaml, st.lists(YAML_FLOW_ITEMS), st.sampled_from(["\n", "\r\n"]), has_last_comma=st.booleans())
LISTS = st.one_of(
    st.tuples(st.just(".txt"), line_lists(PLAIN_LINES)),
    st.tuples(st.just(".m3u"), line_lists(TITLED_LINES)),
    st.tuples(st.just(".yaml"), BLOCK_YAML),
    st.tuples(st.just(".yaml"), FLOW_YAML),
)


# -- edits ------------------------------------------------------------------------------------------------------


def draw_fields(draw: st.DrawFn, suffix: str) -> dict[str, str | None]:
    fields: dict[str, str | None] = {}
    if suffix != ".txt" and draw(st.booleans()):
        fields["title"] = draw(TITLES)
    if suffix == ".yaml" and draw(st.booleans()):
        fields |= {"duration": draw(TIMES), "repeat": str(draw(st.integers(1, 9)))}
    return fields


@st.composite
def edits(draw: st.DrawFn, suffix: str, count: int) -> Edit:
    kind = draw(st.sampled_from(["insert", "change", "remove", "move"] if count else ["insert"]))
    if kind == "insert":
        return Insert(draw(st.integers(0, count)), {"path": draw(NAMES), **draw_fields(draw, suffix)})
    index = draw(st.integers(0, count - 1))
    if kind == "change":
        fields = draw_fields(draw, suffix)
        if suffix != ".txt" and draw(st.booleans()):
            fields["title"] = None
        if "duration" in fields:
            fields["out"] = None
        return Change(index, fields)
    return Remove(index) if kind == "remove" else Move(index, draw(st.integers(0, count - 1)))


def lines_left_alone(content: bytes, edit: Edit, suffix: str) -> list[bytes]:
    """Of a list of lines: all but those of the entry that is edited."""
    found, owned = [], []
    text = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(text):
        written = line.decode().strip()
        if written.startswith(("#EXTINF", "#EXTVLCOPT")):
            owned.append(number)
        elif written and not written.startswith("#"):
            found.append([*owned, number])
            owned = []
    touched = [] if isinstance(edit, Insert) else found[edit.index]
    if suffix == ".txt":
        touched = touched[-1:]
    return [line.rstrip(b"\r") for number, line in enumerate(text) if number not in touched]


@settings(max_examples=400, deadline=None)
@given(st.data(), LISTS)
def test_any_sequence_of_edits_does_what_was_meant_and_leaves_the_rest_alone(data: st.DataObject, given_list: tuple[str, bytes]) -> None:
    suffix, content = given_list
    for _ in range(4):
        before = entries_of(content, suffix)
        edit = data.draw(edits(suffix, len(before)))
        try:
            edited = rewrite(content, suffix, edit)
        except Unwritable:
            is_comment = isinstance(edit, Insert) and (edit.fields["path"] or "").startswith("#")
            assert is_comment or (isinstance(edit, Change) and b"? path" in content)
            continue
        assert is_as_meant(before, entries_of(edited, suffix), edit), (content, edit, edited)
        if suffix != ".yaml":
            assert is_subsequence(lines_left_alone(content, edit, suffix), [*lines_of(edited), b""])
        content = edited


@settings(max_examples=200, deadline=None)
@given(st.data(), BLOCK_YAML)
def test_an_edit_of_a_yaml_list_leaves_all_other_lines_as_they_are(data: st.DataObject, content: bytes) -> None:
    """Whatever the touched entry looks like, what stands before and behind it is the same, byte for byte."""
    before = entries_of(content, ".yaml")
    edit = data.draw(edits(".yaml", len(before)))
    assume(not (isinstance(edit, Change) and b"? path" in content))
    edited = rewrite(content, ".yaml", edit)
    if isinstance(edit, Insert):
        assert is_subsequence(lines_of(content), [*lines_of(edited), b""])
    elif isinstance(edit, Move):
        assert sorted(lines_of(content)) == sorted(lines_of(edited))
    elif isinstance(edit, Remove):
        assert is_subsequence(lines_of(edited), lines_of(content))
    comments = [line for line in lines_of(content) if line.strip().startswith(b"#") and line.strip() not in (b"# within", b"# far")]
    assert is_subsequence(comments, lines_of(edited))
