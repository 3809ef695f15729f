"""RTSP by GStreamer's rtsp-server, for Debian's Python: a program that is told what to serve on stdin.

Rule: a program of its own. It knows nothing of channeld, needs python3-gi and gir1.2-gst-rtsp-server-1.0, tells `port N` once it listens,
and ends with stdin. There its order comes as a line of JSON, then each new state as another; a password never stands in a list of
processes. Run by `stage.py` only, which has checked every value.
"""

import json
import secrets
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  (after the versions)

PATH = "/live"
_VIDEO = {
    "h264": "x264enc name=venc tune=zerolatency speed-preset=ultrafast threads=1 bitrate={kbps} key-int-max={gop} ! h264parse"
    " ! video/x-h264,stream-format=byte-stream,alignment=au ! {tail} ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "hevc": "x265enc name=venc tune=zerolatency speed-preset=ultrafast bitrate={kbps} key-int-max={gop}"
    " option-string=pools=none:frame-threads=1:open-gop=0 ! h265parse ! video/x-h265,stream-format=byte-stream,alignment=au"
    " ! {tail} ! rtph265pay name=pay0 pt=96 config-interval=-1",
}
_AUDIO = {
    "aac": "audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=128000 ! aacparse ! {tail} ! rtpmp4gpay name=pay1 pt=97",
    "pcm_mulaw": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! {tail} ! rtppcmupay name=pay1 pt=0",
    "mp2": "audio/x-raw,rate=48000,channels=2 ! twolamemp2enc ! mpegaudioparse ! {tail} ! rtpmpapay name=pay1 pt=14",
}


def size_caps(state: dict[str, Any]) -> str:
    """What the picture is before it is encoded."""
    return f"video/x-raw,format=I420,width={state['width']},height={state['height']},framerate={state['fps']}"


def launch_line(state: dict[str, Any]) -> str:
    """The pipeline in gst-launch's words; all values are numbers or names from tables."""
    values = {"kbps": state["kbps"], "gop": state["gop"]}
    # The clock needs pango's plugin; without it, what moves are the bars.
    clock = "timeoverlay name=clock halignment=center valignment=center ! " if Gst.ElementFactory.find("timeoverlay") else ""
    video = _VIDEO[state["vcodec"]].format(tail="breakmydata name=damage ! valve name=vgate", **values)
    line = f"videotestsrc name=bars is-live=true pattern=smpte75 ! {clock}capsfilter name=size caps={size_caps(state)} ! {video}"
    if state["acodec"] != "none":
        line += f" audiotestsrc name=tone is-live=true freq=1000 volume=0.2 ! {_AUDIO[state['acodec']].format(tail='valve name=agate')}"
    return f"( {line} )"


def auth_of(access: dict[str, Any]) -> Any:
    """One user, who may see everything."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    user, password = access["user"], access["password"]
    if access["digest"]:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    return auth


class Server:
    """One stream at one path; `state` is what it shows and does now."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.state = order["state"]
        self._access = order.get("access")
        self._medias: list[Any] = []
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address(order["host"])
        self._server.set_service(str(order["port"]))
        self._guard()
        self._offer()

    def _guard(self) -> None:
        """Whom to let in."""
        nobody = {"user": secrets.token_hex(8), "password": secrets.token_hex(8), "digest": False}
        access = {**(self._access or nobody), "password": nobody["password"]} if self.state["locked"] else self._access
        self._server.set_auth(None if access is None else auth_of(access))

    def _offer(self) -> None:
        """A factory for the present codecs, in place of the one before."""
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch_line(self.state))
        factory.set_shared(True)
        factory.connect("media-configure", self._configure)
        if self._access is not None:
            role = GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT
            permissions = Gst.Structure.new_empty("viewer")
            for name in role:
                permissions.set_value(name, True)
            factory.add_role_from_structure(permissions)
        self._server.get_mount_points().add_factory(PATH, factory)

    def _configure(self, _factory: Any, media: Any) -> None:
        self._medias.append(media)
        media.connect("unprepared", lambda gone: self._medias.remove(gone))
        self._set(media)

    def _set(self, media: Any) -> None:
        """Make a running pipeline what the state says."""
        state, element = self.state, media.get_element()
        wanted = (
            ("bars", "pattern", "black" if state["black"] else "smpte75"),
            ("bars", "horizontal-speed", 0 if state["still"] or state["black"] else 2),
            ("clock", "silent", state["still"] or state["black"]),
            ("tone", "volume", 0.0 if state["silent"] else 0.2),
            ("damage", "probability", 0.01 if state["garbage"] else 0.0),
            ("vgate", "drop", state["stop"]),
            ("agate", "drop", state["stop"]),
            ("size", "caps", Gst.Caps.from_string(size_caps(state))),
        )
        for name, key, value in wanted:
            found = element.get_by_name(name)
            if found is not None and isinstance(value, str):
                Gst.util_set_object_arg(found, key, value)
            elif found is not None:
                found.set_property(key, value)

    def take(self, state: dict[str, Any]) -> bool:
        """Become another state. Another codec is another description: everybody is sent away, and comes back for it.

        Locked, it wants another password, which nobody has.
        """
        before, self.state = self.state, state
        if before["locked"] != state["locked"]:
            self._guard()
        if (state["locked"] and not before["locked"]) or any(before[name] != state[name] for name in ("vcodec", "acodec")):
            self._offer()
            for client in self._server.client_filter(None):
                client.close()
        else:
            self._offer()  # whoever comes when the pipeline was taken down meets the present size
            for media in tuple(self._medias):
                self._set(media)
        return False

    def attach(self) -> int:
        """Listen; the port."""
        if not self._server.attach(None):
            raise SystemExit("cannot listen there: is the port in use?")
        return int(self._server.get_bound_port())


def main() -> None:
    """Serve until stdin ends."""
    Gst.init(None)
    server, loop = Server(json.loads(sys.stdin.readline())), GLib.MainLoop()
    sys.stdout.write(f"port {server.attach()}\n")
    sys.stdout.flush()

    def obey() -> None:
        for line in sys.stdin:
            GLib.idle_add(server.take, json.loads(line))
        GLib.idle_add(loop.quit)

    threading.Thread(target=obey, name="orders", daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
