"""What a request may say of container defaults, a quota of objects, and AKS desktop."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.errors import SpecError
from mnslib.requests.cells import pairs_text, read_pairs
from mnslib.requests.spec import specs_from_rows

from .test_spec import ID, make_spec, mistakes


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", ""),
        ("auto", "auto"),
        (" - ", "-"),
        ("100m/200m 128Mi/256Mi", "100m/200m 128Mi/256Mi"),
        ("0.1/0.2  131072Ki/0.25Gi", "100m/200m 128Mi/256Mi"),
        ("1/1000m 1Gi/1024Mi", "1/1 1Gi/1Gi"),
    ],
)
def test_a_limit_range_is_said_in_one_form(cell: str, said: str) -> None:
    assert make_spec(limit_range=cell).limit_range == said


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("100m 128Mi", "'100m 128Mi' is no pair of CPU and pair of memory"),
        ("automatic", "'automatic' is no pair of CPU and pair of memory"),
        ("200m/100m 128Mi/64Mi", "in '200m/100m 128Mi/64Mi' a limit is below its request"),
        ("100m/200m 128M/256M", "'128M' is not an amount of memory in a binary unit"),
        ("100m/1.500m 128Mi/256Mi", "'1.500m' may mean"),
    ],
)
def test_another_form_of_it_is_refused_in_its_cell(cell: str, told: str) -> None:
    column, message = mistakes(limit_range=cell)[0]
    assert (column, message[: len(told)]) == ("limit_range", told)


@pytest.mark.parametrize(
    "cell",
    [
        "pods=20;services.loadbalancers=1;requests.storage=1Ti;secrets-",
        {"pods": 20, "services.loadbalancers": "01", "requests.storage": "1024Gi", "secrets": None},
        '{"pods": 20, "services.loadbalancers": 1, "requests.storage": "1Ti", "secrets": null}',
    ],
)
def test_a_quota_of_objects_is_a_mapping(cell: Any) -> None:
    found = make_spec(companion_quota=cell).companion_quota
    said = {"pods": "20", "services.loadbalancers": "1", "requests.storage": "1Ti", "secrets": None}
    assert found == said
    assert read_pairs("companion_quota", pairs_text(found)) == said


@pytest.mark.parametrize(
    "key",
    [
        "count/deployments.apps",
        "count/pods",
        "requests.nvidia.com/gpu",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims",
    ],
)
def test_any_key_of_a_resource_quota_may_be_bounded(key: str) -> None:
    assert make_spec(companion_quota={key: 3}).companion_quota == {key: "3"}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("requests.cpu", "2", "requests.cpu is what the quota itself holds"),
        ("cpu", "2", "cpu is what the quota itself holds"),
        ("pod", "2", "'pod' is no key of a ResourceQuota that is known here"),
        ("pods", "2.5", "pods is '2.5', which is no whole number from 0 on"),
        ("pods", "-1", "pods is '-1', which is no whole number from 0 on"),
        ("requests.storage", "10G", "'10G' is not an amount of memory in a binary unit"),
    ],
)
def test_what_such_a_quota_cannot_hold_is_refused(key: str, value: str, told: str) -> None:
    ((column, message),) = mistakes(companion_quota={key: value})
    assert (column, message[: len(told)]) == ("companion_quota", told)


def test_a_tier_may_say_both_and_the_row_wins(tmp_path: Any) -> None:
    from mnslib.requests.spec import read_tiers

    file = tmp_path / "tiers.yaml"
    file.write_text("small:\n  limit_range: auto\n  companion_quota: {pods: 20, services: 2}\n")
    row = {**ID, "tier": "small", "companion_quota": {"pods": "5"}}
    (spec,) = specs_from_rows([row], file="parameters", tiers=read_tiers(file))
    assert (spec.limit_range, spec.companion_quota) == ("", {"pods": "5"})
    assert spec.in_full.limit_range == "auto"
    assert spec.in_full.companion_quota == {"pods": "5", "services": "2"}


def test_a_project_of_aks_desktop_has_its_four_labels() -> None:
    spec = make_spec(project="aks-desktop", labels={"stage": "prod"})
    assert spec.labels == {
        "stage": "prod",
        "headlamp.dev/project-id": "web",
        "headlamp.dev/project-managed-by": "aks-desktop",
        "aks-desktop/project-subscription": ID["subscription_id"],
        "aks-desktop/project-resource-group": "rg-platform",
    }
    assert make_spec(project="").labels == {}


def test_a_group_whose_name_is_no_label_can_be_no_project() -> None:
    row = {**ID, "resource_group": "rg(platform)", "project": "aks-desktop"}
    with pytest.raises(SpecError, match=r"'rg\(platform\)', cannot be a label's value") as caught:
        specs_from_rows([row], file="parameters")
    assert [problem.column for problem in caught.value.problems] == ["project"]
