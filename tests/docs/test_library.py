"""The tour of the library runs as it stands, in order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST_LINES = 10


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)


def test_every_block_of_the_tour_runs_in_order(sandbox, sandbox_file, monkeypatch, tmp_path):
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    try:
        for number, block in enumerate(blocks("docs/library.md"), 1):
            exec(compile(block, f"docs/library.md, block {number}", "exec"), names)
    finally:
        if "fleet" in names:
            names["fleet"].close()
    assert len(list((tmp_path / "runs").glob("*-library-sandbox*"))) == 4
    deleted = [one["path"] for one in sandbox.requests() if one["method"] == "DELETE"]
    assert any("payments-api" in path for path in deleted)


def test_the_readme_begins_with_the_first_lines_of_the_tour():
    (first, *_) = blocks("docs/library.md")
    assert blocks("README.md")[0].splitlines() == first.splitlines()[:FIRST_LINES]
