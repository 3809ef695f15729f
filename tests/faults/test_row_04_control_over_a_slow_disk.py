"""Row 4, control killed: another one that cannot look at the media yet leaves the host the plan that it has."""

from pathlib import Path

import pytest
from clips import numbered_clip
from injection import ill_disk
from judge.hls_recorder import HlsRecorder
from nginx_origin import wait_until
from seen import CLIP_FRAMES, CLIPS, first_number, look
from solo import solo, write_list

STALLED_AIRINGS = 2


@pytest.mark.long
def test_no_clip_loses_its_turn_while_a_new_control_waits_for_the_disk(tmp_path: Path) -> None:
    media, seen = tmp_path / "media", tmp_path / "seen"
    media.mkdir()
    clips = [numbered_clip(media / f"loop{n}.mp4", frames=CLIP_FRAMES, base=first_number(n), size=(320, 180)) for n in range(CLIPS)]
    with ill_disk(media, tmp_path / "ill") as disk:
        playlist = write_list(tmp_path / "one.txt", [disk.folder / clip.name for clip in clips])
        daemon = solo(tmp_path / "daemon", playlist, None, disk.folder)
        daemon.start()
        try:
            daemon.wait_for("one", lambda channel: channel["prepared"]["dry_at"] is None and channel["state"] == "on_air", what="all clips")
            with HlsRecorder(daemon.hls_url("one"), seen, poll_s=0.2, recheck=False) as viewer:
                assert viewer.wait_for_segments(10, 30)  # the filler's are over
                since = max(viewer.fetched)
                with disk.ill("hang", from_byte=0):
                    daemon.kill()
                    daemon.start()
                    begun = len(daemon.airings("one"))
                    wait_until(lambda: len(daemon.airings("one")) >= begun + STALLED_AIRINGS, what="clips to begin", timeout_s=40)
                assert viewer.wait_for_segments(len(viewer.fetched) + 3, 30)
            found = look(viewer, since, seen)
            assert found.complaints() == []
        finally:
            assert daemon.stop() == []
