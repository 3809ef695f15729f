"""`check --as-service`: what another user cannot use, tried as that user, and what a unit's sandbox hides."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.check import CheckReport, Readiness
from channeld.check_access import NeedsRoot, Wish, find_user, require_root, try_as
from channeld.check_service import check_as_service
from channeld.check_unit import Unit, read_unit
from channeld.config_values import ChannelSpec, Config
from channeld.playlist.model import Playlist

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look with another user's eyes")
USER = "nobody"


def unmeasured(_config: Config, _channel: ChannelSpec, _playlist: Playlist) -> Readiness:
    """Nothing of these tests asks how much is prepared."""
    return Readiness(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="channeld-service-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def installation(open_folder: Path) -> Path:
    """A configuration whose three folders belong to the user, with one list and one clip."""
    for name in ("state", "run", "hls"):
        (open_folder / name).mkdir()
        os.chown(open_folder / name, pwd.getpwnam(USER).pw_uid, -1)
    (open_folder / "lists").mkdir(mode=0o777)
    (open_folder / "lists").chmod(0o777)
    (open_folder / "lists" / "clip.mp4").write_bytes(b"x")
    (open_folder / "lists" / "a.m3u").write_text("clip.mp4\n")
    (open_folder / "channeld.yaml").write_text(
        "state_dir: state\nruntime_dir: run\nhls_dir: hls\nchannels:\n  a: {playlist: lists/a.m3u}\n"
    )
    return open_folder


def findings(report: CheckReport, word: str = f"as {USER}") -> list[str]:
    return [str(each) for each in (*report.errors, *report.warnings) if word in each.message]


def look(folder: Path, unit: Unit | None = None) -> CheckReport:
    return check_as_service(folder / "channeld.yaml", USER, unmeasured, unit or Unit())


@needs_root
def test_what_the_user_can_use_is_no_finding(installation: Path) -> None:
    assert findings(look(installation)) == []


@needs_root
def test_a_clip_that_only_root_reads_is_a_warning_at_its_list(installation: Path) -> None:
    (installation / "lists" / "clip.mp4").chmod(0o600)
    report = look(installation)
    (told,) = findings(report)
    assert report.machine_errors == []
    assert f"{installation}/channeld.yaml:5:" in told and "channels.a.playlist" in told
    assert f"setfacl -m u:{USER}:r '{installation}/lists/clip.mp4'" in told


@needs_root
def test_clips_behind_one_closed_folder_are_one_warning_that_names_the_folder(installation: Path) -> None:
    closed = installation / "lists" / "closed" / "deeper"
    closed.mkdir(parents=True)
    for number in range(9):
        (closed / f"{number}.mp4").write_bytes(b"x")
    (installation / "lists" / "a.m3u").write_text("".join(f"closed/deeper/{number}.mp4\n" for number in range(9)))
    closed.parent.chmod(0o700)
    (told,) = findings(look(installation))
    assert "and 6 more" in told and f"setfacl -m u:{USER}:x '{closed.parent}'" in told and "drwx------ root:root" in told


@needs_root
def test_folders_keys_and_certificates_are_errors(installation: Path) -> None:
    (installation / "state").chmod(0o700)
    os.chown(installation / "state", 0, 0)
    for name in ("stream.key", "tls.pem"):
        (installation / name).write_text("s3cr3t")
        (installation / name).chmod(0o600)
    config = installation / "channeld.yaml"
    config.write_text(
        "state_dir: state\nruntime_dir: run\nhls_dir: hls\nmedia: {tls: {cert: tls.pem, key: tls.pem}}\n"
        "webhooks: [{url: 'https://example.org/', secret_file: stream.key}]\n"
        "channels: {a: {playlist: lists/a.m3u, outputs: [rtmp: {url: 'rtmp://127.0.0.1:1/a', key_file: stream.key}]}}\n"
    )
    report = look(installation)
    keys = {finding.key for finding in report.machine_errors}
    assert {"state_dir", "media.tls", "channels.a.outputs[0].rtmp.key_file", "webhooks[0].secret_file"} <= keys
    assert "s3cr3t" not in json.dumps(report.to_json())


@needs_root
def test_a_list_that_cannot_be_edited_over_http_is_a_warning(installation: Path) -> None:
    (installation / "lists").chmod(0o755)
    report = look(installation)
    (told,) = findings(report)
    assert "edits over HTTP" in told and report.machine_errors == []


@needs_root
def test_the_child_leaves_us_who_we_are(installation: Path) -> None:
    before = (os.getresuid(), os.getgroups())
    assert try_as(find_user(USER), [Wish(installation, "write"), Wish(Path("/nowhere/at/all"), "read")])[0] is not None
    assert (os.getresuid(), os.getgroups()) == before
    assert sorted(path.name for path in installation.iterdir()) == ["channeld.yaml", "hls", "lists", "run", "state"]


def unit_with(folder: Path, text: str, **drop_ins: str) -> Unit:
    """A unit in a folder of its own, as systemd would find it."""
    (folder / "channeld.service").write_text(text)
    (folder / "channeld.service.d").mkdir()
    for name, content in drop_ins.items():
        (folder / "channeld.service.d" / f"{name}.conf").write_text(content)
    return read_unit([folder / "none", folder])


def test_a_unit_is_read_with_its_drop_ins_in_order_and_an_empty_value_takes_back(tmp_path: Path) -> None:
    text = "[Unit]\nUser=no\n[Service]\n# User=no\nUser=tv\nReadWritePaths=/a -/b \\\n /c\n"
    unit = unit_with(tmp_path, text, b="[Service]\nReadWritePaths=\nReadWritePaths=/z\n", a="[Service]\nUser=first\n")
    assert unit.path == tmp_path / "channeld.service"
    assert (unit.user, unit.paths("ReadWritePaths")) == ("first", [Path("/z")])
    assert read_unit([tmp_path / "none"]) == Unit() and Unit().user == "channeld"


def test_the_delivered_unit_hides_homes_and_keeps_all_else_from_being_written(repository: Path) -> None:
    unit = read_unit([repository / "systemd"])
    assert unit.hides(Path("/home/tv/a.mp4")) == "ProtectHome=yes"
    assert unit.hides(Path("/tmp/a.mp4")) == "PrivateTmp=yes"
    assert unit.hides(Path("/srv/media/a.mp4")) is None
    assert unit.keeps_from_writing(Path("/srv/lists")) == "ProtectSystem=strict"
    assert [unit.keeps_from_writing(Path(path)) for path in ("/var/lib/channeld", "/run/channeld", "/var/cache/channeld/hls")] == [None] * 3


def test_the_delivered_drop_in_opens_the_folders_that_it_names(repository: Path, tmp_path: Path) -> None:
    text = (repository / "systemd" / "channeld.service").read_text()
    unit = unit_with(tmp_path, text, media=(repository / "systemd" / "drop-ins" / "media.conf").read_text())
    assert unit.hides(Path("/home/tv/media/a.mp4")) is None
    assert unit.hides(Path("/home/other/a.mp4")) == "ProtectHome=tmpfs"
    assert unit.keeps_from_writing(Path("/srv/playlists")) is None


@needs_root
def test_what_the_sandbox_hides_is_told_with_the_line_that_opens_it(installation: Path, repository: Path) -> None:
    """The installation stands below /tmp, which the unit has for itself."""
    told = findings(look(installation, read_unit([repository / "systemd"])))
    assert told and all("PrivateTmp=yes" in each for each in told)
    assert any(f"BindReadOnlyPaths={installation}/lists" in each for each in told)


@needs_root
def test_credentials_of_the_unit_are_handed_over_as_systemd_would(installation: Path, tmp_path: Path) -> None:
    (installation / "youtube.key").write_text("abcd-1234")
    (installation / "youtube.key").chmod(0o600)
    config = installation / "channeld.yaml"
    config.write_text(
        config.read_text().replace(
            "lists/a.m3u}", "lists/a.m3u, outputs: [rtmp: {url: 'rtmp://127.0.0.1:1/a', key_file: 'credential:yt'}]}"
        )
    )
    unit = unit_with(tmp_path, f"[Service]\nUser={USER}\nLoadCredential=yt:{installation}/youtube.key\n")
    report = look(installation, unit)
    assert report.errors == [] and findings(report) == []


@needs_root
def test_an_ordinary_user_is_told_the_command_for_root() -> None:
    other = pwd.getpwnam("daemon")
    with pytest.raises(NeedsRoot, match="sudo channeld check --as-service daemon"):
        os.seteuid(pwd.getpwnam(USER).pw_uid)
        try:
            require_root(other)
        finally:
            os.seteuid(0)


def test_the_command_names_who_is_missing_and_what_belongs_together(tmp_path: Path) -> None:
    (tmp_path / "channeld.yaml").write_text("channels: {a: {}}\n")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "channeld", "check", *arguments]
        return subprocess.run([*command, "--config", str(tmp_path / "channeld.yaml")], capture_output=True, text=True, timeout=60)

    missing = run("--as-service", "no-such-user")
    assert (missing.returncode, "no user 'no-such-user'" in missing.stderr) == (2, True)
    alone = run("somebody")
    assert (alone.returncode, "--as-service" in alone.stderr) == (2, True)
