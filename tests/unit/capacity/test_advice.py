"""The rules of docs/capacity.md on what to do about a quota, by their examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.advice import advised, regions, with_advice

NAN = float("nan")
ADVICE = ["advice", "advice_resource", "advice_reason"]


def layers_of(*rows):
    """Rows of (namespace, resource, claim, usage[, reason[, hard]])."""
    frame = pd.DataFrame(
        [[*row, *["", 10.0][len(row) - 4 :]] for row in rows],
        columns=["namespace_name", "resource", "tightest_ratio", "usage_ratio", "reason", "hard"],
    ).assign(cluster_name="aks-1")
    return frame.assign(region=regions(frame))


@pytest.mark.parametrize(
    ("claim", "usage", "region"),
    [
        (0.49, 0.9, "shrink"),
        (0.49, 0.1, "shrink"),
        (0.0, NAN, "shrink"),
        (0.5, 0.4, "healthy"),
        (0.89, 1.3, "healthy"),
        (0.5, 0.39, "fix requests"),
        (1.0, 0.39, "fix requests"),
        (0.9, 0.4, "grow"),
        (1.25, 0.8, "grow"),
        (np.inf, NAN, "grow"),
    ],
)
def test_two_ratios_decide(claim, usage, region):
    assert layers_of(("web", "cpu", claim, usage))["region"].tolist() == [region]


@pytest.mark.parametrize(
    ("cpu", "memory", "advice", "decided"),
    [
        ((1.0, 0.2), (0.95, 0.8), "grow", "memory"),
        ((0.9, 0.8), (1.0, 0.8), "grow", "memory"),
        ((0.4, 0.8), (0.2, 0.8), "shrink", "memory"),
        ((1.0, 0.2), (0.7, 0.8), "fix requests", "cpu"),
        ((0.3, 0.9), (0.7, 0.3), "fix requests", "memory"),
        ((0.3, 0.9), (0.7, 0.8), "shrink", "cpu"),
        ((1.0, 0.2), (0.7, 0.2), "fix requests", "cpu"),
        ((0.6, 0.9), (0.7, 0.8), "healthy", "memory"),
    ],
)
def test_a_namespace_gets_one_advice_from_the_resource_that_decides(cpu, memory, advice, decided):
    found = advised(layers_of(("web", "cpu", *cpu), ("web", "memory", *memory)))

    assert found[ADVICE].to_numpy().tolist() == [[advice, decided, ""]]


def test_what_is_unknown_withholds_shrink_and_healthy_but_not_what_cannot_change():
    found = advised(
        layers_of(
            ("calm", "cpu", 0.3, 0.9),
            ("calm", "memory", 0.9, NAN, "all zero: dead sensor"),
            ("full", "cpu", 1.0, 0.9),
            ("full", "memory", 0.9, NAN, "all zero: dead sensor"),
            ("half", "cpu", 0.3, 0.9),
            ("half", "memory", NAN, NAN, "no quota"),
        )
    )

    assert found["advice"].tolist() == ["", "grow", "shrink"]
    assert found["advice_reason"].tolist() == ["all zero: dead sensor", "", ""]


def test_a_quota_of_zero_that_nobody_claims_gets_no_advice():
    found = advised(layers_of(("frozen", "cpu", -1.0, NAN, "", 0.0)))

    assert found.loc[0, ADVICE].tolist() == ["", "", "quota of 0"]


def test_every_row_of_the_utilization_table_carries_the_advice_of_its_namespace():
    fields = ["cpu_request", "cpu_limit", "memory_request", "memory_limit"]
    table = pd.DataFrame(
        [["aks-1", name, field, "", "", "", "o"] for name in ("web", "api") for field in fields],
        columns=[
            "cluster_name",
            "namespace_name",
            "resource",
            "advice",
            "advice_resource",
            "advice_reason",
            "owner",
        ],
    )
    layers = layers_of(("api", "cpu", 0.3, 0.9), ("web", "cpu", 0.95, NAN, "no samples of use"))

    found = with_advice(table, advised(layers))

    assert found["advice"].tolist() == [""] * 4 + ["shrink"] * 4
    assert set(found["advice_reason"][:4]) == {"no samples of use"}
    assert found.columns.tolist() == [
        "cluster_name", "namespace_name", "resource", "advice", "advice_resource", "advice_reason",
        "owner",
    ]  # fmt: skip
    assert with_advice(found, advised(layers)).equals(found)
