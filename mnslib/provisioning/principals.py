"""Whom requests mean: names become object ids, and ids are looked up, before anything is planned.

One batch of calls for all requests, and none where no access is asked. Plans and digests hold ids
only; what they are called goes along to be shown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import AccessGrant, NamespaceSpec, Principal, PrincipalType
from mnslib.provisioning.changes import problem
from mnslib.requests.cells import KIND_WORDS, grant_text
from mnslib.resource_ids import GUID

if TYPE_CHECKING:
    from mnslib.azure.graph import Directory
    from mnslib.requests.policy import Policy

ALIKE_LETTERS = 4
"""Letters at its beginning that an unknown name shares with what is meant; our choice."""

MOST_SOUGHT = 5
"""Unknown principals of whom it is asked who may be meant, up to three calls each; our choice."""

_Finding = tuple[str, Mapping[str, Any]]
_Found = Mapping[AccessGrant, Sequence[Principal]]
"""By each grant, everybody whom it may mean: exactly one, if all is well."""


def identified(
    specs: Sequence[NamespaceSpec], directory: Directory | None, *, policy: Policy | None = None
) -> tuple[tuple[NamespaceSpec, ...], dict[str, Principal]]:
    """Return the requests with object ids in place of names, and whom the ids belong to.

    A role may be taken from an id that nobody has any more; nothing is given to one.

    Args:
        directory: None leaves ids unverified and refuses names.
        policy: whose rule on principals is kept to by those that were named.

    Raises:
        SpecError: with every name that nobody or more than one bears, every unknown id, every
            id of another kind than is written.
        ArmForbiddenError: if the caller may not read the directory.
    """
    grants = {grant for spec in specs for grant in _grants(spec.in_full)}
    found = _look_up(grants, directory) if directory and grants else {}
    unknown = dict.fromkeys(one.principal_id.lower() for one in found if not found[one])
    sought = {*itertools.islice(unknown, MOST_SOUGHT)}
    wrong = {
        one: [*_findings(one, who, directory if one.principal_id.lower() in sought else None)]
        for one, who in found.items()
    }
    if directory is None:
        wrong = {one: [("name-unverified", _facts(one))] for one in grants if one.is_named}
    problems: list[Problem] = []
    mended = []
    for spec in specs:
        told: list[_Finding] = []
        for grant in dict.fromkeys(_grants(spec.in_full)):
            is_granted = grant in spec.in_full.access
            if is_granted or grant.is_named:
                told += wrong.get(grant, ())
            if is_granted and grant.is_named and policy and not wrong.get(grant):
                told += _refused(policy, grant, found[grant][0])
        mended.append(spec if told or not found else _mended(spec, found))
        told += [] if told else _contradictions(mended[-1])
        problems += [problem(spec, "access", *finding) for finding in told]
    if problems:
        raise SpecError(sorted(problems, key=lambda one: one.row or 0))
    return tuple(mended), {one.id: one for who in found.values() for one in who}


def with_names(text: str, principals: Mapping[str, Principal]) -> str:
    """Return a text in which the name of each known principal stands before its id."""

    def told(match: re.Match[str]) -> str:
        one = principals.get(match[0].lower())
        return f"{one.name} ({match[0]})" if one and one.name != match[0] else match[0]

    return GUID.sub(told, text) if principals else text


def _grants(spec: NamespaceSpec) -> Iterator[AccessGrant]:
    yield from spec.access
    yield from spec.revoked


def _look_up(grants: Iterable[AccessGrant], directory: Directory) -> _Found:
    by_id = directory.by_ids({one.principal_id for one in grants if not one.is_named})
    by_name = {}
    for kind in {one.principal_type for one in grants if one.is_named}:
        names = {one.principal_id for one in grants if one.is_named and one.principal_type is kind}
        by_name[kind] = directory.named(kind, {name.lower() for name in names})
    known = {one: [by_id[one.principal_id]] for one in grants if one.principal_id in by_id}
    for one in grants:
        called = by_name[one.principal_type] if one.is_named else {}
        known.setdefault(one, [*called.get(one.principal_id.lower(), ())])
    return known


def _facts(grant: AccessGrant, **more: Any) -> Mapping[str, Any]:
    return {"asked": grant.principal_id, "kind": KIND_WORDS[grant.principal_type], **more}


def _findings(
    grant: AccessGrant, who: Sequence[Principal], directory: Directory | None
) -> Iterator[_Finding]:
    """Yield what is wrong with whom a role is given to, or by name taken from.

    Args:
        directory: is asked who may be meant; None for no more of that.
    """
    asked = grant.principal_id
    if len(who) > 1:
        everybody = ", ".join(map(_described, who))
        meant = " or ".join(f"{KIND_WORDS[one.kind]}:{one.id}" for one in who)
        yield "name-ambiguous", _facts(grant, all=everybody, meant=meant)
    elif who and who[0].kind is not grant.principal_type:
        meant = f"{KIND_WORDS[who[0].kind]}:{asked}"
        yield "other-kind", _facts(grant, who=_described(who[0]), meant=meant)
    elif not who and grant.is_named:
        begins = directory.search(asked[:ALIKE_LETTERS]) if directory else []
        alike = {one.name: one for one in begins}
        one = alike.get(nearest(asked, alike))
        meant = f"{KIND_WORDS[one.kind]}:{one.name}" if one else "a name of the directory, or an id"
        yield "name-unknown", _facts(grant, meant=meant)
    elif not who:  # the application's id is another than that of its service principal
        kind = PrincipalType.SERVICE_PRINCIPAL
        called = directory.named(kind, [asked]) if directory else {}
        meant = " or ".join(f"sp:{one.id}" for one in called.get(asked, ()))
        yield "id-of-application" if meant else "id-unknown", _facts(grant, meant=meant)


def _refused(policy: Policy, grant: AccessGrant, who: Principal) -> Iterator[_Finding]:
    for _, (what, fix) in policy.principal_violations(replace(grant, principal_id=who.id)):
        yield "not-allowed", _facts(grant, what=what, meant=fix)


def _described(one: Principal) -> str:
    about = ", ".join(filter(None, (one.id, one.handle)))
    return f"{KIND_WORDS[one.kind]} {one.name} ({about})"


def _mended(spec: NamespaceSpec, found: _Found) -> NamespaceSpec:
    """Return the request with ids for names; a role that is written twice counts once."""

    def of(grants: Iterable[AccessGrant]) -> tuple[AccessGrant, ...]:
        ids = (replace(g, principal_id=found[g][0].id) if g.is_named else g for g in grants)
        return tuple(dict.fromkeys(ids))

    own = replace(spec, access=of(spec.access), revoked=of(spec.revoked))
    if (new := spec.when_new) is None:
        return own
    given, taken = ({one.key for one in grants} for grants in (own.access, own.revoked))
    access, revoked = of(new.access), of(new.revoked)  # the row's own word wins over its tier's
    new = replace(
        new,
        access=tuple(one for one in access if one.key not in taken),
        revoked=tuple(one for one in revoked if one.key not in given),
    )
    return replace(own, when_new=new)


def _contradictions(spec: NamespaceSpec) -> Iterator[_Finding]:
    """Yield the roles that are given and taken at once, once by name and once by id."""
    taken = {grant.key for grant in spec.revoked}
    yield from (("both", {"asked": grant_text(g)}) for g in spec.access if g.key in taken)
