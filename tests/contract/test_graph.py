"""Our directory client against the sandbox's Microsoft Graph."""

import pytest

from mnslib.azure.graph import Directory
from mnslib.errors import ArmForbiddenError, ArmNotFoundError
from mnslib.models import Principal, PrincipalType

ADA = Principal(
    kind=PrincipalType.USER,
    id="00000000-0000-4000-9100-000000000001",
    name="Ada Fischer",
    handle="ada.fischer@contoso.example",
)
IDENTITY = "00000000-0000-4000-9000-000000000007"
PLATFORM = "00000000-0000-4000-9000-000000000008"
APP = "00000000-0000-4000-b000-000000000003"
GROUP, USER, SP = PrincipalType.GROUP, PrincipalType.USER, PrincipalType.SERVICE_PRINCIPAL


@pytest.fixture
def directory(azure_client) -> Directory:
    return azure_client.directory


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ada", ["Ada Fischer"]),
        ("ada.fischer@", ["Ada Fischer"]),
        ("GRP-PAY", ["grp-payments"]),
        ("grp-rep", ["grp-reporting", "grp-reporting"]),
        (APP, ["app-namespace-user"]),
        (IDENTITY, ["grp-identity"]),
        ("nobody's", []),
        ("  ", []),
    ],
)
def test_a_search_finds_by_what_people_call_it(directory, text, names):
    assert [one.name for one in directory.search(text)] == names


def test_a_search_may_be_for_one_kind(directory):
    assert directory.search("ada", kinds=[GROUP, SP]) == []
    assert directory.search(ADA.id, kinds=[GROUP]) == []
    assert {one.kind for one in directory.search("app-", kinds=[SP])} == {SP}


def test_names_are_looked_up_whole_and_all_in_one_call(directory, sandbox):
    names = ["Grp-Payments", "grp-reporting", "grp-pay", "grp-web"]
    found = directory.named(GROUP, names)
    assert {name: len(all_so_called) for name, all_so_called in found.items()} == {
        "grp-payments": 1,
        "grp-reporting": 2,
        "grp-web": 1,
    }
    assert len([one for one in sandbox.requests() if "/groups" in one["path"]]) == 1
    assert directory.named(USER, ["ADA.fischer@contoso.example"])[ADA.handle] == [ADA]
    assert directory.named(SP, [APP])[APP][0].name == "app-namespace-user"


def test_more_names_than_one_filter_takes_are_asked_for_in_parts(directory):
    names = [f"grp-none-{number}" for number in range(40)] + ["grp-ml"]
    assert [*directory.named(GROUP, names)] == ["grp-ml"]


def test_ids_that_nobody_has_are_left_out(directory):
    found = directory.by_ids([ADA.id.upper(), IDENTITY, "00000000-0000-4000-9100-00000000dead"])
    assert found[ADA.id] == ADA
    assert {one.kind for one in found.values()} == {USER, GROUP}
    assert directory.by_ids([]) == {}


def test_members_are_also_those_of_groups_inside(directory):
    found = directory.members(PLATFORM)
    assert [one.name for one in found] == [
        "app-namespace-user",
        "Ben Okafor",
        "Carla Nunes",
        "grp-identity",
    ]
    with pytest.raises(ArmNotFoundError):
        directory.members(ADA.id)


def test_who_may_not_read_the_directory_is_told_the_role_and_the_parameter(make_azure_client):
    with pytest.raises(ArmForbiddenError) as refused:
        make_azure_client(identity="reader").directory.by_ids([ADA.id])
    assert "Directory Readers" in str(refused.value)
    assert "set `verify_principals` to false" in str(refused.value)
