"""Row 17: writes to the state folder, prepared clips and database among it, stall."""

import sqlite3
import threading
from contextlib import closing

import pytest
from clips import numbered_clip
from injection import frozen
from nginx_origin import wait_until
from stage import Stage

pytestmark = pytest.mark.long


@pytest.mark.parametrize("stalled_s", [30.0])
def test_a_stall_of_writes_touches_no_air_and_tears_no_file(stage: Stage, stalled_s: float) -> None:
    state = stage.daemon.folder / "state"
    if not stage.has_own_disk:
        pytest.skip("needs root and a loop device")
    path = numbered_clip(stage.media / f"stall{stalled_s:g}.mp4", frames=50, base=600_000 + int(stalled_s), size=(320, 180))
    with stage.row(17, neighbours=("calm", "side", "air")):
        fillers = stage.daemon.aired("hit").count(None)
        with frozen(state):
            stage.write_list("hit", [*stage.shorts, path])
            threading.Event().wait(stalled_s)  # the fault's own length
            assert stage.daemon.channel("hit")["state"] == "on_air"
        wait_until(lambda: str(path) in stage.daemon.aired("hit"), what="the clip that waited for its disk", timeout_s=60)
        assert stage.daemon.aired("hit").count(None) == fillers
        with closing(sqlite3.connect(f"file:{state / 'channeld.db'}?mode=ro", uri=True)) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert list((state / "cache").glob("*/*.part")) == []
