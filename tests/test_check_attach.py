"""`check` tells what would keep local readers out, of the user who runs it and of the service's."""

import grp
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from channeld.check import check
from channeld.check_attach import LONGEST_ADDRESS, attach_problems
from channeld.check_unit import Unit
from channeld.config import parse_config
from channeld.config_values import Config

NOBODY = pwd.getpwnam("nobody")
OWN = grp.getgrgid(NOBODY.pw_gid).gr_name
OTHER = next(entry.gr_name for entry in grp.getgrall() if entry.gr_gid not in os.getgrouplist("nobody", NOBODY.pw_gid))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path."""
    made = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


def config(folder: Path, attach: str, runtime: str = "run") -> Config:
    text = f"runtime_dir: {runtime}\nattach: {attach}\nchannels: {{one: {{outputs: []}}, the-longest: {{outputs: []}}}}\n"
    return parse_config(text.encode(), folder / "channeld.yaml")


@pytest.mark.parametrize(
    ("attach", "unit", "told"),
    [
        ("{}", Unit(), None),
        ("{group: no-such-group}", Unit(), "groupadd --system no-such-group"),
        ("{enabled: false, group: no-such-group}", Unit(), None),
        (f"{{group: {OWN}}}", Unit(), None),
        (f"{{group: {OTHER}}}", Unit(), f"usermod -aG {OTHER} nobody"),
        (f"{{group: {OTHER}}}", Unit(keys={"SupplementaryGroups": (OTHER,)}), None),
        (f"{{group: {OTHER}}}", Unit(keys={"SupplementaryGroups": (OTHER,), "PrivateUsers": ("yes",)}), "PrivateUsers="),
        (f"{{group: {OWN}}}", Unit(keys={"PrivateUsers": ("yes",)}), None),
    ],
    ids=["none", "unknown", "off", "own", "no member", "by the unit", "hidden by the unit", "own in the unit"],
)
def test_the_group_must_be_there_and_the_services_user_in_it(folder: Path, attach: str, unit: Unit, told: str | None) -> None:
    found = list(attach_problems(config(folder, attach), NOBODY, unit))
    assert [key for key, _ in found] == ([] if told is None else ["attach.group"])
    assert told is None or told in found[0][1]


def test_a_path_that_fits_no_sockets_address_is_told_with_its_length(folder: Path) -> None:
    fits = "r" * (LONGEST_ADDRESS - len(f"{folder}//bus/the-longest.sock"))
    assert list(attach_problems(config(folder, "{}", fits))) == []
    ((key, told),) = attach_problems(config(folder, "{}", fits + "r"))
    assert (key, f"has {LONGEST_ADDRESS + 1} bytes" in told) == ("runtime_dir", True)
    assert list(attach_problems(config(folder, "{enabled: false}", fits + "r"))) == []


def test_check_tells_it_as_a_warning_at_its_line(folder: Path) -> None:
    (folder / "channeld.yaml").write_text(
        "state_dir: state\nhls_dir: hls\nruntime_dir: run\nattach:\n  group: no-such-group\nchannels: {one: {outputs: [{ts: {}}]}}\n"
    )
    report = check(folder / "channeld.yaml")
    (found,) = [each for each in report.warnings if each.key == "attach.group"]
    assert (found.line, "no-such-group" in found.message) == (5, True)
    assert not [each for each in report.errors if each.key == "attach.group"]
