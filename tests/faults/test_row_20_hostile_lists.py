"""Row 20: what stands in the list is no list: half-written, binary, of 1 GB, an alias bomb, of 10 million lines."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from injection import rss_mb
from stage import Stage

REFUSED_LIMIT_S = 10.0
"""The goal is 1 s; a busy machine may take longer, and the table has the figure."""
MEMORY_LIMIT_MB = 50.0


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def _bomb(path: Path) -> None:
    levels = [f"- &a{number} [" + ", ".join([f"*a{number - 1}"] * 9) + "]" for number in range(1, 12)]
    path.write_text("\n".join(["- &a0 [x]", *levels]) + "\n")


LISTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half-written": (lambda path: path.write_text("- short0.mp4\n- {path: short1.mp4, tit"), "unknown key"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 64), "NUL"),
    "of 1 GB": (_huge, "larger than"),
    "an alias bomb": (_bomb, "anchor"),
    "of 10 million lines": (lambda path: path.write_bytes(b"- a\n" * 10_000_000), "larger than"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_hostile_list_is_refused_at_once_for_little_memory(stage: Stage, name: str) -> None:
    daemon = stage.daemon
    with stage.row(20) as row:
        before_mb = rss_mb([daemon.pid])
        revision = daemon.channel("hit")["revision"]
        make, words = LISTS[name]
        make(stage.playlist("hit"))
        begun = time.monotonic()
        told = daemon.wait_for(
            "hit", lambda found: found["edit_error"] and words in found["edit_error"]["message"], what=f"a list {name} to be refused"
        )
        refused_s, more_mb = round(time.monotonic() - begun, 2), round(rss_mb([daemon.pid]) - before_mb, 1)
        row.measured |= {f"{name}: refused_s": refused_s, f"{name}: more_mb": more_mb}
    assert (told["state"], told["revision"]) == ("on_air", revision)
    assert refused_s <= REFUSED_LIMIT_S
    assert more_mb <= MEMORY_LIMIT_MB
