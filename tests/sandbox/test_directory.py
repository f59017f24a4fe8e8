"""What Microsoft Graph says of users, groups and service principals."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.client import Client

ADA = "00000000-0000-4000-9100-000000000001"
GROUP = "00000000-0000-4000-9000-000000000007"
USER_SP = "00000000-0000-4000-b100-000000000003"


def graph(client: Client, path: str, body: Any = None, **query: str) -> requests.Response:
    endpoint = client.connection["graph_endpoint"]
    method = "GET" if body is None else "POST"
    return client.call(method, f"{endpoint}/v1.0/{path}", f"{endpoint}/", json=body, params=query)


def found(client: Client, collection: str, condition: str) -> list[str]:
    answer = graph(client, collection, **{"$filter": condition})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["value"]]


@pytest.mark.parametrize(
    ("collection", "condition", "ids"),
    [
        ("users", "userPrincipalName eq 'Ada.Fischer@contoso.example'", [ADA]),
        ("users", "displayName eq 'Ada Fischer'", [ADA]),
        ("users", "startswith(displayName,'ada')", [ADA]),
        ("users", "displayName eq 'O''Hara'", []),
        ("groups", "displayName eq 'grp-identity'", [GROUP]),
        ("groups", "displayName eq 'grp-identity' and mailNickname eq 'other'", []),
        ("groups", "displayName in ('GRP-identity', 'grp-nobody') or mail in ('x')", [GROUP]),
        (
            "users",
            "displayName eq 'x' or userPrincipalName eq 'ada.fischer@contoso.example'",
            [ADA],
        ),
        ("users", "displayName in ('and', 'Ada Fischer') and id eq 'x'", []),
        ("users", "displayName eq ' or displayName eq '", []),
        (
            "servicePrincipals",
            "servicePrincipalNames/any(c:c eq '00000000-0000-4000-b000-000000000003')",
            [USER_SP],
        ),
        ("servicePrincipals", "appId eq '00000000-0000-4000-b000-000000000003'", [USER_SP]),
        ("servicePrincipals", "displayName eq 'app-namespace-user'", [USER_SP]),
    ],
)
def test_filters_find_by_name(
    sandbox: Client, collection: str, condition: str, ids: list[str]
) -> None:
    assert found(sandbox, collection, condition) == ids


def test_an_ambiguous_name_gives_both_groups(sandbox: Client) -> None:
    assert len(found(sandbox, "groups", "displayName eq 'grp-reporting'")) == 2


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("displayName is 'x'", "BadRequest"),
        ("displayName eq 'x' xor displayName eq 'y'", "BadRequest"),
        ("displayName in ()", "BadRequest"),
        (
            f"displayName in ({','.join(['*'] * 16)})".replace("*", "'x'"),
            "Request_UnsupportedQuery",
        ),
        ("shoeSize eq '44'", "Request_UnsupportedQuery"),
    ],
)
def test_a_filter_that_is_not_understood_is_refused(
    sandbox: Client, condition: str, code: str
) -> None:
    answer = graph(sandbox, "users", **{"$filter": condition})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert set(answer.json()["error"]) == {"code", "message", "innerError"}


def test_one_object_by_id_or_by_user_principal_name(sandbox: Client) -> None:
    by_name = graph(sandbox, "users/ada.fischer@contoso.example").json()
    assert by_name["id"] == ADA
    assert graph(sandbox, f"users/{ADA}").json() == by_name
    missing = graph(sandbox, "users/nobody@contoso.example")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "Request_ResourceNotFound"


def test_select_narrows_and_refuses_what_it_does_not_know(sandbox: Client) -> None:
    one = graph(sandbox, f"users/{ADA}", **{"$select": "id,displayName"}).json()
    assert set(one) == {"@odata.context", "id", "displayName"}
    wrong = graph(sandbox, f"users/{ADA}", **{"$select": "id,shoeSize"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "BadRequest")


def test_get_by_ids_names_types_and_leaves_out_strangers(sandbox: Client) -> None:
    ids = [ADA, GROUP, USER_SP, "00000000-0000-4000-9100-00000000dead"]
    answer = graph(sandbox, "directoryObjects/getByIds", {"ids": ids}).json()["value"]
    assert {one["id"]: one["@odata.type"] for one in answer} == {
        ADA: "#microsoft.graph.user",
        GROUP: "#microsoft.graph.group",
        USER_SP: "#microsoft.graph.servicePrincipal",
    }
    some = graph(sandbox, "directoryObjects/getByIds", {"ids": ids, "types": ["user"]}).json()
    assert [one["id"] for one in some["value"]] == [ADA]
    assert graph(sandbox, "directoryObjects/getByIds", {"ids": ["x"]}).status_code == 400


def test_members_of_a_group_are_listed_with_their_types(sandbox: Client) -> None:
    members = graph(sandbox, f"groups/{GROUP}/members").json()["value"]
    assert members[0]["id"] == USER_SP
    assert members[0]["@odata.type"] == "#microsoft.graph.servicePrincipal"


def test_transitive_members_are_also_those_of_groups_inside(sandbox: Client) -> None:
    platform = "00000000-0000-4000-9000-000000000008"
    answer = graph(sandbox, f"groups/{platform}/transitiveMembers").json()["value"]
    assert {one["id"] for one in answer} > {GROUP, USER_SP}
    assert len(answer) == 4
    missing = graph(sandbox, f"groups/{ADA}/transitiveMembers")
    assert (missing.status_code, missing.json()["error"]["code"]) == (
        404,
        "Request_ResourceNotFound",
    )


def test_a_list_comes_in_pages(sandbox: Client) -> None:
    endpoint = sandbox.connection["graph_endpoint"]
    answer = graph(sandbox, "groups", **{"$top": "4", "$filter": "startswith(displayName,'grp-')"})
    pages = [answer.json()]
    while url := pages[-1].get("@odata.nextLink"):
        pages.append(sandbox.call("GET", url, f"{endpoint}/").json())
    sizes = [len(page["value"]) for page in pages]
    assert sizes[:-1] == [4] * (len(pages) - 1)
    names = [one["id"] for page in pages for one in page["value"]]
    assert len(names) == len(set(names)) > 8
    wrong = graph(sandbox, "groups", **{"$top": "1000"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")


def test_an_application_is_nobody(sandbox: Client) -> None:
    answer = graph(sandbox, "me")
    assert answer.status_code == 400
    assert "delegated authentication flow" in answer.json()["error"]["message"]


@pytest.mark.parametrize("identity", ["namespace_user", "reader"])
def test_without_permission_the_directory_stays_closed(sandbox: Client, identity: str) -> None:
    client = Client(sandbox.connection, identity)
    answers = [graph(client, "users"), graph(client, "directoryObjects/getByIds", {"ids": [ADA]})]
    client.session.close()
    assert [answer.status_code for answer in answers] == [403, 403]
    error = answers[0].json()["error"]
    assert error["code"] == "Authorization_RequestDenied"
    assert error["message"] == "Insufficient privileges to complete the operation."
