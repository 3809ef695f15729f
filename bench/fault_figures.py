"""The measured column of docs/reliability.md, from the figures of one run of tests/faults.

Rule: only the column `measured` is written; rows without figures keep what they have. Run by people:

    CHANNELD_FAULT_FIGURES=figures.jsonl python -m pytest tests/faults --long
    python bench/fault_figures.py figures.jsonl docs/reliability.md
"""

import json
import sys
from pathlib import Path

MEASURED_COLUMN = 4
WORST = "neighbours_late_p99_ms"

Figures = dict[str, float | int | str]


def read_figures(path: Path) -> dict[int, Figures]:
    """The newest figure of each name, by row; of what neighbours saw, the worst."""
    found: dict[int, Figures] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        known = found.setdefault(row["number"], {})
        worst = max(float(known.get(WORST, 0.0)), float(row["measured"].get(WORST, 0.0)))
        known.update(row["measured"])
        if WORST in known:
            known[WORST] = worst
    return found


def written(figures: Figures) -> str:
    """Figures for people: `gap 0.9 s · lost 0`."""
    return " · ".join(_written(name, value) for name, value in figures.items())


def _written(name: str, value: float | int | str) -> str:
    words = name.split("_")
    unit = {"s": " s", "ms": " ms", "mb": " MB"}.get(words[-1], "")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{' '.join(words[:-1] if unit else words)} {text}{unit}"


def fill(table: str, figures: dict[int, Figures]) -> str:
    """The document with the measured column of its rows replaced."""
    lines = []
    for line in table.splitlines():
        cells = line.split("|")
        number = cells[1].strip() if len(cells) > MEASURED_COLUMN + 1 else ""
        if number.isdigit() and int(number) in figures:
            cells[MEASURED_COLUMN] = f" {written(figures[int(number)])} "
        lines.append("|".join(cells))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Entry point."""
    figures, document = Path(sys.argv[1]), Path(sys.argv[2])
    document.write_text(fill(document.read_text(encoding="utf-8"), read_figures(figures)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
