"""What exists, written as a request file and read again, is a plan that changes nothing."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnslib.errors import SpecError
from mnslib.models import BUILT_IN_ROLES, AccessGrant, ManagedNamespace, PrincipalType
from mnslib.provisioning.plan import make_plan
from mnslib.requests.export import request_file, request_rows, request_workbook
from mnslib.requests.sheets import FORMULA_STARTS
from mnslib.requests.spec import parse_requests, read_tiers
from mnslib.resource_ids import ClusterId
from mnslib.results import ChangeKind

from .factories import CLUSTER, GROUP, amounts, make_namespace, make_observed

SUFFIXES = (".csv", ".xlsx", ".yaml")
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.one_of(
    st.text(CHARACTERS),
    st.sampled_from(
        ["=1+1", "a;b=c", 'say "x"', '{"a": 1}', "-", "", " x ", "'=x", "_x0041_", "_x005F_",
         "_x0000_", "\x1b[31m", "\n", "null", "no", "@x", "+1", "<b>", "../x", "\u202e", "\ufffe",
         "\x85", "ключ", "x" * 9000]
    ),
)  # fmt: skip
LABEL = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
KEY = st.builds("{}{}".format, st.sampled_from(["", "contoso.example/"]), LABEL)
TAG = st.text(CHARACTERS.filter(lambda sign: sign not in "<>%&\\?/"), min_size=1, max_size=20)


def round_trip(namespace: ManagedNamespace, suffix: str, grants: Any = ()) -> tuple[Any, list[str]]:
    rows, left_out = request_rows([namespace], {namespace.id: grants}, suffix=suffix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"requests{suffix}"
        path.write_bytes(request_file(rows, suffix=suffix))
        specs = parse_requests(path)
    return make_plan(specs, make_observed(namespace)), left_out


@settings(max_examples=40, deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES),
    labels=st.dictionaries(KEY, st.one_of(LABEL, st.just("")), max_size=4),
    annotations=st.dictionaries(KEY, TEXT, max_size=4),
    tags=st.dictionaries(TAG, TEXT.map(lambda text: text[:256]), max_size=4),
)
def test_an_export_changes_nothing_whatever_the_keys_and_values(
    suffix: str, labels: dict[str, str], annotations: dict[str, str], tags: dict[str, str]
) -> None:
    namespace = make_namespace(labels=labels, annotations=annotations, tags=tags)
    plan, _ = round_trip(namespace, suffix)
    (change,) = plan.changes
    assert (change.kind, change.differences) == (ChangeKind.NO_CHANGE, ())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_blanks_around_a_key_are_of_the_key(suffix: str) -> None:
    plan, _ = round_trip(make_namespace(tags={"cost": "1", "cost ": "2", " a": "3"}), suffix)
    (change,) = plan.changes
    assert (change.kind, change.differences) == (ChangeKind.NO_CHANGE, ())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_edit_is_all_that_changes(suffix: str) -> None:
    namespace = make_namespace(
        labels={"owner": "crm", "stage": "prod"},
        annotations={"note": "a;b=c\n=1", "contact": "x"},
        tags={"cost center": "42"},
    )
    rows, left_out = request_rows([namespace], {}, suffix=suffix)
    rows[0]["cpu_limit"] = "3"
    assert (rows[0]["owner"], left_out) == ("crm", [])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"requests{suffix}"
        path.write_bytes(request_file(rows, suffix=suffix))
        plan = make_plan(parse_requests(path), make_observed(namespace))
    (change,) = plan.changes
    assert [difference.path for difference in change.differences] == ["cpu_limit"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_quota_value_that_is_to_go_is_refused_with_its_place(suffix: str, tmp_path: Path) -> None:
    cluster = CLUSTER
    row = {
        "subscription_id": cluster.subscription_id,
        "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name,
        "namespace_name": "crm-web",
        "cpu_limit": None,
        "labels": {"stage": None},
    }
    path = tmp_path / f"requests{suffix}"
    path.write_bytes(request_file([row], suffix=suffix))
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    (problem,) = caught.value.problems
    assert problem.column == "cpu_limit"
    assert "cannot be removed" in problem.message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_everything_that_a_request_can_say_is_in_the_file(suffix: str) -> None:
    role = "Azure Kubernetes Service RBAC Writer"
    grant = AccessGrant(
        principal_type=PrincipalType.GROUP, principal_id=GROUP, role=role,
        role_guid=BUILT_IN_ROLES[role],
    )  # fmt: skip
    annotations = {"odd": 'a;b="c"\n', "plain": "x"}
    namespace = make_namespace(labels={"a": "1"}, annotations=annotations, tags={"=t": "@v"})
    rows, left_out = request_rows([namespace], {namespace.id: [grant]}, suffix=suffix)
    assert left_out == []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"requests{suffix}"
        path.write_bytes(request_file(rows, suffix=suffix))
        (spec,) = parse_requests(path)
    assert spec.access == (grant,)
    assert (spec.labels, spec.annotations, spec.tags) == ({"a": "1"}, annotations, {"=t": "@v"})
    assert set(spec.quota) == set(amounts(**rows_quota(rows[0])))


def rows_quota(row: dict[str, Any]) -> dict[str, str]:
    return {name: row[name] for name in row if name.startswith(("cpu", "memory"))}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_request_cannot_say_is_named_and_left_alone(suffix: str) -> None:
    secret = "-----BEGIN PRIVATE KEY-----"
    namespace = make_namespace(
        annotations={"key": secret, "note": "x"}, tags={"hidden-link:/a/b": "Resource", "a": "1"}
    )
    plan, left_out = round_trip(namespace, suffix)
    assert plan.changes[0].kind is ChangeKind.NO_CHANGE
    assert len(left_out) == 2
    assert "looks like it holds a secret" in left_out[0]
    assert "hidden-link:" in left_out[1]
    assert secret not in "".join(left_out)
    rows, _ = request_rows([namespace], {}, suffix=suffix)
    assert secret not in request_file(rows, suffix=suffix).decode("utf-8", "replace")


def test_text_too_long_for_a_sheet_fits_yaml() -> None:
    namespace = make_namespace(annotations={"long": "x y " * 25_000})
    sheet, left_out = round_trip(namespace, ".xlsx")
    assert (sheet.to_do, len(left_out)) == ((), 1)
    assert "YAML has room for it" in left_out[0]
    whole, left_out = round_trip(namespace, ".yaml")
    assert (whole.to_do, left_out) == ((), [])


def test_no_cell_of_an_export_starts_a_formula() -> None:
    group = ClusterId(CLUSTER.subscription_id, "-rg", "aks-1")
    namespace = make_namespace(cluster=group, tags={"=cmd|x": "1"}, annotations={"a": "=1"})
    rows, _ = request_rows([namespace], {}, suffix=".csv")
    text = request_file(rows, suffix=".csv").decode("utf-8-sig")
    assert not any(
        cell.startswith(FORMULA_STARTS) for line in csv.reader(io.StringIO(text)) for cell in line
    )
    book = openpyxl.load_workbook(io.BytesIO(request_file(rows, suffix=".xlsx")))
    cells = [cell for sheet in book for line in sheet.iter_rows() for cell in line if cell.value]
    assert {cell.data_type for cell in cells} == {"s"}
    assert not any(str(cell.value).startswith(FORMULA_STARTS) for cell in cells)


def test_what_azure_holds_but_no_request_may_ask_for_is_left_out_cell_by_cell() -> None:
    odd = make_namespace(quota=amounts(cpu_request="2", cpu_limit="1", memory_limit="1Gi"))
    odd = replace(odd, quota={**odd.quota, "memory_request": Decimal(10**9 + 1)})
    ((row,), left_out) = request_rows([odd], {}, suffix=".yaml")
    assert {"cpu_limit", "memory_request"}.isdisjoint(row)
    assert (row["cpu_request"], row["memory_limit"]) == ("2", "1Gi")
    assert [sentence.partition(":")[0].split()[0] for sentence in left_out] == [
        "memory_request",
        f"{odd.id},",
    ]
    (rows, left_out) = request_rows([make_namespace("kube-system")], {}, suffix=".csv")
    assert (rows, len(left_out)) == ([], 1)
    assert "is a system namespace" in left_out[0]


def test_the_workbook_lists_the_tiers_as_a_row_would_say_them(tmp_path: Path) -> None:
    path = tmp_path / "tiers.yaml"
    entries = f"[group:{GROUP}=reader, group:{GROUP}=writer-]"
    said = f"cpu_request: 0.5, labels: {{a: b}}, access: {entries}"
    path.write_text(f"small: {{{said}}}\n")
    book = openpyxl.load_workbook(io.BytesIO(request_workbook(tiers=read_tiers(path))))
    heads, values = ([cell.value for cell in line] for line in book["tiers"].iter_rows())
    assert {head: value for head, value in zip(heads, values, strict=True) if value} == {
        "tier": "small",
        "cpu_request": "500m",
        "labels": "a=b",
        "access": f"group:{GROUP}=reader;group:{GROUP}=writer-",
    }
    assert openpyxl.load_workbook(io.BytesIO(request_workbook())).sheetnames == [
        "requests",
        "columns",
    ]


def test_a_whole_number_is_written_as_one() -> None:
    row = {"cpu_limit": 64.0, "memory_limit": 0.5, "owner": 42.0}
    text = request_file([row], suffix=".csv").decode("utf-8-sig")
    (written,) = csv.DictReader(io.StringIO(text))
    assert [written[name] for name in row] == ["64", "0.5", "42"]
