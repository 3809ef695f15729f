"""A daemon under strace, hostile files for it, and a listener that nobody may reach.

Rule: everything is real; what a file or a list tries to open or to reach is judged by the system calls that were made.
"""

import sys
from pathlib import Path

import pytest

# A running daemon is written for the tests on air, and shared.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "on_air"))

pytest.register_assert_rewrite("hostile", "tracing")
