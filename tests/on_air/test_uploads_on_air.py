"""A film sent to a daemon on air, which is killed and started again in the midst, by a client of another make; then it airs."""

import io
from pathlib import Path

import pytest
from clips import ClipShelf, numbered_clip
from nginx_origin import wait_until
from running import RunningDaemon

tusclient = pytest.importorskip("tusclient.client", reason="missing here: tuspy")


@pytest.mark.long  # half a minute on a busy machine; tests of the API go over a restart as well
def test_a_film_is_sent_over_a_killed_control_then_listed_and_airs(tmp_path: Path) -> None:
    shelf = ClipShelf(tmp_path / "media")
    shelf.get("a.mp4", numbered_clip, frames=50, base=0, size=(320, 180))
    film = ClipShelf(tmp_path / "elsewhere").get("new.mp4", numbered_clip, frames=100, base=2000, size=(320, 180)).read_bytes()
    playlist = shelf.folder / "list.txt"
    playlist.write_text("a.mp4\n")
    daemon = RunningDaemon(tmp_path / "daemon", {"one": {"playlist": str(playlist), "outputs": [{"hls": {}}]}})
    daemon.start()
    try:
        daemon.wait_for("one", lambda shown: shown["state"] == "on_air", what="on air", timeout_s=60)
        token = (daemon.folder / "state" / "admin.token").read_text().strip()
        client = tusclient.TusClient(f"{daemon.admin_url}/api/v1/channels/one/uploads", headers={"Authorization": f"Bearer {token}"})
        first = client.uploader(file_stream=io.BytesIO(film), chunk_size=len(film) // 3, metadata={"filename": "new.mp4"})
        first.upload_chunk()
        daemon.kill()
        daemon.start()
        again = client.uploader(file_stream=io.BytesIO(film), chunk_size=len(film) // 3, url=first.url)
        assert again.offset == len(film) // 3
        again.upload()
        assert (shelf.folder / "new.mp4").read_bytes() == film
        with daemon.client() as asking:
            files = asking.get("/api/v1/library?channel=one").raise_for_status().json()
            assert [file["path"] for file in files] == ["a.mp4", "new.mp4"]
            picture = asking.get("/api/v1/channels/one/thumbnail.jpg?width=160")
            assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
            body = {"path": "new.mp4"}
            asking.post("/api/v1/channels/one/playlist/entries", json=body, headers={"If-Match": "*"}).raise_for_status()
        wait_until(lambda: "new.mp4" in daemon.aired("one"), what="the new film to air", timeout_s=60)
    finally:
        assert daemon.stop() == []
