from __future__ import annotations

import pytest

from mnslib.capacity.layers import absent_labels, roll_up
from mnslib.show.layers import advice_rows, layers_rows, roll_up_rows

NAN = float("nan")
DEAD = "all zero: dead sensor"


@pytest.fixture
def layers(frames):
    return frames.layers_of(
        {
            "web-api": (10, 6, 4, ""),
            "web-burst": (10, 4, 6, ""),
            "web-low": (12, 15, 9, ""),
            "web-dead": (8, 6, NAN, DEAD),
            "bare": (NAN, 3, 1, "no quota"),
            "still": (40, 0, 0, ""),
        }
    )


def cells(table, name):
    (row,) = [row for row in table.rows if getattr(row[0], "first", row[0]) == name]
    return [str(cell) for cell in row]


def test_the_layers_read_in_units_most_idle_first(layers):
    table = layers_rows(layers)

    assert [row[0].first for row in table.rows][:2] == ["still", "web-api"]
    assert cells(table, "web-api")[2:9] == [
        "10 cores", "6 cores", "4 cores", "4 cores", "2 cores", "6 cores", "60 %",
    ]  # fmt: skip


def test_what_is_out_of_order_or_unknown_is_said(layers):
    table = layers_rows(layers)

    assert "uses 2 cores more than it requests" in cells(table, "web-burst")[-1]
    assert "requested 3 cores above hard" in cells(table, "web-low")[-1]
    assert f"unknown: {DEAD}" in cells(table, "web-dead")[-1]
    assert cells(table, "web-dead")[4] == "unknown"
    assert cells(table, "bare")[2:5] == ["–", "3 cores", "1 core"]
    assert "no quota" in cells(table, "bare")[-1]


def test_reasons_have_a_column_only_where_there_is_one(layers):
    assert layers_rows(layers).columns[-1] == "Reason"
    assert "Reason" not in layers_rows(layers, limit=2).columns  # still and web-api: as they are


def test_memory_has_a_table_that_says_so(layers):
    table = layers_rows(layers, resource="memory")

    assert table.caption == "Memory by layer, most idle first"
    assert cells(table, "web-api")[2:4] == ["40 GiB", "24 GiB"]


def test_sums_say_how_many_are_left_out(layers):
    table = roll_up_rows(roll_up(layers, "owner"))

    (cpu,) = [row for row in table.rows if row[:2] == ["web", "CPU"]]
    amounts = ["25 cores", "19 cores", "13 cores", "41 %"]
    assert cpu[2:] == ["4", "40 cores", "3", *amounts, "–"]
    (bare,) = [row for row in table.rows if row[:2] == ["bare", "CPU"]]
    assert bare[2:] == ["0", "–", "0", "–", "–", "–", "–", "1 without quota"]


def test_a_label_that_no_namespace_has_is_named_below_the_sums(layers):
    layers["labels"] = "cost-center=7,team="
    absent = absent_labels(layers, ["cost-centre", "team", "cost-center", "center"])

    assert absent == ["cost-centre", "center"]
    said = "No namespace has a label cost-centre or center: see group_by."
    assert roll_up_rows(roll_up(layers, "owner"), absent=absent).note.endswith(said)
    assert roll_up_rows(roll_up(layers, "owner")).note.endswith("there is none.")


def test_a_group_without_a_name_is_called_so(layers):
    layers["owner"] = ""

    assert roll_up_rows(roll_up(layers, "owner")).rows[0][0] == "no owner"


def test_each_advice_comes_with_its_reason_what_needs_somebody_first(layers):
    table = advice_rows(layers)

    assert next(row[0].first for row in table.rows) == "web-low"
    assert cells(table, "web-low")[2:] == [
        "↑ grow", "CPU: 125 % claimed, 60 % of the requests used", "12 cores",
    ]  # fmt: skip
    assert cells(table, "still")[2:4] == ["↓ shrink", "CPU: 0 % claimed, nothing requested"]
    assert cells(table, "web-dead")[2:4] == ["no advice", DEAD]
    assert cells(table, "bare")[3:] == ["no quota", "–"]
