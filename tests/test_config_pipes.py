"""Named pipes in a configuration file: defaults, the short form, where the pipes are, and what is refused and told by `check`."""

import os
from pathlib import Path

import pytest

from channeld.check import check
from channeld.config import ConfigErrors, load_whereabouts, parse_config
from channeld.config_outputs import PipeSpec
from channeld.config_values import Config

NAMES = "state_dir: state\nruntime_dir: run\nhls_dir: hls\n"


def read(text: str, folder: Path) -> Config:
    return parse_config((NAMES + text).encode(), folder / "channeld.yaml", environ={})


def pipes_of(config: Config, channel: str = "live1") -> list[PipeSpec]:
    return [output for output in config.channel(channel).outputs if isinstance(output, PipeSpec)]


def test_a_pipe_without_any_key_is_in_the_runtime_folder(tmp_path: Path) -> None:
    [pipe] = pipes_of(read("channels: {live1: {outputs: [named_pipe: {}]}}", tmp_path))
    assert (pipe.name, pipe.enabled, pipe.paths) == ("named_pipe", True, (tmp_path / "run" / "pipes" / "live1.ts",))
    assert (pipe.lag_s, pipe.stall_s, pipe.player) == (10.0, 5.0, None)


def test_a_path_alone_is_the_short_form_and_further_pipes_are_numbered(tmp_path: Path) -> None:
    text = "[named_pipe: /srv/a.ts, named_pipe: {path: /srv/wall.x.ts, count: 3, player: mpv, connection_timeout_ms: 500}]"
    first, second = pipes_of(read(f"channels: {{live1: {{outputs: {text}}}}}", tmp_path))
    assert (first.name, first.paths) == ("named_pipe", (Path("/srv/a.ts"),))
    assert (second.name, second.paths) == ("named_pipe-2", tuple(map(Path, ("/srv/wall.x.ts", "/srv/wall.x-2.ts", "/srv/wall.x-3.ts"))))
    assert second.player is not None and (second.player.argv, second.player.connect_s) == (("mpv",), 0.5)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("[named_pipe: live1.ts]", "Write an absolute one"),
        ("[named_pipe: /srv/../etc/live1.ts]", "without `..`"),
        ("[named_pipe: /proc/live1.ts]", "is below /proc, where no pipe belongs"),
        ("[named_pipe: {{path: '{folder}/state/live1.ts'}}]", "is below state_dir, where no pipe belongs"),
        ("[named_pipe: {{path: '{folder}/hls/live1/1.ts'}}]", "is below hls_dir"),
        ("[named_pipe: {{path: '{folder}/run/bus/live1.sock'}}]", "is among the daemon's own files"),
        ("[named_pipe: {{count: 0}}]", "Write 1 or more"),
        ("[named_pipe: {{count: 17}}]", "Write 16 or less"),
        ("[named_pipe: {{max_buffer_segments: 61}}]", "Write 60 or less"),
        ("[named_pipe: {{player: []}}]", "not a program"),
        ("[named_pipe: {{player: [mpv, 3.0]}}]", None),
        ("[named_pipe: {{player: {{program: mpv}}}}]", "not a program"),
        ("[named_pipe: /srv/{long}.ts]", "is longer than a path may be"),
        ("[named_pipe: {{}}, named_pipe: {{}}]", "is also a pipe of channels.live1.outputs[0].named_pipe (line 4)"),
        ("[named_pipe: {{path: /srv/a.ts, count: 2}}, named_pipe: /srv/a-2.ts]", "Give each output a `path` of its own"),
        ("[named_pipe: {{segment_timeout: 3}}]", "Did you mean `segment_timeout_ms`?"),
    ],
)
def test_pipes_that_cannot_be_are_refused(outputs: str, message: str | None, tmp_path: Path) -> None:
    text = f"channels: {{live1: {{outputs: {outputs.format(folder=tmp_path, long='x' * 260)}}}}}"
    if message is None:
        read(text, tmp_path)
        return
    with pytest.raises(ConfigErrors) as caught:
        read(text, tmp_path)
    [fault] = caught.value.errors
    assert message in fault.message and "named_pipe" in str(fault.key) and fault.line == 4


def test_two_channels_cannot_share_a_pipe_either(tmp_path: Path) -> None:
    """The second pipe of one is the first of the other by their names."""
    text = "channels: {live1: {outputs: [named_pipe: {count: 2}]}, live1-2: {outputs: [named_pipe: {}]}}"
    with pytest.raises(ConfigErrors, match="is also a pipe of"):
        read(text, tmp_path)


def test_check_tells_what_is_in_the_way_of_a_pipe_and_its_player(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("a film")
    os.mkfifo(tmp_path / "ours.ts")
    (tmp_path / "list.txt").write_text("")
    outputs = [
        f"named_pipe: {tmp_path}/a.ts",
        f"named_pipe: {tmp_path}/none/a.ts",
        f"named_pipe: {{path: {tmp_path}/ours.ts, player: [/nonexistent/mpv, --fs]}}",
        f"named_pipe: {{path: {tmp_path}/off.ts, player: nowhere, enabled: false}}",
        "named_pipe: {player: [cat]}",
        f"named_pipe: {{path: {tmp_path}/far.ts, max_buffer_segments: 60}}",
    ]
    lines = "".join(f"      - {output}\n" for output in outputs)
    path = tmp_path / "channeld.yaml"
    path.write_text(f"{NAMES}channels:\n  live1:\n    playlist: list.txt\n    outputs:\n{lines}")
    found = [finding for finding in check(path).warnings if "named_pipe" in (finding.key or "")]
    assert [(each.line, each.message.partition(".ts ")[2] or each.message) for each in found] == [
        (8, "is there already and is not a named pipe. Remove it, or name another path"),
        (9, f"the folder {tmp_path}/none is not there. Make it, or name another path"),
        (10, "/nonexistent/mpv is not installed or not executable. Install it, or write its whole path"),
        (13, "a reader loses its place after 12 s, as the ring holds no more. Write ring_seconds: 60, or fewer segments"),
    ]
    assert not (tmp_path / "run").exists()


def test_who_only_reads_pipes_learns_where_they_are_from_a_file_with_faults(tmp_path: Path) -> None:
    file = tmp_path / "channeld.yaml"
    file.write_text(
        NAMES + "channels:\n  a: {outputs: [ts: {}, named_pipe: /srv/a.ts]}\n  b: {outputs: [named_pipe: {path: /srv/b.ts, nonsense: 1}]}\n"
        "  c: {outputs: [named_pipe: {}]}\n  d: 3\n  e: {outputs: 3}\n  f: {outputs: [3, {named_pipe: 3}]}\n"
    )
    assert load_whereabouts(file).pipes == {"a": Path("/srv/a.ts"), "b": Path("/srv/b.ts")}
