"""The small languages inside a cell: `key=value;key-` and `group:<name or id>=<role>;...=<role>-`.

Each reader takes the text of a cell or what a notebook's parameter holds (a mapping, a list), and
raises `CellError` with every mistake in it. Knows nothing of files, rows or columns.

    >>> read_pairs("labels", "owner=crm;contact-")
    {'owner': 'crm', 'contact': None}
"""

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from mnslib.errors import nearest
from mnslib.models import ROLE_SHORT_NAMES, AccessGrant, PrincipalType
from mnslib.quantities import in_form, parse_quantity, server_text
from mnslib.requests import rules
from mnslib.requests.rules import CellError, Finding, refuse, say, show
from mnslib.requests.signs import bare, examined
from mnslib.resource_ids import GUID

Value = TypeVar("Value")

Pairs = dict[str, str | None]
"""Value by key; None removes the key."""

Access = dict[AccessGrant, bool]
"""The role assignments that a cell speaks of: whether it asks for each, or takes it away."""

PRINCIPAL_KINDS = {
    "group": PrincipalType.GROUP,
    "user": PrincipalType.USER,
    "sp": PrincipalType.SERVICE_PRINCIPAL,
}
AUTO, REMOVED = "auto", "-"
"""What stands in place of a LimitRange's amounts: worked out from the quota, or none any more."""

KIND_WORDS = {kind: word for word, kind in PRINCIPAL_KINDS.items()}
_SHORT_NAMES = {name: short for short, name in ROLE_SHORT_NAMES.items()}

_REFUSED: Mapping[str, Callable[[Pairs], Iterable[Finding]]] = {
    "labels": rules.label_findings,
    "annotations": rules.annotation_findings,
    "tags": rules.tag_findings,
    "companion_quota": rules.companion_findings,
}


def read_pairs(column: str, cell: object) -> Pairs:
    """Return labels, annotations, tags or a quota's amounts by key, as their column says."""
    pairs: Pairs = {}
    findings: list[Finding] = []
    for key, value in _items(cell):
        if column == "companion_quota" and type(value) is int:
            value = str(value)
        name, in_key = examined(str(key), is_name=True)
        text, in_value = examined(value) if isinstance(value, str) else ("", "")
        if isinstance(value, int | float):
            text = json.dumps(value)
        is_taken = not any(_REFUSED[column]({name: text}))
        if in_key:
            findings.append(say("key_signs", name if is_taken else "", odd=in_key))
        if in_value:
            meant = text if is_taken else ""
            findings.append(say("value_signs", meant, key=show(name), odd=in_value))
        if value is ...:
            own = name if is_taken else "key"
            findings.append(say("no_value", key=show(name), key_written=own))
        elif value is not None and not isinstance(value, str):
            fix = f'"{text}"' if text and is_taken else ""
            findings.append(say("no_text_value", fix, key=show(name)))
        elif name in pairs:
            findings.append(say("key_twice", key=show(name)))
        elif not in_key and not in_value:
            pairs[name] = value
    _unless([*findings, *_REFUSED[column](pairs)], pairs)
    if column == "companion_quota":  # as it reads back
        return {key: v and quota_text(key, parse_quantity(v)) for key, v in pairs.items()}
    return pairs


def read_limit_range(text: str) -> str:
    """Return `auto`, `-` or the two pairs of a LimitRange in one form."""
    if text in ("", AUTO, REMOVED):
        return text
    pairs = [part.split("/") for part in text.split()]
    if [len(pair) for pair in pairs] != [2, 2]:
        raise refuse(*say("no_limit_range", text=show(text)))
    kinds = zip(("cpu", "memory"), pairs, strict=True)
    amounts = [rules.amount(kind, one) for kind, pair in kinds for one in pair]
    if amounts[1] < amounts[0] or amounts[3] < amounts[2]:
        raise refuse(*say("limit_range_below", text=show(text)))
    return limit_range_text(amounts)


def limit_range_text(amounts: Iterable[Decimal]) -> str:
    """Return four amounts in the order of `QUOTA_FIELDS` as a cell has them: `1/2 1Gi/4Gi`."""
    forms = ("decimal", "decimal", "binary", "binary")
    texts = [server_text(in_form(*pair)) for pair in zip(amounts, forms, strict=True)]
    return f"{texts[0]}/{texts[1]} {texts[2]}/{texts[3]}"


def quota_text(key: str, amount: Decimal) -> str:
    """Return what a key of a ResourceQuota allows as a cell has it: `20`, of storage `100Gi`."""
    return server_text(in_form(amount, "binary")) if key.endswith("storage") else f"{amount:f}"


def read_access(cell: object) -> Access:
    """Return the role assignments to make and to take away, in the order written."""
    entries = cell.split(";") if isinstance(cell, str) else cell
    if not isinstance(entries, list | tuple):
        raise refuse(*say("no_grants", cell=show(cell)))
    found: Access = {}
    findings: list[Finding] = []
    for entry in filter(None, (bare(str(entry)) for entry in entries)):
        text, odd = examined(entry, is_name=True)
        is_granted = not text.endswith("-")
        try:
            grant = _grant(text.removesuffix("-"))
        except CellError as error:
            findings += [*([say("grant_signs", odd=odd)] if odd else ()), *error.findings]
            continue
        if odd:
            findings.append(say("grant_signs", text, odd=odd))
        if found.get(grant) is is_granted:
            does, done = ("grants", "granted") if is_granted else ("removes", "removed")
            findings.append(say("grant_twice", grant=show(text), does=does, done=done))
        elif any(one.key == grant.key and found[one] is not is_granted for one in found):
            findings.append(say("grant_both", grant=show(text)))
        else:
            found[grant] = is_granted
    return _unless(findings, found)


def _unless(findings: list[Finding], value: Value) -> Value:
    if findings:
        raise CellError(findings)
    return value


def _items(cell: object) -> Iterable[tuple[Any, Any]]:
    if isinstance(cell, Mapping):
        return cell.items()
    if not isinstance(cell, str):
        raise refuse(*say("no_pairs", cell=show(cell)))
    if not cell.startswith("{"):
        return _split(cell)
    try:
        return list(json.loads(cell, object_pairs_hook=list))
    except (ValueError, RecursionError) as error:
        raise refuse(*say("no_json", error=error)) from error


def _split(cell: str) -> Iterable[tuple[str, object]]:
    for part in cell.split(";"):
        entry = bare(part)
        key, equals, value = entry.partition("=")
        if equals:
            yield bare(key), bare(value)
        elif entry.endswith("-"):
            yield bare(entry[:-1]), None
        elif entry:
            # an object that is no text stands for "no value was written"
            yield entry, ...


def _grant(entry: str) -> AccessGrant:
    target, _, role = (part.strip() for part in entry.rpartition("="))
    kind, _, principal = (part.strip() for part in target.partition(":"))
    if not principal or not role:
        raise refuse(*say("no_grant", grant=show(entry)))
    findings: list[Finding] = []
    if kind not in PRINCIPAL_KINDS:
        words = nearest(kind, PRINCIPAL_KINDS) or "group, user or sp"
        findings.append(say("principal_kind", words, kind=show(kind)))
    try:
        full_name = rules.role(role)
    except CellError as error:
        raise CellError([*findings, *error.findings]) from error
    of_kind = PRINCIPAL_KINDS.get(kind, PrincipalType.GROUP)
    principal = principal.lower() if GUID.fullmatch(principal) else principal
    return _unless(findings, AccessGrant.of(of_kind, principal, full_name))


def grant_text(grant: AccessGrant, *, is_granted: bool = True) -> str:
    """Return a role assignment as a cell asks for it, or takes it away."""
    text = f"{KIND_WORDS[grant.principal_type]}:{grant.principal_id}={_SHORT_NAMES[grant.role]}"
    return text if is_granted else f"{text}-"


def pairs_text(pairs: Mapping[str, Any]) -> str:
    """Return pairs as the text of a cell, which `read_pairs` reads back.

    What `key=value;key=value` cannot say, or a spreadsheet might run, is written as JSON.
    """
    text = ";".join(f"{k}-" if v is None else f"{k}={v}" for k, v in pairs.items())
    if not pairs or (text[:1].isalnum() and text.isprintable() and dict(_split(text)) == pairs):
        return text
    as_json = json.dumps(pairs, ensure_ascii=False)
    return as_json if as_json.isprintable() else json.dumps(pairs)
