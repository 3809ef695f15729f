"""The command line against a daemon on air: what docs/cli.md shows is run as printed, and what goes wrong is told with its exit code.

Rule: one daemon for all of it; its channel airs real clips, and every edit is looked for in the playlist's file.
"""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_origin import wait_until
from running import RunningDaemon
from typer.main import get_command

from channeld.cli import app

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
EXAMPLES = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
LIST = "#EXTM3U\n# kept\n#EXTINF:-1,Sintel\nfilms/sintel.mp4\n#EXTINF:-1,Tears of Steel\nfilms/tears.mp4\n"
FOREVER = ("--watch", "--follow")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, deck: Path, prepared: Path) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("terminal")
    for name, clip in (("films/sintel.mp4", "d0.mp4"), ("films/tears.mp4", "d1.mp4"), ("trailers/tonight.mp4", "d2.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(deck / clip, folder / name)
    channels = {name: {"playlist": str(folder / f"{name}.m3u"), "name": f"The {name}"} for name in ("live1", "live2")}
    channels["live1"] |= {"outputs": [{"hls": {}}, {"ts": {}}]}
    for name in channels:
        (folder / f"{name}.m3u").write_text(LIST)
    running = RunningDaemon(folder, channels, cache=prepared)
    running.start()
    shim = folder / "bin" / "channeld"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m channeld "$@"\n')
    shim.chmod(0o755)
    yield running
    assert running.stop() == []


@pytest.fixture
def playlist(daemon: RunningDaemon) -> Iterator[Path]:
    """The file of live1 as it was at first, taken by the daemon."""
    path = daemon.folder / "live1.m3u"
    if path.read_text() != LIST:
        with daemon.client() as client:
            sent = client.put("/api/v1/channels/live1/playlist", content=LIST, headers={"If-Match": "*", "Content-Type": "text/plain"})
            assert sent.status_code == 202
    yield path


def environment(daemon: RunningDaemon, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CHANNELD_TOKEN", "VISUAL", "COLUMNS")
    }
    path = f"{daemon.folder / 'bin'}:{os.environ['PATH']}"
    told = {
        "CHANNELD_CONFIG": str(daemon.config_path),
        "EDITOR": "true",
        "MEDIA": f"http://127.0.0.1:{daemon.media_port}",
        "PATH": path,
        "HOME": str(daemon.folder),
        "TMPDIR": str(daemon.folder),
    }
    return {**kept, **told, **more}


def channeld(daemon: RunningDaemon, *words: str, text: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "channeld", *words]
    where = environment(daemon, **more)
    return subprocess.run(argv, cwd=daemon.folder, env=where, input=text, capture_output=True, text=True, timeout=60, check=False)


def following(daemon: RunningDaemon, *words: str) -> subprocess.Popen[str]:
    """One that goes on until it is interrupted."""
    argv = [sys.executable, "-m", "channeld", *words]
    return subprocess.Popen(argv, cwd=daemon.folder, env=environment(daemon), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupted(child: subprocess.Popen[str]) -> str:
    """What it wrote to the end; it ends with 0 and without a word of trouble."""
    child.send_signal(signal.SIGINT)
    out, told = child.communicate(timeout=60)
    assert (child.returncode, told) == (0, ""), told
    return out


def ended(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait(10)


# -- the document ---------------------------------------------------------------------------------------------------


def test_every_verb_is_in_the_document_and_each_that_talks_to_a_daemon_has_an_example() -> None:
    text, shown = DOCUMENT.read_text(), {" ".join(shlex.split(line)[1:3]) for line in EXAMPLES}
    for name, command in getattr(get_command(app), "commands", {}).items():
        below = getattr(command, "commands", None)
        for verb in [name] if below is None else [f"{name} {each}" for each in below]:
            assert f"`{verb}`" in text or any(f"{each} ".startswith(f"{verb} ") for each in shown), verb


@pytest.mark.skipif(shutil.which("bash") is None, reason="missing on this machine: bash")
def test_the_document_works_as_printed(daemon: RunningDaemon, playlist: Path) -> None:
    """Line by line in one shell's folder; what goes on for ever is interrupted once it has written."""
    for line in EXAMPLES:
        is_endless = any(option in shlex.split(line) for option in FOREVER)
        child = subprocess.Popen(
            ["bash", "-c", f"exec {line}"] if is_endless else ["bash", "-c", line],
            cwd=daemon.folder,
            env=environment(daemon),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if is_endless:
                assert child.stdout is not None and child.stdout.readline()
                interrupted(child)
            else:
                _, told = child.communicate(timeout=60)
                assert child.returncode == 0, f"{line}: {told}"
        finally:
            ended(child)
    assert playlist.read_text() == LIST  # all was taken back, the comment kept


# -- playlists ------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_what_and_when_and_writes_nothing(daemon: RunningDaemon, playlist: Path) -> None:
    done = channeld(daemon, "playlist", "add", "live1", "trailers/tonight.mp4", "--title", "Tonight", "--after", "1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout and "+ 2. trailers/tonight.mp4 (Tonight)" in done.stdout
    assert re.search(r"^(\d\d-\d\d )?\d\d:\d\d:\d\d +– +Tonight", done.stdout, re.MULTILINE), done.stdout
    assert playlist.read_text() == LIST


def test_a_list_that_has_changed_since_it_was_looked_at_is_told_and_nothing_is_written(daemon: RunningDaemon, playlist: Path) -> None:
    shown = json.loads(channeld(daemon, "playlist", "show", "live1", "--json").stdout)
    assert [entry["title"] for entry in shown["entries"]] == ["Sintel", "Tears of Steel"]
    done = channeld(daemon, "playlist", "remove", "live1", "2", "--revision", str(shown["revision"] - 1))
    assert done.returncode == 1 and f"it is at revision {shown['revision']}" in done.stderr
    assert "channeld playlist show live1" in done.stderr and playlist.read_text() == LIST


def editor(daemon: RunningDaemon, name: str, script: str) -> str:
    """A program that edits the file it is given, as a person would in an editor."""
    path = daemon.folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_what_was_typed_while_somebody_else_edited_is_kept_and_can_be_put(daemon: RunningDaemon, playlist: Path) -> None:
    """The other edit comes while the editor is open; the text that lost is in a file, which the error names."""
    other = f'{sys.executable} -m channeld playlist add live1 trailers/tonight.mp4 && sed -i s/Sintel/Mine/ "$1"'
    done = channeld(daemon, "playlist", "edit", "live1", EDITOR=editor(daemon, "slow-editor", other))
    assert done.returncode == 1 and "has changed since it was read" in done.stderr
    assert "trailers/tonight.mp4" in playlist.read_text() and "Sintel" in playlist.read_text()
    (kept,) = re.findall(r"--file (\S+\.m3u)", done.stderr)
    assert "Mine" in Path(kept).read_text()
    put = channeld(daemon, "playlist", "edit", "live1", "--file", kept)
    assert put.returncode == 0, put.stderr
    assert playlist.read_text() == LIST.replace("Sintel", "Mine") and "- trailers/tonight.mp4" in put.stdout
    Path(kept).unlink()


def test_a_text_that_is_no_list_is_told_with_its_line_and_kept(daemon: RunningDaemon, playlist: Path) -> None:
    spoil = editor(daemon, "spoiler", r"""printf 'a.mp4\n\0\n' >> "$1" """)
    done = channeld(daemon, "playlist", "edit", "live1", EDITOR=spoil, text="")
    assert done.returncode == 2 and "line 8:" in done.stderr and playlist.read_text() == LIST
    (kept,) = re.findall(r"--file (\S+\.m3u)", done.stderr)
    assert Path(kept).read_text().startswith(LIST)
    Path(kept).unlink()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("playlist", "remove", "live1", "9"), 2, "has no entry 9: it has 2"),
        (("playlist", "move", "live1", "films/none.mp4", "--to", "1"), 2, "channeld playlist show live1"),
        (("playlist", "move", "live1", "1"), 2, "--before, --after and --to"),
        (("playlist", "add", "live1", "films/none.mp4"), 2, "films/none.mp4"),
        (("playlist", "change", "live1", "1"), 2, "nothing to change"),
        (("play-next", "live1", "../../etc/passwd"), 2, "passwd"),
        (("skip", "live9"), 2, "live9"),
        (("status", "live/../9"), 2, ""),
        (("events", "--kind", "entry_start"), 2, "Did you mean entry_started?"),
        (("stop", "live1", "--url", "http://127.0.0.1:1", "--token", "x"), 3, "channeld run"),
        (("events", "--follow", "--url", "http://127.0.0.1:1", "--token", "x"), 3, "channeld run"),
        (("status", "--watch", "--url", "http://127.0.0.1:1", "--token", "x"), 3, "channeld run"),
        (("skip", "live1", "--token", "wrong"), 4, "refused the token"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_goes_wrong_has_its_exit_code_and_one_clear_line(daemon: RunningDaemon, words: tuple[str, ...], code: int, told: str) -> None:
    done = channeld(daemon, *words)
    assert done.returncode == code and told in done.stderr and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_viewer_sees_and_may_not_order(daemon: RunningDaemon, playlist: Path) -> None:
    made = channeld(daemon, "token", "add", "eyes", "--role", "viewer")
    secret = made.stdout.strip()
    assert channeld(daemon, "status", CHANNELD_TOKEN=secret).returncode == 0
    done = channeld(daemon, "playlist", "remove", "live1", "1", CHANNELD_TOKEN=secret)
    assert done.returncode == 4 and "operator" in done.stderr and playlist.read_text() == LIST


# -- orders, events and the wall ------------------------------------------------------------------------------------


def test_orders_are_followed_as_events_one_a_line(daemon: RunningDaemon) -> None:
    """live2 is stopped and started: both events come to one who follows, and nothing of live1 does."""
    child = following(daemon, "events", "--follow", "--json", "--channel", "live2", "--kind", "channel_state", "--after", "0")
    lines: list[dict[str, Any]] = []
    assert child.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, child.stdout or ())), name="reader")
    reader.start()
    try:
        wait_until(lambda: len(lines) > 0, what="the events that were", timeout_s=60)
        done = channeld(daemon, "stop", "live2", "--json")
        assert (done.returncode, json.loads(done.stdout)["changed"]) == (0, True)
        wait_until(lambda: lines[-1]["state"] == "stopped", what="the event of the stop", timeout_s=60)
        again = channeld(daemon, "stop", "live2")
        assert again.returncode == 0 and "so already" in again.stdout
        assert channeld(daemon, "skip", "live2").returncode == 2
        assert channeld(daemon, "start", "live2").returncode == 0
        wait_until(lambda: lines[-1]["state"] == "on_air", what="the event of the start", timeout_s=60)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    finally:
        ended(child)
        reader.join(10)
    assert {line["channel"] for line in lines} == {"live2"}
    numbers = [line["id"] for line in lines]
    assert numbers == sorted(set(numbers))
    later = channeld(daemon, "events", "--json", "--after", str(numbers[-2]), "--channel", "live2", "--kind", "channel_state")
    assert [json.loads(line)["id"] for line in later.stdout.splitlines()] == [numbers[-1]]


def test_who_follows_goes_on_where_it_was_after_the_daemon_was_replaced(daemon: RunningDaemon) -> None:
    child = following(daemon, "events", "--follow", "--json", "--channel", "live2", "--after", "0")
    lines: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, child.stdout or ())), name="reader")
    reader.start()
    try:
        wait_until(lambda: len(lines) > 0, what="the events that were", timeout_s=60)
        replaced = channeld(daemon, "upgrade-restart")
        assert replaced.returncode == 0, replaced.stderr
        last = daemon.get("/api/v1/events/recent?channel=live2&limit=1")[0]["id"]
        wait_until(lambda: lines[-1]["id"] > last, what="news of the successor", timeout_s=60)
    finally:
        ended(child)
        reader.join(10)
    numbers = [line["id"] for line in lines]
    assert numbers == sorted(set(numbers))


def test_a_watched_status_follows_what_happens(daemon: RunningDaemon) -> None:
    child = following(daemon, "status", "live2", "--watch", "--json")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(json.loads(line)[0]["state"] for line in child.stdout or ()), name="reader")
    reader.start()
    try:
        wait_until(lambda: "on_air" in seen, what="the first line", timeout_s=60)
        daemon.post("/api/v1/channels/live2/stop")
        wait_until(lambda: seen[-1] == "stopped", what="the stop on the wall", timeout_s=60)
        daemon.post("/api/v1/channels/live2/start")
        wait_until(lambda: seen[-1] == "on_air", what="the start on the wall", timeout_s=60)
    finally:
        ended(child)
        reader.join(10)


def in_terminal(daemon: RunningDaemon, columns: int, *words: str) -> list[str]:
    """Lines that it shows in a terminal of that width."""
    leader, follower = pty.openpty()
    where = environment(daemon, COLUMNS=str(columns), LINES="24", TERM="dumb", NO_COLOR="1")
    child = subprocess.Popen([sys.executable, "-m", "channeld", *words], cwd=daemon.folder, env=where, stdout=follower, stderr=follower)
    os.close(follower)
    written = b""
    try:
        while piece := os.read(leader, 65536):
            written += piece
    except OSError:
        pass  # Linux: EIO once the last of the other end is closed (pty(7))
    finally:
        os.close(leader)
    assert child.wait(60) == 0, written
    return written.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(daemon: RunningDaemon, playlist: Path, columns: int) -> None:
    playlist.write_text(LIST + "#EXTINF:-1," + "A very long title of an evening " * 6 + "\nfilms/none.mp4\n")
    wait_until(lambda: "none.mp4" in str(daemon.channel("live1")["skipped"]), what="the list to be taken", timeout_s=60)
    for words in (("status",), ("playlist", "show", "live1")):
        lines = in_terminal(daemon, columns, *words)
        assert max(map(len, lines)) <= columns and not any("\x1b" in line for line in lines), lines
        assert words == ("status",) or any("…" in line for line in lines), lines


def test_a_reader_that_goes_away_is_no_error(daemon: RunningDaemon) -> None:
    """As `| head` does; neither before the first line nor behind it is anything said."""
    line = f"{shlex.quote(sys.executable)} -m channeld status --json | head -n 1; {shlex.quote(sys.executable)} -m channeld as-run | true"
    done = subprocess.run(
        ["sh", "-c", line], cwd=daemon.folder, env=environment(daemon), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_tab_offers_the_channels_that_the_daemon_has(daemon: RunningDaemon) -> None:
    asked = {"_CHANNELD_COMPLETE": "complete_bash", "COMP_WORDS": "channeld skip liv", "COMP_CWORD": "2"}
    argv = [sys.executable, "-c", "from channeld.cli import main; main()"]
    done = subprocess.run(argv, env=environment(daemon, **asked), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["live1", "live2"], done.stderr
    unreachable = environment(daemon, **asked, CHANNELD_CONFIG="/none.yaml")
    done = subprocess.run(argv, env=unreachable, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")
