"""The configuration: what a file means, and every fault at once with its place."""

import os
import re
import textwrap
from pathlib import Path

import pytest

from channeld.base.units import FrameRate
from channeld.config import Config, ConfigErrors, default_path, load, parse_config
from channeld.config_model import key_patterns
from channeld.config_outputs import HlsSpec, RtmpSpec, SrtSpec, TsSpec
from channeld.config_yaml import MAX_BYTES, PlacedError
from channeld.outputs.push_srt import SrtLink

DOC = Path(__file__).parent.parent / "docs" / "configuration.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOC.read_text(), re.MULTILINE | re.DOTALL)


def read(text: str, folder: Path, **environ: str) -> Config:
    path = folder / "channeld.yaml"
    path.write_text(textwrap.dedent(text))
    return load(path, environ)


def faults(text: str, folder: Path, **environ: str) -> list[PlacedError]:
    with pytest.raises(ConfigErrors) as caught:
        read(text, folder, **environ)
    return caught.value.errors


def only_fault(text: str, folder: Path, **environ: str) -> PlacedError:
    found = faults(text, folder, **environ)
    assert len(found) == 1, found
    return found[0]


def test_a_channel_without_any_key_has_all_defaults(tmp_path: Path) -> None:
    config = read("channels:\n  live1:\n", tmp_path)
    channel = config.channel("live1")
    assert channel.name == "live1"
    assert channel.playlist == tmp_path / "playlists/live1.m3u"
    assert channel.media_roots == (tmp_path / "playlists",)
    assert channel.outputs == (HlsSpec("hls", True, 4, 6),)
    profile = config.profile(channel.profile)
    assert (profile.width, profile.height, profile.fps, profile.video_bitrate) == (1280, 720, FrameRate(30, 1), 3_000_000)
    assert config.prepare.cache_limit.of(1000) == 800


def test_limits_of_the_endless_stream_are_numbers_or_none(tmp_path: Path) -> None:
    media = read("channels: {a: {}}", tmp_path).media
    assert (media.max_clients_per_channel, media.max_clients_per_address, media.stale_s) == (1000, 100, 30)
    text = "media: {max_clients_per_channel: null, max_clients_per_address: 5, stale_seconds: 2.5}\nchannels: {a: {}}"
    media = read(text, tmp_path).media
    assert (media.max_clients_per_channel, media.max_clients_per_address, media.stale_s) == (None, 5, 2.5)


@pytest.mark.parametrize("line", ["max_clients_per_channel: 0", "max_clients_per_address: x", "stale_seconds: 0.5", "stale_seconds: null"])
def test_a_limit_out_of_range_is_told_by_its_key(line: str, tmp_path: Path) -> None:
    assert only_fault(f"media: {{{line}}}\nchannels: {{a: {{}}}}", tmp_path).key == f"media.{line.partition(':')[0]}"


def test_the_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    written = next(example for example in EXAMPLES if example.startswith("# defaults"))
    assert read(written, tmp_path) == read("channels: {live1: {}}", tmp_path)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_documented_example_loads(example: str, tmp_path: Path) -> None:
    (tmp_path / "youtube.key").write_text("abcd-1234\n")
    (tmp_path / "twitch").write_text("live_77\n")
    (tmp_path / "partner.key").write_text("correct-horse\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STREAM_KEY": "k", "SRT_PASSPHRASE": "battery-staple"}
    assert read(example, tmp_path, **environ).channels


def test_every_key_is_documented() -> None:
    documented = set(re.findall(r"^\| `([^`]+)` \|", DOC.read_text(), re.MULTILINE))
    assert set(key_patterns()) == documented


MANY_FAULTS = """\
hosts: many
state_dri: /srv
profiles:
  big: {width: 1281, presett: fast, video_bitrate: lots}
log: {level: infos}
channels:
  Live1: {}
  live2:
    profile: hug
    order: shufle
    outputs:
      - hls: {segment_seconds: 1}
      - foo: {}
      - rtmp: {name: a}
  live3:
    playlist: a.m3u
    playlist: b.m3u
    outputs:
      - hls: {segment_seconds: 1}
"""


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    found = [(error.line, error.column, error.key) for error in faults(MANY_FAULTS, tmp_path)]
    assert found == [
        (1, 8, "hosts"),
        (2, 1, "state_dri"),
        (4, 16, "profiles.big.width"),
        (4, 22, "profiles.big.presett"),
        (4, 52, "profiles.big.video_bitrate"),
        (5, 14, "log.level"),
        (7, 3, "channels.Live1"),
        (9, 14, "channels.live2.profile"),
        (10, 12, "channels.live2.order"),
        (13, 9, "channels.live2.outputs[1].foo"),
        (14, 15, "channels.live2.outputs[2].rtmp.url"),
        (17, 5, "channels.live3.playlist"),
        (19, 32, "channels.live3.outputs[0].hls.segment_seconds"),
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("chanels: {}\nchannels: {a: {}}", "Did you mean `channels`?"),
        ("channels: {a: {play-list: x}}", "Did you mean `playlist`?"),
        ("channels: {a: {resume: exakt}}", "Did you mean `exact`?"),
        ("channels: {a: {outputs: [{htls: {}}]}}", "Did you mean `hls`?"),
        ("channels: {a: {window: 3}}", "It belongs to channels.<id>.outputs[].hls.window"),
        ("channels: {a: {zzzzz: 3}}", "Valid here: name, enabled, playlist"),
        ("media: {access: nobody}\nchannels: {a: {}}", "Write one of open, token"),
    ],
)
def test_a_wrong_word_is_told_with_what_was_meant(text: str, meant: str, tmp_path: Path) -> None:
    assert any(meant in str(error) for error in faults(text, tmp_path))


def test_a_message_names_file_line_column_and_key(tmp_path: Path) -> None:
    error = only_fault("hosts: 0\nchannels: {a: {}}", tmp_path)
    assert str(error) == f"{tmp_path}/channeld.yaml:1:8: hosts: too small. Write 1 or more"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: &x 1\nb: 2", 1, "anchor"),
        ("a: 1\nb: *x", 2, "alias"),
        ("a: 1\nb: !!python/object:os.system {}", 2, "tag"),
        ("a: " + "[" * 40 + "]" * 40, 1, "nested deeper"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2", 2, "tabs"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: 1\n? [x, y]\n: 3", 2, "plain text"),
        ("- a\n- b", 1, "keys and values belong here"),
        ("", None, "channels"),
        ("channels:\n", 1, "keys and values"),
    ],
)
def test_yaml_that_is_not_a_tree_of_plain_values_is_refused(text: str, line: int | None, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text.encode(), Path("c.yaml"), {})
    assert any(error.line == line and message in str(error) for error in caught.value.errors), caught.value


def test_a_file_that_is_not_utf_8_is_told_with_its_place() -> None:
    with pytest.raises(ConfigErrors, match=r"c\.yaml:2:4: .*UTF-8"):
        parse_config(b"a: 1\nb: \xff\n", Path("c.yaml"), {})


def test_a_file_beyond_the_cap_is_refused(tmp_path: Path) -> None:
    assert "bytes" in only_fault("#" * MAX_BYTES + "\nchannels: {a: {}}", tmp_path).message


def test_a_missing_file_is_one_clear_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="No such file"):
        load(tmp_path / "none.yaml")


def test_scalars_stay_what_was_written(tmp_path: Path) -> None:
    config = read("channels:\n  1: {name: 007}\n  no: {name: 1.10}\n", tmp_path)
    assert {channel.id: channel.name for channel in config.channels.values()} == {"1": "007", "no": "1.10"}


def test_outputs_without_a_name_are_named_for_their_type(tmp_path: Path) -> None:
    outputs = "[{rtmp: rtmp://h/a/1}, {rtmp: {name: rtmp-2, url: rtmp://h/a/2}}, {rtmp: rtmp://h/a/3}, hls, {ts: {}}]"
    channel = read(f"channels: {{a: {{outputs: {outputs}}}}}", tmp_path).channel("a")
    assert [output.name for output in channel.outputs] == ["rtmp", "rtmp-2", "rtmp-3", "hls", "ts"]
    assert channel.outputs[4] == TsSpec("ts", True)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("[{hls: {name: x}}, {ts: {name: x}}]", "another output of this channel is named 'x'"),
        ("[{rtmp: rtmp://h/a/1}, {rtmp: rtmp://h/a/1}]", "the same target as channels.a.outputs[0].rtmp (line 1)"),
        ("[hls, hls]", "second hls output"),
        ("[{hls: {}, ts: {}}]", "exactly one of rtmp, srt, hls, dash, ts and named_pipe"),
        ("[{}]", "exactly one of rtmp, srt, hls, dash, ts and named_pipe"),
        ("[{rtmp: 'http://h/a'}]", "not a usable URL. Write rtmp://host/path"),
        ("[{rtmp: 'rtmp://h/a swfUrl=x'}]", "without spaces"),
        ("[{rtmp: {url: 'rtmp://h/a', control: 'ftp://x'}}]", "not a usable URL. Write http://host/path"),
        ("[{srt: 'srt://h'}]", "not a usable URL. Write srt://host:port"),
        ("[{srt: 'srt://:9000'}]", "not a usable URL. Write srt://host:port"),
        ("[{srt: 'udp://h:9000'}]", "not a usable URL. Write srt://host:port"),
        ("[{srt: 'srt://u:p@h:9000'}]", "not a usable URL. Write srt://host:port"),
        ("[{srt: 'srt://h:9000?passphrase=0123456789'}]", "as keys of their own: mode, latency_ms"),
        ("[{srt: 'srt://h:9000/live'}]", "an SRT URL ends with its port"),
        ("[{srt: {url: 'srt://h:9000', passphrase: short}}]", "10 to 79 printable ASCII characters"),
        ("[{srt: {url: 'srt://h:9000', latency_ms: 5}}]", "Write 20 or more"),
        ("[{srt: {url: 'srt://h:9000', mode: rendezvous}}]", "'caller' or 'listener'"),
        ("[{srt: {url: 'srt://0.0.0.0:9000', mode: listener, streamid: x}}]", "a listener is told the caller's stream id"),
        ("[{srt: {url: 'srt://h:9000', streamid: ''}}]", "1 to 512 printable characters"),
        ("[{srt: srt://h:9000}, {srt: srt://h:9000}]", "the same target as channels.a.outputs[0].srt (line 1)"),
        ("[{srt: {url: srt://h:9, mode: listener}}, {srt: {url: 'srt://:9', mode: listener}}]", "the same target as"),
        ("[{hls: {window: 2}}]", "Write 3 or more"),
        ("[{hls: {segment_seconds: .inf}}]", "a number belongs here"),
        ("[{hls: {segment_seconds: 1.5}}]", "shorter than the GOP of profile 720p30 (2 s)"),
    ],
)
def test_outputs_that_cannot_work_are_refused(outputs: str, message: str, tmp_path: Path) -> None:
    assert message in only_fault(f"channels: {{a: {{outputs: {outputs}}}}}", tmp_path).message


def test_an_srt_output_has_its_passphrase_from_a_file_or_the_environment_and_shows_it_nowhere(tmp_path: Path) -> None:
    (tmp_path / "srt.key").write_text("0123456789-file\n")
    text = (
        "channels: {a: {outputs: [{srt: {url: 'srt://h:9000', key_file: srt.key, streamid: '${ID}', latency_ms: 300}}, "
        "{srt: {url: 'srt://h:9001', passphrase: '${PASS}'}}, {srt: {url: 'srt://:9002', mode: listener}}, {srt: srt://h:9003}]}}"
    )
    config = parse_config(text.encode(), tmp_path / "c.yaml", {"ID": "#!::r=secret-id", "PASS": "0123456789-environ"})
    first, second, third, fourth = (output for output in config.channel("a").outputs if isinstance(output, SrtSpec))
    assert first.link == SrtLink("caller", 300, "0123456789-file", "#!::r=secret-id")
    assert (second.link.passphrase, third.link.mode, fourth.link, fourth.name) == ("0123456789-environ", "listener", SrtLink(), "srt-4")
    shown = repr(config) + repr(config.told)
    assert "0123456789" not in shown and "secret-id" not in shown


def test_a_passphrase_in_two_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "srt.key").write_text("0123456789\n")
    outputs = "[{srt: {url: 'srt://h:9000', key_file: srt.key, passphrase: 0123456789}}]"
    assert "Keep one of passphrase and key_file" in only_fault(f"channels: {{a: {{outputs: {outputs}}}}}", tmp_path).message


def test_two_channels_with_one_target_are_refused_unless_one_is_off(tmp_path: Path) -> None:
    text = "channels:\n  a: {outputs: [rtmp: rtmp://h/x/y]}\n  b: {enabled: %s, outputs: [rtmp: rtmp://h/x/y]}\n"
    assert only_fault(text % "true", tmp_path).line == 3
    assert read(text % "false", tmp_path).channels


def rtmp_of(config: Config) -> RtmpSpec:
    output = config.channel("a").outputs[0]
    assert isinstance(output, RtmpSpec)
    return output


def test_a_key_file_becomes_the_last_part_of_the_url_and_never_shows(tmp_path: Path) -> None:
    (tmp_path / "stream.key").write_text("s3cr3t-key\n")
    config = read("channels: {a: {outputs: [rtmp: {url: 'rtmp://127.0.0.1/live2?x=y', key_file: stream.key}]}}", tmp_path)
    assert rtmp_of(config).url == "rtmp://127.0.0.1/live2/s3cr3t-key?x=y"
    assert rtmp_of(config).shown_url == "rtmp://127.0.0.1/live2/***?x=***"
    assert "s3cr3t" not in repr(config)


def test_a_credential_is_read_from_systemds_folder(tmp_path: Path) -> None:
    text = "channels: {a: {outputs: [rtmp: {url: 'rtmps://h/app', key_file: 'credential:%s'}]}}"
    (tmp_path / "twitch").write_text("live_1")
    assert rtmp_of(read(text % "twitch", tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))).url == "rtmps://h/app/live_1"
    assert "LoadCredential=twitch" in only_fault(text % "twitch", tmp_path).message
    assert "credential's name" in only_fault(text % "../twitch", tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)).message


def test_a_key_file_that_is_a_pipe_is_refused_and_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    error = only_fault("channels: {a: {outputs: [rtmp: {url: 'rtmp://h/a', key_file: key}]}}", tmp_path)
    assert "cannot be read" in error.message


def test_names_of_a_proxy_may_be_allowed_and_nothing_but_names(tmp_path: Path) -> None:
    config = read("admin: {allowed_hosts: [tv.example.org, '192.0.2.1', 'fd00::1']}\nchannels: {a: {}}", tmp_path)
    assert config.admin.allowed_hosts == ("tv.example.org", "192.0.2.1", "fd00::1")
    for name in ("https://tv.example.org", "tv.example.org:443", "*", ""):
        assert only_fault(f"admin: {{allowed_hosts: ['{name}']}}\nchannels: {{a: {{}}}}", tmp_path).key == "admin.allowed_hosts[0]"


def test_a_push_verifies_its_server_unless_told_not_to(tmp_path: Path) -> None:
    text = "channels: {a: {outputs: [rtmp: {url: 'rtmps://h/a/b'%s}]}}"
    assert (rtmp_of(read(text % "", tmp_path)).tls_verify, rtmp_of(read(text % "", tmp_path)).ca_file) == (True, None)
    assert rtmp_of(read(text % ", tls_verify: false", tmp_path)).tls_verify is False
    assert rtmp_of(read(text % ", ca_file: own.pem", tmp_path)).ca_file == tmp_path / "own.pem"


def test_a_database_is_sqlite_unless_a_url_of_postgresql_names_another(tmp_path: Path) -> None:
    assert read("channels: {a: {}}", tmp_path).database is None
    config = read("database: 'postgresql://tv:${PW}@db.example.org/tv'\nchannels: {a: {}}", tmp_path, PW="s3cr3t")
    assert config.database == "postgresql://tv:s3cr3t@db.example.org/tv"
    assert "s3cr3t" not in repr(config)
    for url in ("mysql://tv:s3cr3t@h/tv", "postgresql://tv:s3cr3t@h", "s3cr3t"):
        fault = only_fault(f"database: '{url}'\nchannels: {{a: {{}}}}", tmp_path)
        assert fault.key == "database" and "s3cr3t" not in str(fault)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"k" * 5000])
def test_a_key_file_without_one_plain_key_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    error = only_fault("channels: {a: {outputs: [rtmp: {url: 'rtmp://h/a', key_file: key}]}}", tmp_path)
    assert error.key == "channels.a.outputs[0].rtmp.key_file"
    assert "one line without spaces" in error.message


def test_the_environment_counts_in_urls_and_key_files_of_outputs_only(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("key")
    text = "channels: {a: {name: '${NAME}', outputs: [rtmp: {url: 'rtmp://h/${APP}', key_file: '${FILE}'}]}}"
    config = read(text, tmp_path, APP="live", FILE="k", NAME="no")
    assert rtmp_of(config).url == "rtmp://h/live/key"
    assert config.channel("a").name == "${NAME}"
    assert "environment variable APP is not set" in only_fault(text, tmp_path, FILE="k").message


def test_no_fault_shows_what_a_url_hides(tmp_path: Path) -> None:
    text = """\
        channels:
          a:
            outputs:
              - rtmp: http://user:hunter2@h/app/hunter2
              - rtmp://h/app/hunter2
              - rtmp://h/app/hunter2: {}
              - rtmp: {url: "rtmp://h/app/hunter2 x"}
              - rtmp: rtmp://h/app/hunter2
              - rtmp: rtmp://h/app/hunter2
        """
    found = faults(text, tmp_path)
    assert len(found) >= 5
    assert not [str(error) for error in found if "hunter2" in str(error)]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("{width: 1281}", "1281 is odd"),
        ("{height: 15}", "Write 16 or more"),
        ("{fps: 0}", "outside 1 to 120"),
        ("{fps: [1]}", "not a frame rate"),
        ("{video_bitrate: 5}", "too small"),
        ("{preset: veryfsat}", "Did you mean `veryfast`?"),
        ("{audio_language: German}", "ISO 639"),
        ("{width: 4096, height: 2304, fps: 120}", "beyond H.264 level 5.2"),
        ("{width: 4096, height: 2304, codec: h265}", "beyond H.265 level 5.2"),
        ("{video_bitrate: 50M, codec: h265}", "beyond H.265 level 5.2"),
        ("{codec: h266}", "Did you mean `h265`?"),
        ("[]", "keys and values belong here"),
    ],
)
def test_a_profile_that_cannot_be_encoded_is_refused(profile: str, message: str, tmp_path: Path) -> None:
    error = only_fault(f"profiles:\n  x: {profile}\nchannels: {{a: {{profile: x}}}}", tmp_path)
    assert error.line == 2
    assert message in error.message


@pytest.mark.parametrize(("text", "total", "cap"), [("50%", 1000, 500), ("2K", 10, 2048), ("12.5%", 1000, 125)])
def test_a_cap_is_a_size_or_a_share_of_the_disk(text: str, total: int, cap: int, tmp_path: Path) -> None:
    assert read(f"prepare: {{cache_max_bytes: {text}}}\nchannels: {{a: {{}}}}", tmp_path).prepare.cache_limit.of(total) == cap


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ("logo: logo.png", "is not a web address"),
        ("logo: 'javascript:alert(1)'", "is not a web address"),
        ("number: 0", "number"),
        ("group: ' '", "is not a name"),
        ('group: "two\\nlines"', "is not a name"),
    ],
)
def test_what_a_guide_could_not_show_is_refused(listing: str, message: str, tmp_path: Path) -> None:
    assert any(message in str(error) for error in faults(f"channels: {{a: {{{listing}}}}}", tmp_path))


@pytest.mark.parametrize("key", ["hls_max_bytes: 0%", "hls_max_bytes: many", "admin: {listen: '8080'}", "admin: {listen: 'h:99999'}"])
def test_sizes_and_addresses_that_mean_nothing_are_refused(key: str, tmp_path: Path) -> None:
    assert only_fault(f"{key}\nchannels: {{a: {{}}}}", tmp_path).line == 1


def test_admin_and_viewers_cannot_share_a_listener(tmp_path: Path) -> None:
    assert only_fault("media: {listen: 127.0.0.1:8080}\nchannels: {a: {}}", tmp_path).key == "media.listen"


def test_the_file_is_found_by_environment_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_path({"CHANNELD_CONFIG": "/x.yaml"}) == Path("/x.yaml")
    (tmp_path / "channeld.yaml").touch()
    assert default_path({}) == Path("channeld.yaml")
