"""Row 33: what a killed run leaves behind."""

import socket
from collections.abc import Callable
from pathlib import Path

from nginx_origin import wait_until
from running import RunningDaemon, free_ports, still_there

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
    return ours, theirs


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
