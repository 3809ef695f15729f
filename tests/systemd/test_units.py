"""The delivered units, judged by systemd's own tools; nothing is installed or started."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = ("channeld.service", "channeld-hold.service", "channeld-nginx.service")
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine")


class Unit(configparser.RawConfigParser):
    """A unit file: keys keep their case, and of a repeated key the last is seen."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def service_section(repository: Path, name: str) -> dict[str, str]:
    """Keys and values of [Service]."""
    unit = Unit(strict=False, delimiters=("=",))
    unit.read(repository / "systemd" / name)
    return dict(unit["Service"])


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_exposure_is_at_most_one_and_a_half(repository: Path, name: str) -> None:
    """`--threshold` is in tenths; the command fails above it."""
    command = [str(ANALYZE), "security", "--offline=yes", "--no-pager", "--threshold=15", str(repository / "systemd" / name)]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr
    assert "Overall exposure level" in judged.stdout


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_in_the_unit(repository: Path, tmp_path: Path, name: str) -> None:
    """The programs of an installed system are replaced by one that every machine has; all else is verified as it is."""
    text = (repository / "systemd" / name).read_text()
    for program in ("/usr/bin/channeld", "/usr/sbin/nginx"):
        text = text.replace(f"={program} ", "=/bin/true ")
    unit = tmp_path / name
    unit.write_text(text)
    judged = subprocess.run([str(ANALYZE), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    about_it = [line for line in judged.stderr.splitlines() if name in line]
    assert about_it == []


@needs_systemd
def test_what_children_need_is_in_the_allowed_groups_of_system_calls(repository: Path) -> None:
    """prlimit, nice and CPU affinity are in @resources: it must be in @system-service and never denied."""
    listed = subprocess.run([str(ANALYZE), "syscall-filter", "@system-service"], capture_output=True, text=True, timeout=60, check=True)
    assert "@resources" in listed.stdout.split()
    text = (repository / "systemd" / "channeld.service").read_text()
    denied = [line for line in text.splitlines() if line.startswith("SystemCallFilter=~")]
    assert denied
    assert not any("@resources" in line for line in denied)


def test_the_daemon_tells_that_it_is_ready_and_alive_and_is_always_brought_back(repository: Path) -> None:
    service = service_section(repository, "channeld.service")
    wanted = {"Type": "notify", "NotifyAccess": "main", "Restart": "always", "KillMode": "mixed", "OOMPolicy": "continue"}
    assert {key: service.get(key) for key in wanted} == wanted
    assert int(service["WatchdogSec"]) == 5
    assert int(service["TimeoutAbortSec"]) <= 2


def test_the_holder_comes_and_goes_with_the_daemon_and_shares_its_folders(repository: Path) -> None:
    """No section [Install]: wanted by nothing else, it is stopped when the daemon was; the folder of FIFOs outlives either."""
    units = {}
    for name in ("channeld.service", "channeld-hold.service"):
        units[name] = Unit(strict=False, delimiters=("=",))
        units[name].read(repository / "systemd" / name)
    daemon, holder = units.values()
    for key in ("Wants", "After"):
        assert "channeld-hold.service" in daemon["Unit"][key].split()
    assert holder["Unit"]["StopWhenUnneeded"] == "yes"
    assert "Install" not in holder
    assert "PropagatesStopTo" not in daemon["Unit"]
    for key in ("User", "Group", "RuntimeDirectory", "RuntimeDirectoryPreserve", "StateDirectory", "CacheDirectory", "LimitNICE"):
        assert daemon["Service"][key] == holder["Service"][key]


DROP_INS = {
    ("channeld.service", "media"): 15,
    ("channeld.service", "push"): 15,
    ("channeld.service", "gpu"): 17,
    ("channeld-hold.service", "push"): 15,
}
"""The exposure that each leaves, in tenths."""


@needs_systemd
@pytest.mark.parametrize(("service", "name"), DROP_INS)
def test_a_drop_in_is_taken_without_fault_and_costs_little(repository: Path, tmp_path: Path, service: str, name: str) -> None:
    """Each is put where it belongs, beside a copy of the unit."""
    unit = tmp_path / service
    unit.write_text((repository / "systemd" / service).read_text().replace("=/usr/bin/channeld ", "=/bin/true "))
    folder = tmp_path / f"{service}.d"
    folder.mkdir()
    (folder / f"{name}.conf").write_text((repository / "systemd" / "drop-ins" / f"{name}.conf").read_text())
    judged = subprocess.run([str(ANALYZE), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in judged.stderr.splitlines() if service in line] == []
    command = [str(ANALYZE), "security", "--offline=yes", "--no-pager", f"--threshold={DROP_INS[service, name]}", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert judged.returncode == 0, judged.stdout[-2000:]


@needs_systemd
def test_what_a_drop_in_opens_is_what_it_says(repository: Path, tmp_path: Path) -> None:
    """So that the test above is known to look at the drop-ins at all."""
    text = (repository / "systemd" / "drop-ins" / "gpu.conf").read_text()
    assert {"DeviceAllow=char-drm rw", "PrivateDevices=no", "MemoryDenyWriteExecute=no"} <= set(text.splitlines())
    unit = tmp_path / "channeld.service"
    unit.write_text((repository / "systemd" / unit.name).read_text())
    (tmp_path / "channeld.service.d").mkdir()
    (tmp_path / "channeld.service.d" / "gpu.conf").write_text(text)
    command = [str(ANALYZE), "security", "--offline=yes", "--no-pager", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "char-drm:rw" in judged.stdout


def test_secrets_in_arguments_are_hidden_from_other_users_of_the_machine(repository: Path) -> None:
    for name in UNITS:
        assert service_section(repository, name)["ProtectProc"] == "invisible"


def test_the_folders_are_those_of_the_default_configuration(repository: Path) -> None:
    """/var/lib/channeld, /run/channeld and /var/cache/channeld/hls, made by systemd for the service's user."""
    service = service_section(repository, "channeld.service")
    assert service["StateDirectory"] == "channeld"
    assert service["RuntimeDirectory"] == "channeld"
    assert "channeld/hls" in service["CacheDirectory"].split()
    assert service["User"] == "channeld"


def test_no_secret_stands_in_a_unit(repository: Path) -> None:
    for name in UNITS:
        text = (repository / "systemd" / name).read_text()
        assert "SetCredential=" not in text
        assert not [line for line in text.splitlines() if line.startswith("LoadCredential=")]
