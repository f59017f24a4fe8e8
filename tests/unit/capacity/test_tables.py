"""All tables of one reading, made on first use and once, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.tables import Tables
from mnslib.errors import ConfigError
from mnslib.show.show import VIEWS, show


@pytest.fixture
def tables(make_snapshot: Callable[..., Snapshot], make_quota: Callable[..., Any]) -> Tables:
    quotas = {"aks-1": [make_quota("web", hard={"requests.cpu": "4"}, used={"requests.cpu": "4"})]}
    return Tables(make_snapshot(quotas), new_cpu="4", new_memory="16Gi")


def test_every_table_is_made_once(tables: Tables) -> None:
    assert not tables.made()
    first = tables.all()
    assert {"evidence", "utilization", "layers", "fit", "steps", "requests"} <= set(first)
    assert all(tables.all()[name] is frame for name, frame in first.items())


def test_samples_may_come_in_any_order(
    make_snapshot: Callable[..., Snapshot], make_quota: Callable[..., Any]
) -> None:
    """As clusters give them, which is not that of the namespaces; without requests, too."""
    rng, hard = np.random.default_rng(5), {"requests.cpu": 4, "limits.memory": 8}
    spaces = [("aks-1", f"ns-{number}") for number in range(9)]
    series = [(*space, key) for space in spaces for key in hard]
    kinds = {"used": series, "hard": series, "usage_cpu": spaces, "usage_memory": spaces}
    frames = {
        kind: {name: rng.uniform(1, 5, 60).tolist() for name in names}
        for kind, names in kinds.items()
    }
    quotas = {"aks-1": [make_quota(name, hard, {"requests.cpu": 3}) for _, name in spaces]}
    shuffled = {kind: dict(reversed(found.items())) for kind, found in frames.items()}
    ours, theirs = (Tables(make_snapshot(quotas, **found)).all() for found in (frames, shuffled))
    assert ours["crossings"]["crossed_utc"].notna().any()
    for name, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[name])
    requested = make_snapshot(quotas).requested
    without = replace(make_snapshot(quotas, **frames), requested=requested)
    pd.testing.assert_frame_equal(Tables(without).daily, ours["daily"])


def test_a_view_shows_itself_as_page_and_as_text(tables: Tables) -> None:
    view = show(tables, "utilization")
    assert view._repr_html_().count("<img alt=") == 1
    assert repr(view)


def test_another_name_is_refused_with_the_candidates(tables: Tables) -> None:
    with pytest.raises(ConfigError, match="did you mean utilization") as refused:
        show(tables, "utilisation")
    assert all(name in str(refused.value) for name in VIEWS)


@pytest.mark.parametrize("name", sorted({*VIEWS} - {"files"}))
def test_where_nothing_was_found_every_part_says_so_in_words(name, make_snapshot) -> None:
    parts = [part for part, _ in show(Tables(make_snapshot({})), name).outputs()]
    assert parts
    assert all(part.is_empty and "\n" not in repr(part) for part in parts)


def test_what_could_not_be_read_is_said_with_its_reason(make_snapshot, make_quota) -> None:
    quotas = {"aks-1": [make_quota("web", hard={"requests.cpu": "4"}, used={"requests.cpu": "1"})]}
    note = "No history: the workspace refused."
    shown = show(Tables(make_snapshot(quotas, history_note=note)), "efficiency")
    said = {fold: repr(part) for part, fold in shown.outputs() if getattr(part, "is_empty", False)}
    by_day = said["Day by day, all namespaces together"]
    assert by_day == f"On no day all three layers are known. {note}"
