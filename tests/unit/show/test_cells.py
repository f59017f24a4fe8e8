"""Tables as text: large ones quickly, and no figure or name other than it was."""

import csv
import io
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from mnslib.requests.sheets import neutral
from tests.tables import csv_text

HOSTILE = [
    "plain", "", None, "a,b", 'she said "no"', "two\nlines", "=1+1", "+1", "-1", "@cmd", "\t=1",
    "'=1", "；ünïcode 名前", "nan", "NULL", " lead", "trail ", '"', "'", "a;b", "﻿=1", "0017",
]  # fmt: skip
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 4.0, 1e-4, 9.99e-5, 1e-5, -2.5e-7, 5e-324, 1e10, 1e15, 1e16,
    17179869184.0, 12345678901.125, 9007199254740993.0, 1e22, 1.7976931348623157e308, np.inf,
    -np.inf, np.nan,
]  # fmt: skip


def by_pandas(table):
    safe = table.map(neutral) if len(table) else table
    return safe.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(HOSTILE, dtype=object),
        pd.Series(HOSTILE, dtype="str"),
        pd.Series(HOSTILE).astype("category"),
        pd.Series(NUMBERS),
        pd.Series([1, -5, 2**62]),
        pd.Series([True, False]),
        pd.Series([True, None, "yes"], dtype=object),
        pd.Series([date(2026, 11, 1), None], dtype=object),
        pd.to_datetime(pd.Series(["2026-11-01T06:00:00Z", None, "1999-01-01T23:59:59Z"])),
        pd.Series([], dtype=object),
    ],
    ids=lambda column: f"{column.dtype}-{len(column)}",
)  # fmt: skip
def test_a_csv_has_the_very_bytes_that_pandas_writes(column):
    table = pd.DataFrame({"n": np.arange(len(column)), "name, of it": column, "=x": "z"})
    assert csv_text(table) == by_pandas(table)


def test_the_figures_of_a_long_table_read_back_as_they_were():
    rng = np.random.default_rng(5)
    figures = rng.random(50_001) * 10.0 ** rng.integers(-300, 300, 50_001)
    table = pd.DataFrame({"name": [f"n{n}" for n in range(50_001)], "figure": figures})
    rows = list(csv.reader(io.StringIO(csv_text(table))))
    assert rows[0] == ["name", "figure"]
    assert [float(row[1]) for row in rows[1:]] == figures.tolist()
    assert [row[0] for row in rows[1:]] == table["name"].tolist()


def test_several_days_stand_in_one_cell_and_a_moment_in_utc():
    days = (date(2026, 11, 1), date(2026, 11, 2))
    at = pd.Timestamp(datetime(2026, 11, 1, 7, tzinfo=UTC))
    table = pd.DataFrame({"days": [days, ()], "at": [at, pd.NaT]})
    assert csv_text(table) == ("days,at\n2026-11-01 2026-11-02,2026-11-01T07:00:00Z\n,\n")


def test_a_carriage_return_is_quoted_so_that_no_reader_ends_the_row_there():
    table = pd.DataFrame({"n": [1], "message": ["first\rsecond"]})
    assert csv_text(table) == 'n,message\n1,"first\rsecond"\n'
