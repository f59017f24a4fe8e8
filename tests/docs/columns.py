"""`python -m tests.docs.columns > docs/tables.md`: the page about the columns of the tables."""

from __future__ import annotations

import sys

from mnslib.show.tables import column, told

_PAGE_TOP = """# Columns of the tables

Every column of `tables/*.csv` and of the workbook, made from `mnslib/show/tables.yaml`
(`python -m tests.docs.columns > docs/tables.md`; a test compares them). Amounts are cores or
bytes, ratios are 0 to 1 and more, times are UTC. An empty cell is unknown, never 0. How each
figure is worked out is in [capacity.md](capacity.md).
"""


def columns_page() -> str:
    """Return `docs/tables.md`: every column with its unit and meaning."""
    lines = [f"| `{name}` | {column(name).unit} | {column(name).meaning} |"
             for name in sorted(told("columns"))]  # fmt: skip
    day = column("2026-11-02")
    lines.append(f"| a day, such as `2026-11-02` | {day.unit} | {day.meaning} |")
    head = ["| column | unit | what it holds |", "|---|---|---|"]
    return "\n".join([_PAGE_TOP, *head, *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(columns_page())
