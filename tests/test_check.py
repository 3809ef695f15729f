"""`check`: everything between a configuration and being on air, found in one go."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from nginx_origin import wait_until
from peers.srt_peer import SrtPeer

from channeld.check import CheckReport, Readiness, check
from channeld.check_srt import silence_of
from channeld.config_values import ChannelSpec, Config
from channeld.playlist.model import Playlist

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
FOLDERS = "state_dir: state\nruntime_dir: runtime\nhls_dir: hls\n"


def written(folder: Path, config: str, **lists: str) -> Path:
    (folder / "playlists").mkdir()
    for name, text in lists.items():
        (folder / "playlists" / f"{name}.m3u").write_text(text)
    path = folder / "channeld.yaml"
    path.write_text(FOLDERS + config)
    return path


def texts(report: CheckReport, folder: Path) -> list[str]:
    return [str(finding).replace(f"{folder}/", "") for finding in (*report.errors, *report.warnings)]


@needs_ffmpeg
def test_a_channel_with_its_clips_has_no_findings(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}}", a="clip.mp4\n")
    (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
    report = check(path)
    assert texts(report, tmp_path) == []
    assert any("ffmpeg version" in note and "x264" in note for note in report.notes)
    assert any(all(kind in note for kind in ("hardware encoders", "nvidia", "vaapi", "qsv")) for note in report.notes)


def test_faulty_entries_are_warnings_with_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}}", a="clip.mp4\n# comment\nnone.mp4\n")
    (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
    assert texts(check(path), tmp_path) == ["playlists/a.m3u:3: none.mp4: no such file"]


@pytest.mark.parametrize("entry", ["{media}/it's: here/film.mp4", "link.mp4", "http://127.0.0.1/film.mp4"], ids=str)
def test_the_line_that_it_prints_for_a_refused_entry_admits_it(entry: str, tmp_path: Path) -> None:
    media = tmp_path / "media" / "it's: here"
    media.mkdir(parents=True)
    (media / "film.mp4").write_bytes(b"x")
    path = written(tmp_path, "channels: {a: {}}", a=entry.format(media=tmp_path / "media") + "\n")
    (tmp_path / "playlists/link.mp4").symlink_to(media / "film.mp4")
    finding = next(each for each in check(path).warnings if "To allow it" in each.message)
    assert (finding.file, finding.line) == (tmp_path / "playlists/a.m3u", 1)
    path.write_text(path.read_text() + "\n" + finding.message.partition("add to the configuration: ")[2] + "\n")
    assert texts(check(path), tmp_path) == []


def test_a_scheme_that_is_not_allowed_is_told_with_the_line_that_admits_it(tmp_path: Path) -> None:
    path = written(tmp_path, "url_allow: {schemes: [https]}\nchannels: {a: {}}", a="http://example.org/film.mp4\n")
    finding = next(each for each in check(path).warnings if "To allow it" in each.message)
    assert finding.message.endswith("url_allow: {schemes: [https, http]}")
    path.write_text(path.read_text().replace("{schemes: [https]}", finding.message.partition("url_allow: ")[2]))
    assert texts(check(path), tmp_path) == []


def test_a_playlist_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}, b: {playlist: playlists/b.yaml}}")
    (tmp_path / "playlists/b.yaml").write_text("- ok.mp4\n- {pth: x}\n")
    found = texts(check(path), tmp_path)
    assert any(text.startswith("playlists/a.m3u: cannot be read") for text in found)
    assert any(text.startswith("playlists/b.yaml:2: ") for text in found)


def test_a_filler_that_cannot_be_read_is_told_with_the_line_of_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, "channels:\n  a:\n    filler: none.mp4\n", a="clip.mp4\n")
    found = check(path).input_errors
    assert [(each.line, each.key) for each in found] == [(6, "channels.a.filler")]


def test_folders_that_take_no_files_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}}", a="")
    path.write_text(
        path.read_text().replace("hls_dir: hls", "hls_dir: /proc/channeld").replace("state_dir: state", "state_dir: channeld.yaml/x")
    )
    assert [(each.line, each.key) for each in check(path).machine_errors] == [(1, "state_dir"), (3, "hls_dir")]


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}}", a="")
    before = sorted(tmp_path.rglob("*"))
    check(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_push_target_that_does_not_answer_is_a_warning(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.socket() as down:
        down.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused, and nobody else gets the port
        targets = f"rtmp: rtmp://127.0.0.1:{up.getsockname()[1]}/live/a}}, {{rtmp: rtmp://127.0.0.1:{down.getsockname()[1]}/live/a"
        path = written(tmp_path, f"channels: {{a: {{outputs: [{{{targets}}}]}}}}", a="clip.mp4\n")
        (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
        found = check(path)
    assert found.input_errors == []
    assert [(each.line, each.key) for each in found.warnings] == [(4, "channels.a.outputs[1].rtmp")]


def test_an_srt_target_is_asked_as_a_caller_would(tmp_path: Path, free_port: Callable[[], int]) -> None:
    far = SrtPeer(free_port(), tmp_path / "far.ts", passphrase="0123456789").start()
    silent = free_port()
    try:
        wait_until(lambda: silence_of("127.0.0.1", int(far.url.rpartition(":")[2])) is None, what="the peer to listen")
        targets = f"srt: '{far.url}'}}, {{srt: 'srt://127.0.0.1:{silent}'}}, {{srt: {{url: 'srt://127.0.0.1:1', mode: listener}}"
        path = written(tmp_path, f"channels: {{a: {{outputs: [{{{targets}}}]}}}}", a="clip.mp4\n")
        (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
        found = check(path)
    finally:
        far.stop()
    assert found.input_errors == []
    assert [(each.line, each.key) for each in found.warnings] == [(4, "channels.a.outputs[1].srt")]


def test_an_admin_listener_open_to_the_network_wants_tls(tmp_path: Path) -> None:
    path = written(tmp_path, "admin: {listen: 0.0.0.0:8080}\nchannels: {a: {}}", a="")
    assert any(each.key == "admin.listen" and each.line == 4 for each in check(path).warnings)


def test_faults_of_the_configuration_stand_in_the_report(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {playlst: x}}")
    report = check(path)
    assert texts(report, tmp_path)[0] == "channeld.yaml:4:16: channels.a.playlst: unknown key. Did you mean `playlist`?"
    assert report.to_json()["errors"][0]["line"] == 4


def test_loops_larger_than_the_cache_are_a_warning(tmp_path: Path) -> None:
    def measure(config: Config, channel: ChannelSpec, playlist: Playlist) -> Readiness:
        return Readiness(ready_s=60, needed_s=3600, loop_bytes=2 << 20)

    path = written(tmp_path, "prepare: {cache_max_bytes: 1M}\nchannels: {a: {}}", a="")
    report = check(path, measure=measure)
    assert report.readiness["a"].ready_s == 60
    assert any(each.key == "prepare.cache_max_bytes" and "2 MiB" in each.message for each in report.warnings)


def test_a_list_full_of_faults_is_told_in_short(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {}}", a="none.mp4\n" * 500)
    found = texts(check(path), tmp_path)
    assert "playlists/a.m3u: 450 more entries have faults" in found
    assert len(found) < 60


def test_a_key_that_everybody_may_read_is_a_warning_and_one_that_is_protected_is_not(tmp_path: Path) -> None:
    text = "channels: {a: {outputs: [rtmp: {url: 'rtmp://127.0.0.1:1/live2', key_file: a.key}]}}"
    path = written(tmp_path, text, a="clip.mp4\n")
    (tmp_path / "playlists/clip.mp4").write_bytes(b"x")
    (tmp_path / "a.key").write_text("s3cr3t")
    (tmp_path / "a.key").chmod(0o644)
    (told,) = [each for each in texts(check(path), tmp_path) if "key_file" in each]
    assert told.startswith("channeld.yaml:4:") and "chmod 0640 a.key" in told
    (tmp_path / "a.key").chmod(0o640)
    assert not [each for each in texts(check(path), tmp_path) if "key_file" in each]


def test_an_authority_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: {a: {outputs: [rtmp: {url: 'rtmps://127.0.0.1:1/a/b', ca_file: none.pem}]}}", a="clip.mp4\n")
    assert any("none.pem cannot be read" in each for each in texts(check(path), tmp_path))
