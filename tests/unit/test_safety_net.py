"""That `make compare` sees a difference, and lets pass what is meant."""

from __future__ import annotations

import json

import pytest

from tests.safety_net.comparison import differences, equal, load, read

TABLE = "tables/room.csv"
MEANT = """
- rename_files: {tables/room.csv: tables/fit.csv}
  reason: a
- rename_columns: {"room_*": "headroom_*"}
  files: [tables/room.csv]
  reason: b
- new: [tables_version]
  files: [result.json]
  reason: c
"""


@pytest.fixture
def leave(tmp_path):
    """Return a function that leaves a table and a record in a folder, and reads them."""

    def left(name, *, table=TABLE, text="name,room_cpu\na,1.5\n", **record):
        directory = tmp_path / name
        (directory / "tables").mkdir(parents=True)
        (directory / table).write_text(text, encoding="utf-8")
        record = {"started_utc": name, "artifacts": [table, "x"], "summary": {"full": 2}, **record}
        (directory / "result.json").write_text(json.dumps(record), encoding="utf-8")
        return read(directory)

    return left


def test_the_same_results_do_not_differ(leave):
    now = leave("now", text="name,room_cpu\na,1.50000000000001\n", artifacts=["x", TABLE])
    assert differences("40", leave("before"), now, []) == []


@pytest.mark.parametrize(
    "planted",
    [
        {"text": "name,room_cpu\na,1.50001\n"},
        {"text": "name,room_cpu\na,\n"},
        {"text": "name,room_cpu\na,1.5\nb,1\n"},
        {"text": "room_cpu,name\n1.5,a\n"},
        {"text": "name,headroom_cpu\na,1.5\n"},
        {"table": "tables/fit.csv"},
        {"summary": {"full": True}},
        {"summary": {"full": 3}},
        {"headline": "new"},
    ],
)
def test_each_planted_difference_is_found(leave, planted):
    assert differences("40", leave("before"), leave("now", **planted), [])


def test_what_is_meant_passes_and_what_is_not_still_counts(leave):
    rules, before = load(MEANT), leave("before")
    now = {"table": "tables/fit.csv", "tables_version": 2}
    assert (
        differences("40", before, leave("now", text="name,headroom_cpu\na,1.5\n", **now), rules)
        == []
    )
    assert all(rule.used for rule in rules)
    wrong = leave("wrong", text="name,headroom_cpu\na,1.6\n", **now)
    (found,) = differences("40", before, wrong, rules)
    assert "1 headroom_cpu: '1.5' is now '1.6'" in found


def test_numbers_are_equal_to_a_part_in_a_billion_and_truth_is_no_number():
    assert equal("1", "1.0")
    assert equal(1, 1.0)
    assert not equal(1, True)
    assert not equal("", "0")
    assert not equal(None, 0)
