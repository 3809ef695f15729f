"""Row 33: what a killed run leaves behind."""

import contextlib
import copy
import os
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
from nginx_origin import wait_until
from running import RunningDaemon, command_line, free_ports, still_there

DRAFT = ".one.txt.channeld-abcd1234"


def plant(daemon: RunningDaemon) -> tuple[list[Path], list[Path]]:
    """Leftovers as a daemon killed at the worst moments leaves them, and files of others beside them."""
    folder = daemon.folder
    ours = [
        folder / "state" / ".admin.token.0123456789abcdef",
        folder / "state" / "cache" / ".fingerprints.json.1.2.tmp",
        folder / "hls" / "one" / "segment-0000099999.ts.tmp",
        folder / DRAFT,
    ]
    theirs = [folder / ".one.txt.swp", folder / "state" / "notes.old", folder / "hls" / "one" / "mine.txt", folder / "run" / "mine.sock"]
    for path in (*ours, *theirs[:-1]):
        path.write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(theirs[-1]))
    ours.append(folder / "run" / "fifo" / "left.rtmp")
    os.mkfifo(ours[-1], 0o600)
    return ours, theirs


def held(daemon: RunningDaemon) -> list[psutil.Process]:
    """What the holder of this daemon's runtime folder has started, whoever started it."""
    socket_path = str(daemon.folder / "run" / "hold.sock")
    holders = [process for process in psutil.process_iter() if socket_path in command_line(process)]
    return [child for holder in holders for child in holder.children(recursive=True)]


def rings(daemon: RunningDaemon) -> int:
    """How many channels the playout host has on air: each is a memfd of its own."""
    (host,) = [process for process in held(daemon) if "channeld.playout.host" in command_line(process)]
    found = set()
    for path in Path(f"/proc/{host.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            if "memfd:" in str(path.readlink()):
                found.add(path.stat().st_ino)
    return len(found)


def pushes(daemon: RunningDaemon) -> int:
    return sum(str(daemon.folder / "run" / "fifo") in command_line(process) for process in held(daemon))


def test_what_left_the_configuration_while_the_daemon_was_down_is_taken_off_the_air(solo_daemon: Callable[..., RunningDaemon]) -> None:
    """A killed daemon's channels live on under the holder; of those the next one knows no more nothing may be left."""
    (closed,) = free_ports(1)
    daemon = solo_daemon({"rtmp": f"rtmp://127.0.0.1:{closed}/live/one"})
    channels = daemon.config["channels"]
    for name in ("gone", "off"):
        channels[name] = copy.deepcopy(channels["one"])
        channels[name]["outputs"][1]["rtmp"] = f"rtmp://127.0.0.1:{closed}/live/{name}"
    daemon.start()
    wait_until(lambda: rings(daemon) == 3 and pushes(daemon) == 3, what="three channels on air with their pushes")
    daemon.kill()
    del channels["gone"]
    channels["off"]["enabled"] = False
    channels["one"]["outputs"].pop()
    daemon.start()
    wait_until(lambda: rings(daemon) == 1 and pushes(daemon) == 0, what="what is not configured to end", timeout_s=15)
    assert daemon.channel("off")["state"] == "stopped" and daemon.channel("one")["state"] == "on_air"
    assert [path.name for path in (daemon.folder / "run").rglob("*") if path.is_fifo()] == []


def test_what_a_killed_daemon_left_is_cleaned_at_start_and_files_of_others_stay(solo_daemon: Callable[..., RunningDaemon]) -> None:
    """Also a part of a clip, and every process of the killed run ends with the second daemon at the latest."""
    (closed,) = free_ports(1)
    daemon = solo_daemon({"rtmp": f"rtmp://127.0.0.1:{closed}/live/one"})
    daemon.start()
    daemon.wait_for("one", lambda found: found["outputs"][0]["state"] == "up", what="the manifest")
    family = daemon.family()
    daemon.kill()
    ours, theirs = plant(daemon)
    part = next((daemon.folder / "state" / "cache").glob("*/*.idx")).with_name("0123456789abcdef0123456789abcdef.idx.part")
    part.write_bytes(b"x")
    part.with_name(part.name.replace(".idx.", ".ts.")).write_bytes(b"x")
    daemon.start()
    wait_until(lambda: not [path for path in (*ours, part) if path.exists()], what="the leftovers to go")
    assert [path for path in theirs if not path.exists()] == []
    daemon.wait_for("one", lambda found: found["outputs"][0]["state"] == "up", what="the manifest again")
    theirs[-1].unlink()
    assert daemon.stop() == []
    assert still_there(family) == []
