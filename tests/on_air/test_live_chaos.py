"""Never a dead picture: whatever becomes of a source, over any protocol, at any moment, its viewers have one stream without a fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ordeal import Ordeal, shuffled
from ordeal_clients import CLIENTS
from peers.fixtures import has_gstreamer
from peers.namespace import has_namespaces
from peers.upstreams import FAULTS, KINDS, make_upstream
from running import RunningDaemon, free_ports

StartDaemon = Callable[..., RunningDaemon]
SEED = 7
IN_NAMESPACES = {name for name, kind in KINDS.items() if not name.endswith(("nginx", "-udp"))}


def channel_of(name: str, url: str) -> dict[str, Any]:
    source = {"name": name, "url": url, "timeout_seconds": 4, **KINDS[name].source}
    return {"sources": [source], "failover": dict(KINDS[name].graces), "outputs": [{"ts": {}}, {"hls": {"segment_seconds": 1}}]}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", list(KINDS))
def test_a_source_that_suffers_everything_at_any_moment(
    name: str, daemon_of: StartDaemon, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if name in IN_NAMESPACES and not has_namespaces():
        pytest.skip("no network namespaces: they want root, iproute2 and a kernel that has them")
    if name.startswith("rtsp") and not has_gstreamer():
        pytest.skip("missing on this machine: gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins")
    upstream = make_upstream(name, tmp_path / "upstream", free_ports, seed=SEED)
    try:
        upstream.start()
        daemon = daemon_of({name: channel_of(name, upstream.url)})
        daemon.start()
        ordeal = Ordeal(daemon, upstream, tmp_path, SEED)
        ordeal.until_on_air(f"{name} on air")
        ordeal.watch()
        client = CLIENTS["hls"](daemon, name, tmp_path)
        ordeal.suffer(shuffled([fault for fault in FAULTS if fault in upstream.faults], 1, SEED))
        airings = daemon.airings(name)
        found = client.faults()
        ordeal.finish()
    finally:
        upstream.stop()
    record_property("figures", [str(each) for each in ordeal.figures(airings)])
    assert found + ordeal.faults() + ordeal.pictures(airings) == []
