"""Names in `access` become object ids; what nobody or more than one bears is refused."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from mnslib.errors import SpecError
from mnslib.models import NamespaceSpec, Principal, PrincipalType
from mnslib.provisioning.principals import MOST_SOUGHT, identified, with_names
from mnslib.requests.cells import read_access
from mnslib.requests.policy import Policy
from tests.unit.provisioning.factories import make_spec

GROUP, USER, SP = PrincipalType.GROUP, PrincipalType.USER, PrincipalType.SERVICE_PRINCIPAL
NOBODY = "00000000-0000-4000-9000-00000000dead"


def make_principal(
    number: int, name: str, kind: PrincipalType = GROUP, handle: str = ""
) -> Principal:
    guid = f"00000000-0000-4000-9000-{number:012}"
    return Principal(kind=kind, id=guid, name=name, handle=handle)


CRM, TWIN_1, TWIN_2 = (
    make_principal(n, name) for n, name in enumerate(("grp-crm", "twin", "twin"))
)
ADA = make_principal(3, "Ada Fischer", USER, "ada@contoso.example")
APP = make_principal(4, "app-crm", SP, "00000000-0000-4000-b000-000000000004")


class Shelf:
    """A directory of a few; remembers what it was asked."""

    def __init__(self, *principals: Principal) -> None:
        self.principals = principals or (CRM, TWIN_1, TWIN_2, ADA, APP)
        self.asked: list[str] = []

    def by_ids(self, ids: Iterable[str]) -> dict[str, Principal]:
        self.asked.append("ids")
        wanted = {*ids}
        return {one.id: one for one in self.principals if one.id in wanted}

    def named(self, kind: PrincipalType, names: Iterable[str]) -> dict[str, list[Principal]]:
        self.asked.append(f"names of {kind}")
        found: dict[str, list[Principal]] = {}
        for one in self.principals:
            for name in {one.name.lower(), one.handle.lower()} & {*names}:
                if one.kind is kind:
                    found.setdefault(name, []).append(one)
        return found

    def search(self, text: str) -> list[Principal]:
        self.asked.append(f"search {text}")
        return [one for one in self.principals if one.name.lower().startswith(text.lower())]


def make_row(text: str, *, row: int = 2, **fields: object) -> NamespaceSpec:
    access = read_access(text)
    return make_spec(
        f"team-{row}",
        row=row,
        access=tuple(grant for grant, is_granted in access.items() if is_granted),
        revoked=tuple(grant for grant, is_granted in access.items() if not is_granted),
        **fields,
    )


def mistakes(*specs: NamespaceSpec, shelf: Shelf | None = None, **how: object) -> list[str]:
    with pytest.raises(SpecError) as refused:
        identified(specs, shelf or Shelf(), **how)
    for problem in refused.value.problems:
        assert problem.column == "access"
    return [str(problem) for problem in refused.value.problems]


def test_names_become_ids_with_one_batch_of_calls_for_all_rows() -> None:
    shelf = Shelf()
    rows = [
        make_row("group:GRP-crm=writer;user:ada@contoso.example=reader", row=2),
        make_row(f"group:grp-crm=reader;group:{CRM.id}=writer;user:Ada Fischer=admin-", row=3),
    ]
    specs, who = identified(rows, shelf)
    assert [(grant.principal_id, grant.role[-6:]) for grant in specs[0].access] == [
        (CRM.id, "Writer"),
        (ADA.id, "Reader"),
    ]
    assert [grant.principal_id for grant in specs[1].access] == [CRM.id, CRM.id]
    assert [grant.principal_id for grant in specs[1].revoked] == [ADA.id]
    assert who == {CRM.id: CRM, ADA.id: ADA}
    assert sorted(shelf.asked) == ["ids", "names of Group", "names of User"]


def test_the_directory_is_not_asked_where_no_access_is() -> None:
    shelf = Shelf()
    assert identified([make_spec()], shelf) == ((make_spec(),), {})
    assert shelf.asked == []


def test_a_role_that_is_written_by_name_and_by_id_counts_once() -> None:
    (spec,), _ = identified([make_row(f"group:grp-crm=writer;group:{CRM.id}=writer")], Shelf())
    assert len(spec.access) == 1


def test_a_name_that_more_than_one_bears_is_refused_with_all_of_them() -> None:
    (told,) = mistakes(make_row("group:Twin=writer", row=7))
    assert told == (
        "requests.csv, row 7, column access: more than one group is called Twin:"
        f" group twin ({TWIN_1.id}), group twin ({TWIN_2.id})."
        f" Write group:{TWIN_1.id} or group:{TWIN_2.id}."
    )
    shelf = Shelf(ADA, make_principal(9, "Ada Fischer", USER, "ada.f@contoso.example"))
    (told,) = mistakes(make_row("user:Ada Fischer=reader-"), shelf=shelf)
    assert f"user Ada Fischer ({ADA.id}, ada@contoso.example)" in told
    assert f"Write user:{ADA.id} or " in told


def test_a_name_that_nobody_bears_is_refused_with_what_is_meant() -> None:
    (told,) = mistakes(make_row("group:grp-cmr=writer"))
    assert told.endswith("the directory has no group grp-cmr. Write group:grp-crm.")
    (told,) = mistakes(make_row("group:Ada Fischer=writer"))
    assert told.endswith("has no group Ada Fischer. Write user:Ada Fischer.")
    (told,) = mistakes(make_row("group:x=writer"))
    assert told.endswith("has no group x. Write a name of the directory, or an id.")


def test_an_id_of_nobody_gets_nothing_but_loses_what_it_had() -> None:
    (told,) = mistakes(make_row(f"group:{NOBODY}=writer"))
    assert told.endswith(
        f"nobody with the object id {NOBODY}. Write the object id of a group, or its name."
    )
    (spec,), who = identified([make_row(f"group:{NOBODY}=writer-")], Shelf())
    assert (spec.revoked[0].principal_id, who) == (NOBODY, {})


def test_an_id_of_another_kind_is_refused_with_the_right_word() -> None:
    (told,) = mistakes(make_row(f"group:{ADA.id}=writer"))
    assert told.endswith(
        f"{ADA.id} is no group: it is user Ada Fischer ({ADA.id}, ada@contoso.example)."
        f" Write user:{ADA.id}."
    )
    (spec,), _ = identified([make_row(f"group:{ADA.id}=writer-")], Shelf())  # Azure knows the kind
    assert spec.revoked[0].principal_id == ADA.id


def test_the_id_of_an_application_is_refused_with_that_of_its_service_principal() -> None:
    (told,) = mistakes(make_row(f"sp:{APP.handle}=writer"))
    assert told.endswith(
        f"a role goes to the object id of its service principal. Write sp:{APP.id}."
    )


def test_every_mistake_of_all_rows_is_told_at_once() -> None:
    rows = [
        make_row(f"group:twin=writer;group:{NOBODY}=reader", row=3),
        make_row("user:grp-crm=reader", row=2),
    ]
    told = mistakes(*rows)
    assert [one.partition(",")[2].partition(",")[0] for one in told] == [
        " row 2",
        " row 3",
        " row 3",
    ]


def test_a_role_given_by_name_and_taken_by_id_is_refused() -> None:
    (told,) = mistakes(make_row(f"group:grp-crm=writer;group:{CRM.id}=writer-"))
    assert "both granted and removed here, by name and by id" in told


def test_what_a_row_says_of_a_role_wins_over_its_tier_by_whatever_name() -> None:
    tier = make_row("group:grp-crm=writer;group:grp-crm=reader")
    (spec,), _ = identified([make_row(f"group:{CRM.id}=writer-", when_new=tier)], Shelf())
    assert spec.when_new is not None
    assert [grant.role[-6:] for grant in spec.when_new.access] == ["Reader"]
    (told,) = mistakes(make_row(f"group:{CRM.id}=writer-", when_new=make_row("group:no=reader")))
    assert "has no group no" in told


def test_without_looking_up_ids_are_taken_as_they_are_and_names_refused() -> None:
    spec = make_row(f"group:{NOBODY}=writer")
    assert identified([spec], None) == ((spec,), {})
    with pytest.raises(SpecError, match="grp-crm is a name, and verify_principals is false"):
        identified([make_row("group:grp-crm=writer")], None)


def test_a_policy_is_kept_to_by_whom_a_name_stands_for() -> None:
    policy = Policy(allowed_principals=[f"group:{TWIN_1.id}"])
    (told,) = mistakes(make_row("group:grp-crm=writer"), policy=policy)
    assert f"the policy does not allow a role for a group ({CRM.id}): it is grp-crm." in told
    assert f"Write group:{TWIN_1.id}." in told
    for allowed in ("group", f"group:{CRM.id}"):
        policy = Policy(allowed_principals=[allowed])
        (spec,), _ = identified([make_row("group:grp-crm=writer")], Shelf(), policy=policy)
        assert spec.access[0].principal_id == CRM.id


def test_names_stand_before_the_ids_that_are_known() -> None:
    text = f"Reader of Group {CRM.id.upper()}, not {NOBODY}"
    assert with_names(text, {CRM.id: CRM}) == (
        f"Reader of Group grp-crm ({CRM.id.upper()}), not {NOBODY}"
    )
    assert with_names(text, {}) == text


def test_a_file_of_unknown_principals_asks_the_directory_a_few_times_only():
    """Each is told; who may be meant is looked up of the first ones."""
    shelf = Shelf()
    wrong = [f"group:nobody-{n}=reader;sp:{NOBODY[:-3]}{n:03}=reader" for n in range(50)]
    with pytest.raises(SpecError) as caught:
        identified([make_row(text, row=n) for n, text in enumerate(wrong)], shelf)
    assert len(caught.value.problems) == 100
    assert len(shelf.asked) <= 2 + MOST_SOUGHT
