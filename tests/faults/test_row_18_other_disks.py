"""Row 18: a disk that does not answer holds up its own clips, and none that stand on other disks."""

import threading
from pathlib import Path

from clips import numbered_clip
from injection import ill_disk
from station import SMALL

from channeld.media.cache import ClipCache
from channeld.media.clip_state import ClipState, Stage
from channeld.media.library import ClipLibrary
from channeld.media.prepare import PrepareRequest

DEADLINE_S = 60.0


def test_clips_of_a_well_disk_are_ready_while_a_sick_one_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    path = numbered_clip(tmp_path / "media" / "a.mkv", frames=25, size=(320, 180))
    ready, heard = set[str](), threading.Condition()

    def hear(entry: str, state: ClipState) -> None:
        with heard:
            ready.update({entry} if state.stage is Stage.READY else ())
            heard.notify_all()

    with ill_disk(tmp_path / "media", tmp_path / "ill") as disk:
        library = ClipLibrary(ClipCache(tmp_path / "cache", 1 << 30), hear, jobs=1)
        try:
            with disk.ill("stall", from_byte=0):
                for number in range(5):
                    library.request(f"sick{number}", PrepareRequest(disk.folder / path.name, SMALL), needed_in_s=0.0)
                library.request("well", PrepareRequest(path, SMALL), needed_in_s=60.0)
                library.start()
                with heard:
                    assert heard.wait_for(lambda: "well" in ready, DEADLINE_S)
                    assert ready == {"well"}
            with heard:
                assert heard.wait_for(lambda: len(ready) == 6, DEADLINE_S), "and the others when it answers again"
        finally:
            library.close()
