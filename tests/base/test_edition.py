"""The edition of a host or worker covers all the code that it runs: else an upgrade of the rest would pass unnoticed."""

import subprocess
import sys

import pytest

from channeld.base.edition import edition
from channeld.daemon import MEDIA_PARTS
from channeld.playout.host import PARTS as HOST_PARTS

LISTS = "import sys, {module}\nprint(*(name.split('.')[1] for name in sys.modules if name.startswith('channeld.')))"


@pytest.mark.parametrize(("module", "parts"), [("channeld.playout.host", HOST_PARTS), ("channeld.api.media_worker", MEDIA_PARTS)])
def test_every_part_that_a_process_loads_counts(module: str, parts: tuple[str, ...]) -> None:
    loaded = subprocess.run([sys.executable, "-c", LISTS.format(module=module)], capture_output=True, text=True, check=True, timeout=60)
    assert set(loaded.stdout.split()) == set(parts)


def test_other_parts_have_another_edition() -> None:
    assert edition(HOST_PARTS) == edition(reversed(HOST_PARTS))
    assert edition(HOST_PARTS) != edition(MEDIA_PARTS)
