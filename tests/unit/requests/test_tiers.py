"""Tiers fill what a row leaves empty on a new namespace; the row's own values win."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnslib.errors import SpecError
from mnslib.models import NamespaceSpec, NetworkRule
from mnslib.quantities import parse_quantity
from mnslib.requests.spec import Tiers, parse_requests, read_tiers, specs_from_rows

SAMPLE = Path(__file__).parents[3] / "parameters" / "tiers.sample.yaml"
GROUP = "00000000-0000-4000-9000-000000000001"
ID = {
    "subscription_id": "00000000-0000-4000-8000-00000000a001",
    "resource_group": "rg",
    "cluster_name": "aks-1",
    "namespace_name": "web",
}
TIERS = """\
small:
  cpu_request: 500m
  cpu_limit: 1
  memory_request: 1Gi
  memory_limit: 2Gi
  ingress_policy: DenyAll
  labels: {size: small, stage: test}
  access: [group:00000000-0000-4000-9000-000000000001=reader]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_text(text: str) -> Path:
        path = tmp_path / "tiers.yaml"
        path.write_text(text, "utf-8")
        return path

    return write_text


@pytest.fixture
def tiers(write: Callable[[str], Path]) -> Tiers:
    return read_tiers(write(TIERS))


def make_spec(tiers: Tiers | None, **cells: Any) -> NamespaceSpec:
    (spec,) = specs_from_rows([{**ID, **cells}], file="parameters", tiers=tiers)
    return spec


def mistakes(tiers: Tiers | None, **cells: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        make_spec(tiers, **cells)
    return [str(problem) for problem in caught.value.problems]


def test_a_tier_speaks_for_new_namespaces_only(tiers: Tiers) -> None:
    spec = make_spec(tiers, tier="small", cpu_limit="2")
    assert spec.quota == {"cpu_limit": 2}
    assert spec.labels == {}
    new = spec.in_full
    assert new.quota == {
        "cpu_request": parse_quantity("500m"),
        "cpu_limit": 2,
        "memory_request": 2**30,
        "memory_limit": 2**31,
    }
    assert new.ingress_policy is NetworkRule.DENY_ALL


def test_what_the_row_says_wins_cell_by_cell_and_key_by_key(tiers: Tiers) -> None:
    row = {"labels": "stage=prod", "ingress_policy": "AllowAll", "memory_limit": "3Gi"}
    new = make_spec(tiers, tier="small", access=f"group:{GROUP}=writer", **row).in_full
    assert new.labels == {"size": "small", "stage": "prod"}
    assert new.ingress_policy is NetworkRule.ALLOW_ALL
    assert new.quota["memory_limit"] == 3 * 2**30
    assert [grant.role.split()[-1] for grant in new.access] == ["Writer", "Reader"]


def test_a_role_that_the_row_takes_away_is_not_granted_by_its_tier(tiers: Tiers) -> None:
    new = make_spec(tiers, tier="small", access=f"group:{GROUP}=reader-").in_full
    assert new.access == ()
    assert [grant.role.split()[-1] for grant in new.revoked] == ["Reader"]


def test_without_a_tier_nothing_is_added(tiers: Tiers) -> None:
    assert make_spec(tiers).in_full == make_spec(None)
    assert make_spec(tiers, tier="small", ensure="absent").when_new is None


def test_an_unknown_tier_is_named_with_the_nearest(tiers: Tiers) -> None:
    assert mistakes(tiers, tier="small1") == [
        "parameter tier: there is no tier 'small1'. Write small."
    ]
    assert "tiers_file is empty" in mistakes(None, tier="small")[0]


def test_row_and_tier_together_make_sense_or_are_refused(tiers: Tiers) -> None:
    assert mistakes(tiers, tier="small", cpu_request="3") == [
        "parameter tier: with the tier's values cpu_limit 1000m is below cpu_request 3000m. "
        "Write a cpu_limit of 3000m or more."
    ]


def test_every_mistake_of_a_tiers_file_is_told_at_once(write: Callable[[str], Path]) -> None:
    path = write(
        "big:\n  cpu_request: 2x\n  namespace_name: a\nodd: 7\n"
        "low:\n  memory_request: 2Gi\n  memory_limit: 1Gi\n"
        "key:\n  annotations: {a: '-----BEGIN PRIVATE KEY-----'}\n"
    )
    with pytest.raises(SpecError) as caught:
        read_tiers(path)
    places = [(p.file, p.row, p.column) for p in caught.value.problems]
    assert places == [
        ("tiers.yaml", 1, "big.cpu_request"),
        ("tiers.yaml", 1, "big.namespace_name"),
        ("tiers.yaml", 4, "odd"),
        ("tiers.yaml", 5, "low.memory_limit"),
        ("tiers.yaml", 8, "key.annotations"),
    ]


def test_an_amount_that_may_mean_two_is_no_size_of_a_tier(write: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError, match=r"small\.cpu_limit: '1\.125' may mean 1\.125 or 1125: .* "):
        read_tiers(write(TIERS.replace("cpu_limit: 1", "cpu_limit: 1.125")))
    tiers = read_tiers(write(TIERS.replace("cpu_limit: 1", "cpu_limit: 0.750")))
    assert str(tiers["small"].cpu_limit) == "0.750"


def test_the_sample_is_sound_and_a_file_may_use_it(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(",".join([*ID, "tier"]) + "\n" + ",".join([*ID.values(), "medium"]) + "\n")
    (spec,) = parse_requests(path, tiers=read_tiers(SAMPLE))
    assert spec.in_full.quota["cpu_limit"] == 4
