"""A list means what it says; what is wrong is told with its line, and nothing hostile costs time or memory."""

import os
import re
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channeld.base.errors import PlaylistError
from channeld.playlist.locate import PathRules
from channeld.playlist.model import Playlist
from channeld.playlist.parse import MAX_ENTRIES, MAX_LINES, is_media_name, load, natural_key, parse, text_of

RULES = PathRules()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with three clips."""
    for name in ("a.mp4", "b.mp4", "é.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, text: str | bytes, suffix: str = ".txt") -> Playlist:
    data = text.encode() if isinstance(text, str) else text
    return parse(data, source=folder / f"list{suffix}", rules=RULES)


def refusal(folder: Path, text: str | bytes, suffix: str = ".txt") -> PlaylistError:
    with pytest.raises(PlaylistError) as caught:
        read(folder, text, suffix)
    return caught.value


def test_text_lines_are_paths_in_order_with_their_lines(media):
    entries = read(media, "# comment\na.mp4\n\n  b.mp4  \r\na.mp4").entries
    assert [(entry.id, entry.path, entry.line, entry.title) for entry in entries] == [
        ("e1", media / "a.mp4", 2, "a"),
        ("e2", media / "b.mp4", 4, "b"),
        ("e3", media / "a.mp4", 5, "a"),
    ]
    assert all(entry.fault is None for entry in entries)


def test_live_sources_stand_in_a_list_with_a_duration(media):
    said = '#EXTM3U\n#EXTINF:90,Hall\nrtsp://example.org/hall\n#EXTINF:-1,B\nb.mp4\n#EXTINF:7 tvg-id="x",Spare\nsrt://example.org:9000\n'
    entries = read(media, said, ".m3u").entries
    assert [(entry.title, entry.is_live, entry.duration_s, entry.fault) for entry in entries] == [
        ("Hall", True, 90, None),
        ("B", False, None, None),
        ("Spare", True, 7, None),
    ]
    (entry,) = read(media, "- {path: 'rtmp://example.org/live/x', title: Mass, duration: 1:30:00}", ".yaml").entries
    assert (entry.is_live, entry.duration_s, entry.fault) == (True, 5400, None)


@pytest.mark.parametrize(
    ("text", "suffix", "fault"),
    [
        ("rtsp://example.org/cam", ".txt", "a live source has no end"),
        ("#EXTINF:0,X\nrtsp://example.org/cam", ".m3u", "a live source has no end"),
        ("#EXTINF:-1,X\nrtsp://example.org/cam", ".m3u", "a live source has no end"),
        ("- rtsp://example.org/cam", ".yaml", "a live source has no end"),
        ("- {path: 'rtsp://example.org/cam', in: 5, duration: 9}", ".yaml", "a live source has no `in` and `out`"),
        ("- {path: 'rtsp://10.0.0.1/cam', duration: 9}", ".yaml", "host 10.0.0.1 is private"),
    ],
)
def test_a_live_source_that_could_not_end_or_may_not_begin_is_marked(media, text, suffix, fault):
    (entry,) = read(media, text, suffix).entries
    assert fault in (entry.fault or "")


@pytest.mark.parametrize("text", ["", "\n\n", "# only this", "\ufeff"])
def test_an_empty_list_is_valid(media, text):
    assert read(media, text).entries == () and read(media, "", ".yaml").entries == ()


def test_bom_and_windows_line_ends_do_not_show(media):
    assert read(media, b"\xef\xbb\xbfa.mp4\r\nb.mp4\r\n") == read(media, b"a.mp4\nb.mp4\n")


def test_latin_1_is_read_with_a_warning(media):
    playlist = read(media, "é.mp4".encode("latin-1"))
    assert playlist.entries[0].path == media / "é.mp4" and playlist.entries[0].fault is None
    assert "Latin-1" in playlist.warnings[0].message
    assert read(media, "é.mp4").warnings == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_its_text_is_what_is_read(encoding):
    assert text_of("Bär.mp4\r\n".encode(encoding)) == "Bär.mp4\r\n"


def test_m3u_titles_go_to_the_next_entry_only(media):
    text = '#EXTM3U\n#EXTINF:12 tvg-id="x,y",A, the first\n#EXTVLCOPT:z\na.mp4\nb.mp4\n#extinf:-1,\nb.mp4\n'
    assert [entry.title for entry in read(media, text, ".m3u").entries] == ["A, the first", "b", "b"]
    assert [entry.title for entry in read(media, text, ".m3u8").entries] == ["A, the first", "b", "b"]


def test_yaml_items_carry_trims_titles_and_repeats(media):
    text = "- a.mp4\n- path: b.mp4\n  title: B\n  in: 1:30\n  out: 00:02:00.5\n  repeat: 3\n- {path: a.mp4, in: 0.1, duration: 7}\n"
    first, second, third = read(media, text, ".yaml").entries
    assert (first.path, first.repeat, first.line) == (media / "a.mp4", 1, 1)
    assert (second.title, second.in_s, second.out_s, second.repeat, second.line) == ("B", 90, Fraction(241, 2), 3, 2)
    assert (third.in_s, third.duration_s, third.line) == (Fraction(1, 10), 7, 7)
    assert first.content != third.content


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- path: a.mp4\n  titel: x\n", 2, "did you mean 'title'"),
        ("- title: x\n", 1, "without 'path'"),
        ("- a.mp4\n- path: a.mp4\n  in: soon\n", 3, "'in': not a time"),
        ("- {path: a.mp4, in: 5, out: 5}\n", 1, "'out' is not after 'in'"),
        ("- {path: a.mp4, out: 5, duration: 5}\n", 1, "both 'out' and 'duration'"),
        ("- {path: a.mp4, repeat: 0}\n", 1, "'repeat'"),
        ("- path: a.mp4\n  path: b.mp4\n", 2, "twice"),
        ("- a.mp4\n- [b.mp4]\n", 2, "a list inside the list"),
        ("- path: {x: y}\n", 1, "not plain text"),
        ("films: [a.mp4]\n", 1, "not a list"),
        ("- a.mp4\n- 'b\n", 3, "not valid YAML"),
        ("- &x a.mp4\n- *x\n", 1, "anchors"),
        ("- !!python/object/apply:os.system [id]\n", 1, "tags"),
        ("- a.mp4\n---\n- b.mp4\n", 2, "second document"),
        ("- ''\n", 1, "empty path"),
        ("- a.mp4\n- \x01\n", None, "not valid YAML"),
    ],
)
def test_yaml_errors_name_their_line(media, text, line, words):
    error = refusal(media, text, ".yaml")
    assert error.line == line and words in error.message


def test_binary_and_unknown_files_are_refused(media):
    assert refusal(media, b"a.mp4\nb\0c").line == 2
    assert "unknown kind" in refusal(media, "a.mp4", ".pls").message


def test_caps_refuse_with_the_line(media):
    assert refusal(media, "a.mp4\n" + "x" * 5000).line == 2
    assert refusal(media, "a\n" * (MAX_ENTRIES + 1)).line == MAX_ENTRIES + 1
    assert refusal(media, "#\n" * (MAX_LINES + 1)).line == MAX_LINES + 1
    assert refusal(media, "- a\n" * (MAX_ENTRIES + 1), ".yaml").line == MAX_ENTRIES + 1
    assert "4 MiB" in refusal(media, b"#" * (4 << 20) + b"#", ".yaml").message


@given(st.binary(max_size=300), st.sampled_from([".txt", ".m3u", ".yaml"]))
def test_any_bytes_are_a_list_or_an_error_with_a_place(data, suffix):
    try:
        playlist = parse(data, source=Path("/nowhere") / f"list{suffix}", rules=RULES)
    except PlaylistError as error:
        assert str(error).startswith("/nowhere/list")
    else:
        assert all(entry.fault for entry in playlist.entries)


def test_a_folder_lists_its_media_in_natural_order(tmp_path):
    for name in ("10.mp4", "2.MP4", "1.mkv", ".hidden.mp4", "notes.txt", "list.m3u"):
        (tmp_path / name).touch()
    (tmp_path / "sub.mp4").mkdir()
    entries = load(tmp_path, RULES).entries
    assert [entry.locator for entry in entries if entry.fault is None] == ["1.mkv", "2.MP4", "10.mp4"]
    assert [entry.id for entry in entries] == ["e1", "e2", "e3", "e4"]


@pytest.mark.parametrize(
    "suffix",
    [
        "m2t",
        "m2ts",
        "mts",
        "trp",
        "vob",
        "mpg",
        "m2p",
        "divx",
        "rmvb",
        "wtv",
        "webm",
        "ogv",
        "mka",
        "m4b",
        "ac3",
        "eac3",
        "aiff",
        "caf",
        "gif",
        "webp",
        "jxl",
    ],
)
def test_all_common_kinds_of_media_are_in_a_folder(suffix: str) -> None:
    assert is_media_name(f"film.{suffix}") and is_media_name(f"FILM.{suffix.upper()}")


@pytest.mark.parametrize("name", ["film.txt", "film.srt", "film.nfo", "film", "film.mp4.part", ".film.mp4", "film.m3u8"])
def test_what_lies_beside_media_is_not(name: str) -> None:
    assert not is_media_name(name)


def test_natural_order_reads_numbers():
    assert sorted(["b10", "b9", "B1", "a", "b²"], key=natural_key) == ["a", "B1", "b9", "b10", "b²"]


def test_load_reads_the_file_and_tells_what_it_cannot_read(media):
    (media / "list.txt").write_text("a.mp4")
    assert load(media / "list.txt", RULES).entries[0].path == media / "a.mp4"
    with pytest.raises(PlaylistError, match="No such file"):
        load(media / "none.txt", RULES)


def test_a_fifo_or_device_as_playlist_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "list.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    for name in ("list.txt", "zero.txt"):
        with pytest.raises(PlaylistError, match="not a regular file"):
            load(tmp_path / name, RULES)


HOSTILE = {
    "sparse.txt": "with open(path, 'wb') as file: file.truncate(1 << 30)",
    "lines.txt": "path.write_bytes(b'a\\n' * 10_000_000)",
    "bomb.yaml": "path.write_text('- &a [x,x,x,x,x,x,x,x,x]\\n' + ''.join(f'- &b{n} [*a,*a,*a]\\n' for n in range(1000)))",
    "deep.yaml": "path.write_text('[\\n' * 1_000_000)",
    "flow.yaml": "path.write_text('[' + 'a,\\n' * 1_000_000 + ']')",
    "scalar.yaml": "path.write_text('- \"' + 'a\\n' * 2_000_000 + '\"')",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_little_cost(tmp_path, name):
    """In a process of its own: peak memory grows by less than 50 MB, and 5 s of CPU would end it (one is what it should take)."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from channeld.base.errors import PlaylistError
        from channeld.playlist.locate import PathRules
        from channeld.playlist.parse import load
        def peak_kib():  # not getrusage: its ru_maxrss begins at that of the process that forked
            return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        before = peak_kib()
        try:
            load(Path(sys.argv[1]), PathRules())
        except PlaylistError:
            print(peak_kib() - before)
        """
    )
    exec(HOSTILE[name], {"path": tmp_path / name})
    done = subprocess.run(
        ["prlimit", "--cpu=5", sys.executable, "-c", script, tmp_path / name], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) * 1024 < 50_000_000


def test_the_examples_of_the_documentation_are_as_they_say(media, repository):
    text = (repository / "docs" / "playlists.md").read_text()
    examples = re.findall(r"^```(txt|m3u|yaml)( invalid)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert {kind for kind, _, _ in examples} == {"txt", "m3u", "yaml"}
    for kind, invalid, example in examples:
        if invalid:
            error = refusal(media, example, f".{kind}")
            assert f"line {error.line}: {error.message}" in text
        else:
            entries = read(media, example, f".{kind}").entries
            assert len(entries) > 1 and all(entry.fault in (None, "no such file") for entry in entries)
