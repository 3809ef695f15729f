"""Row 35: the configuration is read again, with channels added, removed, changed, and invalid ones."""

import copy
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nginx_origin import wait_until
from running import RunningDaemon
from stage import Stage

QUIET = ("calm", "side", "air")


@pytest.fixture
def configuration(stage: Stage) -> Iterator[dict[str, Any]]:
    """The daemon's configuration, to be changed; as it was afterwards."""
    before = copy.deepcopy(stage.daemon.config)
    yield stage.daemon.config
    stage.daemon.config = before
    stage.daemon.write_config()
    assert stage.daemon.post("/api/v1/reload").status_code == 202
    wait_until(lambda: "extra" not in ids(stage), what="the added channel to leave")
    stage.daemon.wait_for("hit", lambda found: found["state"] == "on_air", what="the changed channel to be back")


def ids(stage: Stage) -> list[str]:
    return [channel["id"] for channel in stage.daemon.get("/api/v1/channels")]


def pids(stage: Stage) -> dict[str, int]:
    """Of everything that viewers hang on: FFmpegs, hosts, media workers."""
    found = {f"push:{channel}": stage.push_pid(channel) for channel in ("calm", "air")}
    for process in stage.daemon.family():
        name = " ".join(process.cmdline())
        if "channeld.playout.host" in name or "channeld.api.media_worker" in name:
            found[f"{process.pid}"] = process.pid
    return found


def reload(stage: Stage) -> Any:
    stage.daemon.write_config()
    answer = stage.daemon.post("/api/v1/reload")
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_reload_touches_only_what_changed(stage: Stage, configuration: dict[str, Any]) -> None:
    """Added, changed and removed channels come, change and go; FFmpegs, hosts and pictures of the others are the same."""
    channels = configuration["channels"]
    before = pids(stage)
    with stage.row(35, neighbours=QUIET) as row:
        channels["extra"] = {"playlist": str(stage.playlist("side")), "outputs": [{"hls": {"segment_seconds": 1}}]}
        channels["hit"]["name"] = "Another name"
        channels["hit"]["outputs"].append({"ts": {}})
        told = reload(stage)
        assert (told["added"], told["removed"], told["restarted"]) == (["extra"], [], [])
        assert told["changed"] == {"hit": ["name", "outputs.ts"]}
        stage.daemon.wait_for("extra", lambda found: found["state"] == "on_air", what="the new channel on air")
        found = stage.daemon.wait_for("hit", lambda found: found["outputs"][-1]["state"] == "up", what="the new output")
        assert found["name"] == "Another name" and found["state"] == "on_air"
        wait_until(lambda: has_manifest(stage, "extra"), what="the new channel's manifest")

        configuration["profiles"]["other"] = configuration["profiles"]["small"] | {"height": 240}
        channels["extra"]["profile"] = "other"
        del channels["hit"]["outputs"][-1]
        told = reload(stage)
        assert told["changed"] == {"extra": ["profile"], "hit": ["outputs.ts"]} and told["restarted"] == ["extra"]
        stage.daemon.wait_for(
            "extra", lambda found: found["profile"] == "other" and found["state"] in ("on_air", "filler"), what="it in another format"
        )

        del channels["extra"]
        assert reload(stage)["removed"] == ["extra"]
        wait_until(lambda: "extra" not in ids(stage), what="the channel to leave")
        wait_until(lambda: not (stage.daemon.folder / "hls" / "extra").exists(), what="its HLS folder to go after its window")
        row.measured["pids_changed"] = len(set(before.values()) ^ set(pids(stage).values()))
        looked = stage.look("hit", row.since["hit"])
    assert row.measured["pids_changed"] == 0
    assert (looked.discontinuities, looked.strange, looked.faults) == (0, 0, ())  # its clips are shorter than what the loop counts by


def test_an_invalid_configuration_is_refused_whole_and_told_with_every_line(stage: Stage, configuration: dict[str, Any]) -> None:
    """SIGHUP and API alike: nothing changes, the status says why, and a good file clears it."""
    before = pids(stage)
    with stage.row(35, neighbours=QUIET):
        configuration["channels"]["extra"] = {"playlist": "not-there.m3u", "outputs": [{"hls": {}}]}
        stage.daemon.write_config()
        answer = stage.daemon.post("/api/v1/reload")
        assert answer.status_code == 422
        assert [fault["file"].endswith("not-there.m3u") for fault in answer.json()["errors"]] == [True]

        configuration["log"]["level"] = "loud"
        configuration["hots"] = 3
        stage.daemon.write_config()
        assert stage.daemon.process is not None
        stage.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "loud" in str(stage.daemon.get("/api/v1/status")["config_error"]), what="the refusal in the status")
        answer = stage.daemon.post("/api/v1/reload")
        assert answer.status_code == 422
        errors = answer.json()["errors"]
        assert all(error["line"] for error in errors) and {error["key"] for error in errors} >= {"hots", "log.level"}
        assert "channeld_config_ok 0.0" in stage.metrics()
        assert "extra" not in ids(stage)

        del configuration["channels"]["extra"], configuration["hots"]
        configuration["log"]["level"] = "info"
        configuration["admin"]["listen"] = "127.0.0.1:1"
        told = reload(stage)
        assert told == {"added": [], "removed": [], "changed": {}, "restarted": [], "daemon": [], "needs_restart": ["admin.listen"]}
        status = stage.daemon.get("/api/v1/status")
        assert status["config_error"] is None and status["needs_restart"] == ["admin.listen"]
    assert pids(stage) == before


def has_manifest(stage: Stage, channel: str) -> bool:
    return (stage.daemon.folder / "hls" / channel / "index.m3u8").exists()


def test_the_file_is_taken_when_it_changes_and_when_people_say_so(solo_daemon: Callable[..., RunningDaemon]) -> None:
    """`reload_on_change`, and the verb with its exit codes; logs and jobs change at once."""
    daemon = solo_daemon()
    daemon.config["reload_on_change"] = True
    daemon.start()
    daemon.config["channels"]["one"]["name"] = "Seen by itself"
    daemon.write_config()
    daemon.wait_for("one", lambda found: found["name"] == "Seen by itself", what="the change to be taken")

    daemon.config["reload_on_change"] = False
    daemon.config["prepare"] = {"jobs": 2}
    daemon.config["log"] = {"level": "debug", "format": "json", "file": str(daemon.folder / "own.log")}
    daemon.write_config()
    verb = [*daemon.command, "reload", "--config", str(daemon.config_path)]
    wait_until(lambda: (daemon.folder / "own.log").exists(), what="the new log file")
    done = subprocess.run([*verb, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["needs_restart"] == []
    done = subprocess.run(verb, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout == "nothing changed\n"
    assert "config_reloaded" in (daemon.folder / "own.log").read_text()

    daemon.config["channels"]["one"]["playlist"] = "not-there.m3u"
    daemon.write_config()
    done = subprocess.run(verb, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "not-there.m3u" in done.stderr and "Traceback" not in done.stderr
    assert daemon.get("/api/v1/status")["config_error"]["file"].endswith("not-there.m3u")
    assert daemon.channel("one")["state"] == "on_air"
