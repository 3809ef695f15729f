"""The demo: a folder with a configuration, a playlist and real clips, an nginx of its own, and the daemon on it.

Rule: everything stands below one folder and on free ports; nothing of the system's is started, read or changed. What
the user edited (the playlist) is kept; the configuration is written anew at each start, as ports may differ.
"""

import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from channeld.base.errors import ChannelError
from channeld.playlist.parse import is_media_name
from channeld.process.child import Child, ChildSpec
from channeld.process.holder import Holder

REPOSITORY = Path(__file__).resolve().parent.parent
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
READY_TIMEOUT_S = 180.0

CONFIGURATION = """\
# Written by `channeld demo` at each start. Copy it to begin a configuration of your own.
state_dir: {folder}/state
runtime_dir: {folder}/run
hls_dir: {folder}/hls
admin: {{listen: "127.0.0.1:{admin}"}}
media: {{listen: "127.0.0.1:{media}"}}
log: {{level: warning}}
channels:
  demo:
    name: Demo
    playlist: playlists/demo.m3u
    outputs:
      - hls: {{segment_seconds: 4, window: 6}}
      - ts: {{}}
{rtmp}"""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on loopback."""

    admin: int
    media: int
    rtmp: int
    http: int
    control: int


def free_port(preferred: int) -> int:
    """The preferred port if nobody listens there, else one that the kernel chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ChannelError("no free port on 127.0.0.1")


def choose_ports() -> Ports:
    """The usual ports, and others where those are taken."""
    return Ports(*(free_port(port) for port in (8080, 8090, 1935, 8088, 8089)))


def lay_out(folder: Path, media: Path | None, ports: Ports, *, with_nginx: bool) -> Path:
    """Make or renew the demo folder; gives the configuration's path. Raises ChannelError where clips are missing."""
    playlists = folder / "playlists"
    playlists.mkdir(parents=True, exist_ok=True)
    playlist = playlists / "demo.m3u"
    if media is not None:
        _list_folder(media, playlists, playlist)
    elif not playlist.exists():
        _copy_clips(playlists, playlist)
    rtmp = f"      - rtmp: rtmp://127.0.0.1:{ports.rtmp}/live/demo\n" if with_nginx else ""
    path = folder / "channeld.yaml"
    path.write_text(CONFIGURATION.format(folder=folder, admin=ports.admin, media=ports.media, rtmp=rtmp), encoding="utf-8")
    return path


def _copy_clips(playlists: Path, playlist: Path) -> None:
    source = REPOSITORY / "playlists"
    if not (source / "demo.m3u").is_file():
        raise ChannelError("the demo's clips are not here (they come with the source repository). Name a folder of videos: --media FOLDER")
    shutil.copytree(source / "media", playlists / "media", dirs_exist_ok=True)
    shutil.copy(source / "demo.m3u", playlist)


def _list_folder(media: Path, playlists: Path, playlist: Path) -> None:
    link = playlists / "media"
    names = sorted(path.name for path in media.iterdir() if path.is_file() and is_media_name(path.name))
    if not names:
        raise ChannelError(f"{media}: no videos there. Name a folder with media files")
    if link.is_symlink() or link.exists():
        raise ChannelError(f"{link} is there already. Take another --dir, or edit {playlist}")
    link.mkdir()
    for name in names:
        shutil.copy(media / name, link / name)
    playlist.write_text("#EXTM3U\n" + "".join(f"media/{name}\n" for name in names), encoding="utf-8")


def can_run_nginx() -> bool:
    """nginx, its RTMP module and our configuration for them are there."""
    return shutil.which("nginx") is not None and NGINX_MODULE.exists() and (REPOSITORY / "nginx" / "render.py").is_file()


def start_nginx(holder: Holder, prefix: Path, ports: Ports) -> Child:
    """An nginx of the demo's own. Raises ChannelError when it does not come up."""
    program = shutil.which("nginx") or "nginx"
    render = (sys.executable, str(REPOSITORY / "nginx" / "render.py"), str(prefix))
    numbers = ("--rtmp-port", str(ports.rtmp), "--http-port", str(ports.http), "--control-port", str(ports.control))
    rendered = holder.spawn(ChildSpec("nginx-render", (*render, *numbers)))
    if rendered.wait(20.0):
        raise ChannelError(f"nginx configuration: {rendered.stderr_tail}")
    child = holder.spawn(
        ChildSpec("nginx", (program, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", str(prefix / "error.log")))
    )
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ChannelError(f"nginx ended at once: {child.stderr_tail or (prefix / 'error.log')}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports.rtmp)) == 0:
                return child
        time.sleep(0.1)
    raise ChannelError(f"nginx does not listen on port {ports.rtmp}; see {prefix / 'error.log'}")


class Announcer(threading.Thread):
    """Waits until the channel is on air, then says where to watch and what to edit. Ends by itself."""

    def __init__(self, folder: Path, ports: Ports, *, with_nginx: bool, say: Callable[[str], None]) -> None:
        super().__init__(name="demo:announcer", daemon=True)
        self._folder = folder
        self._ports = ports
        self._with_nginx = with_nginx
        self._say = say

    def run(self) -> None:
        if not self._wait_until_shown():
            self._say("The channel is not on air yet; the log above tells why.")
            return
        ports, playlist = self._ports, self._folder / "playlists" / "demo.m3u"
        hls = f"http://127.0.0.1:{ports.media}/hls/demo/index.m3u8"
        lines = ["", "On air. Watch with any HLS player:", f"  {hls}   (channeld's own origin)"]
        if self._with_nginx:
            lines.append(f"  http://127.0.0.1:{ports.http}/hls/demo/index.m3u8   (pushed by RTMP to nginx)")
        lines += [
            f"  http://127.0.0.1:{ports.media}/ts/demo   (endless stream: mpv, VLC)",
            f"Edit {playlist} and save: the change airs after the playing clip.",
            f"See and operate it in a browser:  http://127.0.0.1:{ports.admin}/   (token: {self._folder / 'state' / 'admin.token'})",
            f"See what airs:  {Path(sys.executable).with_name('channeld')} status --config {self._folder / 'channeld.yaml'}",
            "Ctrl-C ends everything.",
            "",
        ]
        self._say("\n".join(lines))

    def _wait_until_shown(self) -> bool:
        deadline = time.monotonic() + READY_TIMEOUT_S
        targets = [f"http://127.0.0.1:{self._ports.media}/hls/demo/index.m3u8"]
        if self._with_nginx:
            targets.append(f"http://127.0.0.1:{self._ports.http}/hls/demo/index.m3u8")
        while targets and time.monotonic() < deadline:
            try:
                answer = httpx.get(targets[0], timeout=2.0)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200 and "#EXTINF" in answer.text:
                targets.pop(0)
            else:
                time.sleep(0.3)
        return not targets
