"""A file becomes validated requests, or one error that holds every mistake in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.errors import Problem, SpecError
from mnslib.models import (
    QUOTA_FIELDS,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NamespaceSpec,
    NetworkRule,
    Origin,
)
from mnslib.requests.columns import COLUMNS
from mnslib.requests.spec import parse_requests, specs_from_rows
from mnslib.resource_ids import ClusterId

SUBSCRIPTION = "00000000-0000-4000-8000-00000000a001"
GROUP = "00000000-0000-4000-9000-000000000001"
ID = {
    "subscription_id": SUBSCRIPTION,
    "resource_group": "rg-platform",
    "cluster_name": "aks-1",
    "namespace_name": "web",
}


def make_spec(**cells: Any) -> NamespaceSpec:
    (spec,) = specs_from_rows([{**ID, **cells}], file="parameters")
    return spec


def mistakes(**cells: Any) -> list[tuple[str | None, str]]:
    with pytest.raises(SpecError) as caught:
        make_spec(**cells)
    return [(problem.column, problem.message) for problem in caught.value.problems]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_lines(*lines: str) -> Path:
        path = tmp_path / "requests.csv"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write_lines


def test_a_full_row_says_all_it_says(write: Callable[..., Path]) -> None:
    path = write(
        ",".join(column for column in COLUMNS if column != "tier"),
        f"{SUBSCRIPTION},rg-platform,aks-1,web,500m,2,1Gi,2Gi,AllowAll,DenyAll,Always,Delete,"
        f"a=1;b-,note=x y,cost center=42,crm,group:{GROUP}=writer,0.1/1 128Mi/1024Mi,"
        "pods=020;requests.storage=1024Gi;services-,,absent",
    )
    (spec,) = parse_requests(path)
    assert str(spec.id).endswith("/managedClusters/aks-1/managedNamespaces/web")
    assert spec.origin == Origin(file="requests.csv", row=2)
    assert spec.quota == {
        "cpu_request": Decimal("0.5"),
        "cpu_limit": 2,
        "memory_request": 2**30,
        "memory_limit": 2**31,
    }
    assert (spec.ingress_policy, spec.egress_policy) == (
        NetworkRule.ALLOW_ALL,
        NetworkRule.DENY_ALL,
    )
    assert spec.adoption_policy is AdoptionPolicy.ALWAYS
    assert spec.delete_policy is DeletePolicy.DELETE
    assert spec.labels == {"a": "1", "b": None, "owner": "crm"}
    assert (spec.annotations, spec.tags) == ({"note": "x y"}, {"cost center": "42"})
    assert [grant.principal_id for grant in spec.access] == [GROUP]
    assert spec.limit_range == "100m/1 128Mi/1Gi"
    assert spec.companion_quota == {"pods": "20", "requests.storage": "1Ti", "services": None}
    assert spec.ensure is Ensure.ABSENT


def test_an_empty_cell_mentions_nothing() -> None:
    spec = make_spec(cpu_request="", labels="", access=[], tags={}, owner=None, ensure="")
    assert spec == make_spec()
    assert (spec.quota, spec.labels, spec.access, spec.ensure) == ({}, {}, (), Ensure.PRESENT)


@pytest.mark.parametrize("column", QUOTA_FIELDS)
@pytest.mark.parametrize("cell", ["-", " - ", None])
def test_no_quota_value_can_be_removed(column: str, cell: str | None) -> None:
    ((place, told),) = mistakes(**{column: cell})
    assert place == column
    assert "cannot be removed: the service demands all four" in told


def test_yaml_numbers_are_amounts_of_cpu() -> None:
    assert make_spec(cpu_request=0.5, cpu_limit=2).quota == {
        "cpu_request": Decimal("0.5"),
        "cpu_limit": 2,
    }
    assert mistakes(cpu_request=True) == [("cpu_request", "'True' is no text.")]


def test_a_limit_is_not_below_its_request() -> None:
    typed = {"cpu_request": "1", "cpu_limit": " 0.50", "memory_request": "2Gi"}
    assert mistakes(**typed, memory_limit="1024Mi") == [
        ("cpu_limit", "cpu_limit 500m is below cpu_request 1000m."),
        ("memory_limit", "memory_limit 1Gi is below memory_request 2Gi."),
    ]
    assert make_spec(cpu_request="2", cpu_limit="2").quota["cpu_limit"] == 2


def test_the_owner_is_a_label_and_cannot_be_two() -> None:
    assert make_spec(owner="crm").labels == {"owner": "crm"}
    assert make_spec(owner="crm", labels="owner=crm").labels == {"owner": "crm"}
    ((column, message),) = mistakes(owner="crm", labels="owner=sales")
    assert column == "owner"
    assert "says 'sales'" in message
    assert "removes it" in mistakes(owner="crm", labels="owner-")[0][1]
    assert "is not a label value" in mistakes(owner="Team CRM")[0][1]


def test_a_tier_without_a_file_of_tiers_is_refused_in_its_cell() -> None:
    assert mistakes(tier="small") == [("tier", "the tier 'small' is nowhere: tiers_file is empty.")]


def test_an_unknown_parameter_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(SpecError) as caught:
        make_spec(cpu_requests="1")
    (problem,) = caught.value.problems
    assert (problem.column, problem.suggestion, problem.row) == (
        "cpu_requests",
        "cpu_request",
        None,
    )


def test_every_mistake_of_a_file_is_told_at_once(write: Callable[..., Path]) -> None:
    row = f"{SUBSCRIPTION},rg-platform,aks-1"
    path = write(
        "subscription_id,resource_group,cluster_name,namespace_name,cpu_request,cpu_limit,"
        "memory_request,memory_limit,ingress_policy,labels,acess",
        f"{row},Team_A,500m,1,1Gi,1Gi,,,",  # no DNS label
        f"{row},kube-system,500m,1,1Gi,1Gi,,,",  # system namespace
        f"{row},c,0.0005,1,1Gi,1Gi,,,",  # no whole millicore
        f"{row},d,500m,1,1G,1Gi,,,",  # decimal memory
        f"{row},e,2,1,1Gi,1Gi,,,",  # limit below request
        f"{row},f,500m,1,1Gi,1Gi,denyall,,",  # spelling
        f"{row},g,500m,1,1Gi,1Gi,,a b=c,",  # label key
        f"{row},h,500m,1,1Gi,1Gi,,,",
        f"{row.upper()},h,500m,1,1Gi,1Gi,,,",  # the same again
        f"{row},i,500m,1",  # ragged
    )
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    assert [(p.file, p.row, p.column) for p in caught.value.problems] == [
        ("requests.csv", 1, "acess"),
        ("requests.csv", 2, "namespace_name"),
        ("requests.csv", 3, "namespace_name"),
        ("requests.csv", 4, "cpu_request"),
        ("requests.csv", 5, "memory_request"),
        ("requests.csv", 6, "cpu_limit"),
        ("requests.csv", 7, "ingress_policy"),
        ("requests.csv", 8, "labels"),
        ("requests.csv", 10, "namespace_name"),
        ("requests.csv", 11, None),
    ]
    text = str(caught.value)
    assert text.startswith("10 mistakes in requests.csv; nothing was written:")
    assert "column acess: there is no column 'acess'. Write access." in text
    assert "the same managed namespace is in row 9 already" in text


def test_no_column_is_named_that_the_file_has_already(write: Callable[..., Path]) -> None:
    path = write("resource_group,cluster_name,namespace_name,teamname", "rg,aks-1,a,crm")
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    mistake, *_ = caught.value.problems
    assert (mistake.column, mistake.suggestion) == ("teamname", "")


def test_a_missing_column_is_told_once(write: Callable[..., Path]) -> None:
    path = write("resource_group,namespace_name", "rg,a", "rg,b")
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (1, "subscription_id"),
        (1, "cluster_name"),
    ]


def test_an_empty_cell_that_is_needed_is_told(write: Callable[..., Path]) -> None:
    path = write(",".join(ID), f"{SUBSCRIPTION},rg,,a", f"{SUBSCRIPTION},rg,,a")
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    assert [(p.row, p.column, p.message) for p in caught.value.problems] == [
        (2, "cluster_name", "nothing is written here."),
        (3, "cluster_name", "nothing is written here."),
    ]


def test_columns_without_a_name_or_twice_are_refused(write: Callable[..., Path]) -> None:
    path = write(
        "subscription_id,resource_group,,cluster_name,namespace_name,resource_group",
        f"{SUBSCRIPTION},rg,x,aks,a,rg",
    )
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    assert [p.message for p in caught.value.problems] == [
        "column 3 has no name.",
        "the column is there twice.",
    ]


def test_a_file_without_requests_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="the file holds no request"):
        parse_requests(write("subscription_id,resource_group,cluster_name,namespace_name"))


def test_several_rows_of_a_program_carry_their_place() -> None:
    with pytest.raises(SpecError) as caught:
        specs_from_rows([ID, {**ID, "namespace_name": "WEB"}, ID], file="sheet")
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (2, "namespace_name"),
        (2, "namespace_name"),
        (3, "namespace_name"),
    ]


def test_a_notebooks_mistake_names_its_parameter() -> None:
    with pytest.raises(SpecError) as refused:
        specs_from_rows([{**ID, "cluster_name": "", "memory_limit": "4"}], file="parameters")
    assert [str(found) for found in refused.value.problems] == [
        "parameter cluster_name: nothing is written here. Write the cluster_name.",
        "parameter memory_limit: '4' is not an amount of memory in a binary unit "
        "(Ki, Mi, Gi, Ti, Pi, Ei). Write a number with a unit, such as 512Mi or 2Gi.",
    ]


def test_nothing_asked_is_no_mistake() -> None:
    assert specs_from_rows([], file="sheet") == ()


@given(
    st.dictionaries(
        st.sampled_from(COLUMNS[4:]), st.text(max_size=20) | st.none() | st.integers(), max_size=8
    )
)
def test_any_cells_are_a_request_or_a_list_of_mistakes(cells: dict[str, Any]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        assert set(make_spec(**cells).quota) <= set(QUOTA_FIELDS)
    except SpecError as error:
        problems = error.problems
    assert {problem.column for problem in problems} <= set(cells)
    assert all(problem.message for problem in problems)


@pytest.mark.parametrize("column", ["labels", "annotations", "tags", "owner", "cluster_name"])
def test_a_secret_in_a_cell_is_refused_with_its_place_and_never_quoted(
    write: Callable[..., Path], column: str
) -> None:
    cells = {**ID, "labels": "a=b", "annotations": "", "tags": "", "owner": ""}
    cells[column] = "repo=https://deploy:" + "hunter2@git.example.com"
    path = write(",".join(cells), ",".join(cells.values()))
    with pytest.raises(SpecError, match="looks like it holds a secret") as caught:
        parse_requests(path)
    assert [(p.row, p.column) for p in caught.value.problems] == [(2, column)]
    assert "hunter2" not in str(caught.value)


def test_a_secret_in_a_heading_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("password=hunter22,cluster_name\n1,2\n")
    with pytest.raises(SpecError, match=r"column \[hidden: looks like a secret\]") as caught:
        parse_requests(path)
    assert "hunter22" not in str(caught.value)


def test_every_secret_of_a_row_is_refused_and_none_is_quoted() -> None:
    cells = {"labels": "a=password=hunter22", "owner": "secret=hunter33-hunter33"}
    with pytest.raises(SpecError) as caught:
        specs_from_rows([cells], file="requests.csv")
    text = str(caught.value)
    assert text.count("looks like it holds a secret") == 2
    assert "hunter" not in text


def test_two_spellings_of_one_namespace_are_found_in_yaml_too(tmp_path):
    path = tmp_path / "requests.yaml"
    path.write_text(
        "".join(
            "- {subscription_id: 00000000-0000-4000-8000-00000000a001, resource_group: RG, "
            f"cluster_name: aks-1, namespace_name: {name}}}\n"
            for name in ("crm", "'crm '")
        )
    )
    with pytest.raises(SpecError, match="the same managed namespace is in row 1 already"):
        parse_requests(path)


def test_names_that_are_no_text_are_refused_as_unknown_columns() -> None:
    with pytest.raises(SpecError) as caught:
        specs_from_rows([{**ID, 0: "x", ("a", 1): "y"}], file="requests")
    assert [(p.column, p.message) for p in caught.value.problems] == [
        ("0", "there is no column '0'."),
        ("('a', 1)", "there is no column \"('a', 1)\"."),
    ]


def test_what_is_done_to_one_request_is_done_to_no_other() -> None:
    first, other = (make_spec(tags="a=b", annotations="c=d") for _ in range(2))
    first.tags["z"] = first.annotations["z"] = "mine"  # type: ignore[index]
    assert (other.tags, other.annotations) == ({"a": "b"}, {"c": "d"})
    assert make_spec(tags="a=b").tags == {"a": "b"}


def test_a_number_names_the_same_namespace_however_a_program_holds_it() -> None:
    rows = [{**ID, "namespace_name": name} for name in (1.0, "1")]
    with pytest.raises(SpecError, match="the same managed namespace is in row 1 already"):
        specs_from_rows(rows, file="a list")


@pytest.mark.parametrize("cell", [np.int64(2), np.array([1, 2])])
def test_a_value_that_no_cell_can_hold_is_told_with_its_column(cell: object) -> None:
    [(column, message)] = mistakes(cpu_limit=cell)
    assert (column, message.endswith("is no text.")) == ("cpu_limit", True)


def test_whole_numbers_stay_whole_beside_an_empty_cell() -> None:
    spec = make_spec(cpu_limit=2.0, owner=42.0, tier="")
    assert (spec.quota, spec.labels) == ({"cpu_limit": 2}, {"owner": "42"})
    for amount in (4, 4.0):
        ((column, message),) = mistakes(memory_limit=amount)
        assert message.startswith("'4' is not an amount of memory"), column


def test_a_misspelled_cluster_is_told_with_the_other_mistakes(write: Callable[..., Path]) -> None:
    row = f"{SUBSCRIPTION},rg-platform"
    path = write(
        "subscription_id,resource_group,cluster_name,namespace_name,cpu_request",
        f"{row},aks-1,a,1",
        f"{row},aks-one,b,1",
        f"{row},AKS-one,c,2x",
        f"{row},aks/one,d,1",
    )
    asked: list[str] = []

    def missing(clusters: Iterable[ClusterId]) -> dict[ClusterId, tuple[str, tuple[str, str]]]:
        asked.extend(sorted(cluster.cluster_name.lower() for cluster in clusters))
        told = "cluster_name", ("aks-one was not found", "aks-1")
        return {one: told for one in clusters if one.key.endswith("aks-one")}

    with pytest.raises(SpecError) as caught:
        parse_requests(path, missing=missing)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (3, "cluster_name"),
        (4, "cluster_name"),
        (4, "cpu_request"),
        (5, "cluster_name"),
    ]
    assert caught.value.problems[0].told("") == "aks-one was not found. Write aks-1."
    assert asked == ["aks-1", "aks-one"]
    path.write_text(path.read_text().replace("2x", "2").replace("aks/one", "aks-1"))
    assert len(parse_requests(path, missing=missing)) == 4
    assert len(asked) == 2
