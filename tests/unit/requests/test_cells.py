"""The small languages inside a cell."""

from __future__ import annotations

import pytest

from mnslib.models import AccessGrant, PrincipalType
from mnslib.requests import cells
from mnslib.requests.rules import CellError

GUID = "00000000-0000-4000-9000-000000000001"


def findings(refused: pytest.ExceptionInfo[CellError]) -> list[str]:
    return [message for message, _ in refused.value.findings]


def test_pairs_set_empty_and_remove_keys() -> None:
    text = " owner=crm ; empty= ;gone-; url.io/x=y;"
    assert cells.read_pairs("labels", text) == {
        "owner": "crm",
        "empty": "",
        "gone": None,
        "url.io/x": "y",
    }


def test_a_value_may_hold_an_equals_sign() -> None:
    assert cells.read_pairs("annotations", "formula==1+1") == {"formula": "=1+1"}


def test_a_cell_may_be_json() -> None:
    text = '{"note": "a;b=c", "gone": null}'
    assert cells.read_pairs("annotations", text) == {"note": "a;b=c", "gone": None}


def test_a_mapping_reads_like_a_cell() -> None:
    assert cells.read_pairs("labels", {"owner": "crm", "gone": None}) == {
        "owner": "crm",
        "gone": None,
    }


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('{"a": 1}', "the value of 'a' is no text"),
        ({"a": True}, "the value of 'a' is no text"),
        ('{"a": {"b": "c"}}', "the value of 'a' is no text"),
        ('{"a": "1", "a": "2"}', "'a' is written twice"),
        ("a=1;a-", "'a' is written twice"),
        ("alone", "'alone' has no value"),
        ("{oops", "it starts with { but is no JSON object"),
        ('{"a":' * 90_000, "it starts with { but is no JSON object"),
        (7, "'7' is not a mapping"),
    ],
)
def test_broken_pairs_are_refused(cell: object, message: str) -> None:
    with pytest.raises(CellError) as refused:
        cells.read_pairs("annotations", cell)
    assert findings(refused)[0].startswith(message)


def test_every_mistake_of_a_cell_is_told() -> None:
    with pytest.raises(CellError) as refused:
        cells.read_pairs("labels", "a b=1;c=two words;alone;kubernetes.io/metadata.name-")
    assert len(findings(refused)) == 4


def test_annotations_have_a_size_together() -> None:
    assert len(cells.read_pairs("annotations", {"k": "v" * (256 * 1024 - 1)})["k"] or "") == 262_143
    with pytest.raises(CellError, match="262145 bytes together"):
        cells.read_pairs("annotations", {"k": "ü" * (128 * 1024)})


def test_tags_differ_by_more_than_case_and_are_at_most_50() -> None:
    with pytest.raises(CellError, match="are the same tag to Azure"):
        cells.read_pairs("tags", "Env=a;env=b")
    with pytest.raises(CellError, match="51 tags; Azure takes at most 50"):
        cells.read_pairs("tags", {f"t{number}": "" for number in range(51)})
    assert cells.read_pairs("tags", "cost center=42;old-") == {"cost center": "42", "old": None}


def test_access_is_read_by_short_and_by_full_role_names() -> None:
    text = f"group:{GUID.upper()}=writer; user:{GUID}=Azure Kubernetes Service Namespace User;"
    assert tuple(cells.read_access(text)) == (
        AccessGrant(
            principal_type=PrincipalType.GROUP,
            principal_id=GUID,
            role="Azure Kubernetes Service RBAC Writer",
            role_guid="a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        ),
        AccessGrant(
            principal_type=PrincipalType.USER,
            principal_id=GUID,
            role="Azure Kubernetes Service Namespace User",
            role_guid="c9f76ca8-b262-4b10-8ed2-09cf0948aa35",
        ),
    )
    (grant,) = cells.read_access([f"sp:{GUID}=admin"])
    assert grant.principal_type is PrincipalType.SERVICE_PRINCIPAL


@pytest.mark.parametrize(
    ("entry", "message", "offered"),
    [
        (f"group:{GUID}", "is not a grant", "group:<name or object id>=<role>"),
        (f"{GUID}=writer", "is not a grant", "group:<name or object id>=<role>"),
        (f"Group:{GUID}=writer", "is not a kind of principal", "group"),
        (f"robot:{GUID}=writer", "is not a kind of principal", "group, user or sp"),
        (f"group:{GUID}=Writer", "is not a role granted here", "writer"),
        (f"group:{GUID}=Reader", "Azure's own role", "reader"),
        (f"group:{GUID}=Contributor", "Azure's own role", "contributor"),
        (f"group:{GUID}=Owner", "Azure's own role", "admin"),
        (
            f"group:{GUID}=azure kubernetes service rbac reader",
            "is not a role granted here",
            "Azure Kubernetes Service RBAC Reader",
        ),
        (
            f"group:{GUID}=king",
            "is not a role granted here",
            "namespace-user, contributor, reader, writer, admin",
        ),
    ],
)
def test_other_grants_are_refused(entry: str, message: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        cells.read_access(entry)
    ((told, suggestion),) = refused.value.findings
    assert message in told
    assert suggestion == offered


def test_a_principal_may_be_named_as_the_directory_shows_it() -> None:
    found = cells.read_access("group:Team CRM = dev=writer;user:ada@contoso.example=reader-")
    assert [
        (grant.principal_id, grant.is_named, is_granted) for grant, is_granted in found.items()
    ] == [
        ("Team CRM = dev", True, True),
        ("ada@contoso.example", True, False),
    ]
    (by_id,) = cells.read_access(f"group:{GUID}=writer")
    assert not by_id.is_named


def test_a_minus_behind_the_role_takes_it_away() -> None:
    text = (
        f"group:{GUID}=reader; group:{GUID}=writer-; sp:{GUID}=Azure Kubernetes Service RBAC Admin-"
    )
    found = cells.read_access(text)
    roles = [(grant.role.split()[-1], is_granted) for grant, is_granted in found.items()]
    assert roles == [("Reader", True), ("Writer", False), ("Admin", False)]
    assert [cells.grant_text(grant, is_granted=now) for grant, now in found.items()] == [
        f"group:{GUID}=reader",
        f"group:{GUID}=writer-",
        f"sp:{GUID}=admin-",
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([f"group:{GUID}=writer-"] * 2, "removes a role that is removed here already"),
        ([f"group:{GUID}=writer", f"group:{GUID}=writer-"], "both granted and removed here"),
        ([f"group:{GUID}=writer-", f"user:{GUID}=writer"], "both granted and removed here"),
        ([f"group:{GUID}=-"], "is not a grant"),
        ([f"group:{GUID}=Owner-"], "Azure's own role"),
    ],
)
def test_other_removals_are_refused(entries: list[str], message: str) -> None:
    with pytest.raises(CellError, match=message) as refused:
        cells.read_access(entries)
    assert len(refused.value.findings) == 1


def test_a_grant_is_written_once_and_all_mistakes_are_told() -> None:
    with pytest.raises(CellError) as refused:
        cells.read_access([f"group:{GUID}=writer", f"group:{GUID}=writer", "sp:x=Owner"])
    assert len(findings(refused)) == 2
    with pytest.raises(CellError, match="is not a list of grants"):
        cells.read_access({"group": GUID})
