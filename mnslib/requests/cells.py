"""The small languages inside a cell: `key=value;key-` and `group:<object id>=<role>;...=<role>-`.

Each reader takes the text of a cell or what a notebook's parameter holds (a mapping, a list), and
raises `CellError` with every mistake in it. Knows nothing of files, rows or columns.

    >>> read_labels("owner=crm;contact-")
    {'owner': 'crm', 'contact': None}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from mnslib.errors import nearest
from mnslib.models import BUILT_IN_ROLES, ROLE_SHORT_NAMES, AccessGrant, PrincipalType
from mnslib.requests.rules import (
    MOST_TAGS,
    CellError,
    Finding,
    annotation_size_findings,
    is_guid,
    label_findings,
    metadata_key_findings,
    refuse,
    show,
    tag_findings,
)

Value = TypeVar("Value")

Pairs = dict[str, str | None]
"""Value by key; None removes the key."""

PRINCIPAL_KINDS = {
    "group": PrincipalType.GROUP,
    "user": PrincipalType.USER,
    "sp": PrincipalType.SERVICE_PRINCIPAL,
}

_NEVER_ROLES = {"Reader": "reader", "Contributor": "contributor", "Owner": "admin"}
"""Azure's own roles, which reach further than a namespace, and the short form meant instead."""


@dataclass(frozen=True, slots=True)
class Access:
    """The role assignments that a cell asks for, and those that it takes away."""

    granted: tuple[AccessGrant, ...] = ()
    revoked: tuple[AccessGrant, ...] = ()


def read_labels(cell: object) -> Pairs:
    """Return labels by key."""
    pairs, findings = _pairs(cell)
    findings += [found for item in pairs.items() for found in label_findings(*item)]
    return _unless(findings, pairs)


def read_annotations(cell: object) -> Pairs:
    """Return annotations by key; a value may be any text."""
    pairs, findings = _pairs(cell)
    findings += [found for key in pairs for found in metadata_key_findings(key)]
    findings += annotation_size_findings(pairs.items())
    return _unless(findings, pairs)


def read_tags(cell: object) -> Pairs:
    """Return ARM tags by name; Azure ignores the case of a name, so two spellings are one tag."""
    pairs, findings = _pairs(cell)
    findings += [found for item in pairs.items() for found in tag_findings(*item)]
    spelled: dict[str, str] = {}
    for name in pairs:
        if (first := spelled.setdefault(name.lower(), name)) != name:
            findings.append((f"{show(first)} and {show(name)} are the same tag to Azure", ""))
    if len(pairs) > MOST_TAGS:
        findings.append((f"{len(pairs)} tags; Azure takes at most {MOST_TAGS} on a resource", ""))
    return _unless(findings, pairs)


def read_access(cell: object) -> Access:
    """Return the role assignments to make and to take away, in the order written."""
    if isinstance(cell, str):
        entries: list[object] = [part.strip() for part in cell.split(";") if part.strip()]
    elif isinstance(cell, list | tuple):
        entries = list(cell)
    else:
        raise refuse(f"{show(cell)} is not a list of grants", "group:<object id>=<role>")
    granted: list[AccessGrant] = []
    revoked: list[AccessGrant] = []
    findings: list[Finding] = []
    for entry in entries:
        text = str(entry).strip()
        own, other, does, done = (
            (revoked, granted, "removes", "removed")
            if text.endswith("-")
            else (granted, revoked, "grants", "granted")
        )
        grant = _grant(text, findings)
        if grant is None:
            continue
        if grant in own:
            findings.append((f"{show(entry)} {does} a role that is {done} here already", ""))
        elif grant.key in {one.key for one in other}:
            message = f"{show(entry)}: this role is both granted and removed here"
            findings.append((message, "the one that is meant"))
        else:
            own.append(grant)
    return _unless(findings, Access(tuple(granted), tuple(revoked)))


def _unless(findings: list[Finding], value: Value) -> Value:
    if findings:
        raise CellError(findings)
    return value


def _pairs(cell: object) -> tuple[Pairs, list[Finding]]:
    if isinstance(cell, Mapping):
        return _checked(cell.items())
    if not isinstance(cell, str):
        raise refuse(f"{show(cell)} is not a mapping", "key=value;key=value")
    if cell.startswith("{"):
        return _checked(_json_items(cell))
    return _checked(_split(cell))


def _json_items(cell: str) -> list[tuple[str, object]]:
    try:
        items = json.loads(cell, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise refuse(
            f"it starts with {{ but is no JSON object: {error}", '{"key": "value"}'
        ) from error
    return list(items)


def _split(cell: str) -> Iterable[tuple[object, object]]:
    for part in cell.split(";"):
        entry = part.strip()
        key, equals, value = entry.partition("=")
        if equals:
            yield key.strip(), value.strip()
        elif entry.endswith("-"):
            yield entry[:-1].strip(), None
        elif entry:
            # an object that is no text stands for "no value was written"
            yield entry, ...


def _checked(items: Iterable[tuple[object, object]]) -> tuple[Pairs, list[Finding]]:
    pairs: Pairs = {}
    findings: list[Finding] = []
    for key, value in items:
        name = str(key)
        if value is ...:
            message = f"{show(name)} has no value"
            findings.append((message, f"{name}=<value>, {name}= for an empty one or {name}-"))
        elif value is not None and not isinstance(value, str):
            quoted = f'"{json.dumps(value)}"' if isinstance(value, int | float) else ""
            findings.append((f"the value of {show(name)} is no text", quoted))
        elif name in pairs:
            findings.append((f"{show(name)} is written twice", ""))
        else:
            pairs[name] = value
    return pairs, findings


def _grant(entry: str, findings: list[Finding]) -> AccessGrant | None:
    target, equals, role = (part.strip() for part in entry.removesuffix("-").rpartition("="))
    kind, colon, principal = (part.strip() for part in target.partition(":"))
    if not equals or not colon or not principal or not role:
        findings.append((f"{show(entry)} is not a grant", "group:<object id>=<role>"))
        return None
    found: list[Finding] = []
    if kind not in PRINCIPAL_KINDS:
        words = nearest(kind, PRINCIPAL_KINDS) or "group, user or sp"
        found.append((f"{show(kind)} is not a kind of principal", words))
    if not is_guid(principal):
        message = f"{show(principal)} is a name; granting by name is not built yet"
        found.append((message, "the object id, a GUID"))
    full_name = ROLE_SHORT_NAMES.get(role, role)
    if full_name not in BUILT_IN_ROLES:
        found.append(_role_finding(role))
    findings += found
    if found:
        return None
    return AccessGrant(
        principal_type=PRINCIPAL_KINDS[kind],
        principal_id=principal.lower(),
        role=full_name,
        role_guid=BUILT_IN_ROLES[full_name],
    )


def _role_finding(role: str) -> Finding:
    if role in _NEVER_ROLES:
        message = f"{role} is Azure's own role and says nothing about a namespace"
        return message, _NEVER_ROLES[role]
    known = [*ROLE_SHORT_NAMES, *BUILT_IN_ROLES]
    return f"{show(role)} is not a role granted here", (
        nearest(role, known) or ", ".join(ROLE_SHORT_NAMES)
    )


def grant_text(grant: AccessGrant) -> str:
    """Return a role assignment as a cell asks for it."""
    kind = next(word for word, kind in PRINCIPAL_KINDS.items() if kind is grant.principal_type)
    short = next(short for short, name in ROLE_SHORT_NAMES.items() if name == grant.role)
    return f"{kind}:{grant.principal_id}={short}"


def revocation_text(grant: AccessGrant) -> str:
    """Return a role assignment as a cell takes it away."""
    return f"{grant_text(grant)}-"


def written(value: object) -> str:
    """Return a value as the text of a cell, which its reader reads back as the same value.

    What `key=value;key=value` cannot say, or a spreadsheet might run, is written as JSON.
    """
    if isinstance(value, list | tuple):
        return ";".join(map(str, value))
    if not isinstance(value, Mapping):
        return "" if value is None else str(value)
    text = ";".join(f"{k}-" if v is None else f"{k}={v}" for k, v in value.items())
    if not value or (text[:1].isalnum() and text.isprintable() and dict(_split(text)) == value):
        return text
    as_json = json.dumps(value, ensure_ascii=False)
    return as_json if as_json.isprintable() else json.dumps(value)
