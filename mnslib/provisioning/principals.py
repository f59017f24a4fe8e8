"""Whom requests mean: names become object ids, and ids are looked up, before anything is planned.

One batch of calls for all requests, and none where no access is asked. Plans and digests hold ids
only; what they are called goes along to be shown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import AccessGrant, NamespaceSpec, Principal, PrincipalType
from mnslib.provisioning.changes import problem
from mnslib.requests.cells import KIND_WORDS, grant_text
from mnslib.resource_ids import GUID

if TYPE_CHECKING:
    from mnslib.azure.graph import Directory
    from mnslib.requests.policy import Policy

MOST_SUGGESTED = 5
"""Unknown names for which the directory is searched for what is meant; our choice."""

ALIKE_LETTERS = 4
"""Letters at its beginning that an unknown name shares with what is meant; our choice."""

_Finding = tuple[str, Mapping[str, Any]]
_Named = Mapping[tuple[PrincipalType, str], Sequence[Principal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the directory said: principals by id and by kind and name; what unknown ones may be."""

    by_id: Mapping[str, Principal]
    by_name: _Named
    alike: Mapping[str, Sequence[Principal]]


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
    known = _look_up(grants, directory) if grants and directory else None
    problems: list[Problem] = []
    found = []
    for spec in specs:
        wrong: list[_Finding] = []
        for grant in dict.fromkeys(_grants(spec.in_full)):
            is_granted = grant in spec.in_full.access
            wrong += _findings(grant, known, policy, is_granted=is_granted)
        mended = spec if wrong or known is None else _mended(spec, known)
        wrong += [] if wrong else _contradictions(mended)
        problems += [problem(spec, "access", *finding) for finding in wrong]
        found.append(mended)
    if problems:
        raise SpecError(sorted(problems, key=lambda one: one.row or 0))
    by_id = dict(known.by_id) if known else {}
    by_id |= {one.id: one for same in (known.by_name.values() if known else ()) for one in same}
    return tuple(found), by_id


def with_names(text: str, principals: Mapping[str, Principal]) -> str:
    """Return a text in which the name of each known principal stands before its id."""

    def told(match: re.Match[str]) -> str:
        one = principals.get(match[0].lower())
        return f"{one.name} ({match[0]})" if one and one.name != match[0] else match[0]

    return GUID.sub(told, text) if principals else text


def _grants(spec: NamespaceSpec) -> Iterator[AccessGrant]:
    yield from spec.access
    yield from spec.revoked


def _look_up(grants: Iterable[AccessGrant], directory: Directory) -> _Known:
    ids, names = set(), defaultdict(set)
    for grant in grants:
        if grant.is_named:
            names[grant.principal_type].add(grant.principal_id.lower())
        else:
            ids.add(grant.principal_id)
    by_id = directory.by_ids(ids)
    by_name = {
        (kind, name): same
        for kind in names
        for name, same in directory.named(kind, names[kind]).items()
    }
    strange = sorted(ids - by_id.keys())
    alike: dict[str, Sequence[Principal]] = {}
    if strange:  # the application's id is another than that of its service principal
        alike |= directory.named(PrincipalType.SERVICE_PRINCIPAL, strange)
    unknown = {name for kind in names for name in names[kind] if (kind, name) not in by_name}
    for name in sorted(unknown)[:MOST_SUGGESTED]:
        alike[name] = directory.search(name[:ALIKE_LETTERS])
    return _Known(by_id=by_id, by_name=by_name, alike=alike)


def _findings(
    grant: AccessGrant, known: _Known | None, policy: Policy | None, *, is_granted: bool
) -> Iterator[_Finding]:
    """Yield what is wrong with whom a role is given to, or taken from."""
    word, asked = KIND_WORDS[grant.principal_type], grant.principal_id
    facts = {"asked": asked, "kind": word, "meant": ""}
    if known is None:
        if grant.is_named:
            yield "name-unverified", facts
        return
    if grant.is_named:
        same = known.by_name.get((grant.principal_type, asked.lower()), ())
        if len(same) == 1:
            if policy and is_granted:
                for what, fix in _refused(policy, replace(grant, principal_id=same[0].id)):
                    yield "not-allowed", facts | {"what": what, "meant": fix}
        elif same:
            all_of_them = ", ".join(_described(one) for one in same)
            meant = _offered(grant, same, by_id=True, is_granted=is_granted)
            yield "name-ambiguous", facts | {"all": all_of_them, "meant": meant}
        else:
            near = nearest(asked, {one.name for one in known.alike.get(asked.lower(), ())})
            alike = [one for one in known.alike.get(asked.lower(), ()) if one.name == near]
            meant = _offered(grant, alike, is_granted=is_granted)
            yield "name-unknown", facts | {"meant": meant or "a name of the directory, or an id"}
    elif is_granted and (one := known.by_id.get(asked)) is None:
        meant = _offered(grant, known.alike.get(asked, ()), by_id=True)
        yield "id-of-application" if meant else "id-unknown", facts | {"meant": meant}
    elif is_granted and one and one.kind is not grant.principal_type:
        other = _offered(grant, [one], by_id=True)
        yield "other-kind", facts | {"who": _described(one), "meant": other}


def _refused(policy: Policy, grant: AccessGrant) -> Iterator[tuple[str, str]]:
    return (finding for _, finding in policy.principal_violations(grant))


def _offered(
    grant: AccessGrant,
    principals: Sequence[Principal],
    *,
    by_id: bool = False,
    is_granted: bool = True,
) -> str:
    """Return how the role is written for each of these."""
    texts = [
        grant_text(
            replace(grant, principal_type=one.kind, principal_id=one.id if by_id else one.name),
            is_granted=is_granted,
        )
        for one in principals
    ]
    return " or ".join(texts)


def _described(one: Principal) -> str:
    about = ", ".join(filter(None, (one.id, one.handle)))
    return f"{KIND_WORDS[one.kind]} {one.name} ({about})"


def _mended(spec: NamespaceSpec, known: _Known) -> NamespaceSpec:
    """Return the request with ids for names; a role that is written twice counts once."""

    def of(grants: Iterable[AccessGrant]) -> tuple[AccessGrant, ...]:
        ids = {grant: grant.principal_id for grant in grants}
        for grant in ids:
            if grant.is_named:
                name = grant.principal_type, grant.principal_id.lower()
                ids[grant] = known.by_name[name][0].id
        return tuple(dict.fromkeys(replace(one, principal_id=guid) for one, guid in ids.items()))

    own = replace(spec, access=of(spec.access), revoked=of(spec.revoked))
    if spec.when_new is None:
        return own
    new = spec.when_new  # what the row says of a role wins over its tier
    given, taken = ({one.key for one in grants} for grants in (own.access, own.revoked))
    new = replace(
        new,
        access=tuple(one for one in of(new.access) if one.key not in taken),
        revoked=tuple(one for one in of(new.revoked) if one.key not in given),
    )
    return replace(own, when_new=new)


def _contradictions(spec: NamespaceSpec) -> Iterator[_Finding]:
    """Yield the roles that are given and taken at once, once by name and once by id."""
    taken = {grant.key for grant in spec.revoked}
    for grant in spec.access:
        if grant.key in taken:
            yield "both", {"asked": grant_text(grant)}
