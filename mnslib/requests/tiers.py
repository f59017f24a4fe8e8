"""Tiers: named sizes that a row may take its values from.

A tier fills what the row leaves empty on a new managed namespace: cell by cell, key by key in
labels, annotations and tags; access adds up. An existing one keeps what it has, as an empty cell
says, so there the tier changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import Ensure, NamespaceSpec
from mnslib.requests.columns import (
    SECRET,
    VALUE_COLUMNS,
    RequestValues,
    cell_findings,
    is_mentioned,
    limit_findings,
)
from mnslib.requests.files import read_yaml_mapping
from mnslib.requests.rules import CellError, Finding, problem, refuse, show
from mnslib.secrets import looks_secret

Tiers = Mapping[str, RequestValues]


def read_tiers(path: Path) -> Tiers:
    """Return the tiers of a YAML file by name: each a mapping of columns to values.

    Raises:
        SpecError: with every mistake of the file.
    """
    tiers: dict[str, RequestValues] = {}
    found: list[Problem] = []
    for tier, (row, values) in read_yaml_mapping(path).items():
        findings: list[tuple[str, Finding]] = []
        if not isinstance(values, dict):
            findings.append(("", ("the tier is no mapping of columns to values", "its values")))
        elif secret := [column for column, value in values.items() if looks_secret(value)]:
            findings += [(column, SECRET) for column in secret]
        else:
            said = {
                column: value for column, value in values.items() if is_mentioned(column, value)
            }
            try:
                tiers[tier] = RequestValues.read(said)
            except ValidationError as error:
                findings += cell_findings(error, VALUE_COLUMNS)
        for column, finding in findings:
            found.append(problem(path.name, row, f"{tier}.{column}".strip(".")[:120], finding))
    if found:
        raise SpecError(found)
    return tiers


def with_tier(spec: NamespaceSpec, tiers: Tiers | None) -> NamespaceSpec:
    """Return the request with what its tier says for a new namespace; the row's own values win.

    Raises:
        CellError: if there is no such tier, or row and tier together make no sense.
    """
    if not spec.tier:
        return spec
    if tiers is None:
        raise refuse(
            f"the tier {show(spec.tier)} is nowhere: tiers_file is empty", "the four amounts"
        )
    if spec.tier not in tiers:
        known = nearest(spec.tier, tiers) or ", ".join(sorted(tiers))
        raise refuse(f"there is no tier {show(spec.tier)}", known)
    if spec.ensure is Ensure.ABSENT:
        return spec
    said = tiers[spec.tier].said()
    for name, other in (("access", spec.revoked), ("revoked", spec.access)):
        own_keys = {grant.key for grant in other}  # what the row says of a role wins
        said[name] = tuple(grant for grant in said[name] if grant.key not in own_keys)
    own = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name in said}
    both = replace(spec, **{name: _both(said[name], value) for name, value in own.items()})
    if findings := limit_findings(both.quota, both.typed):
        raise CellError((f"with the tier's values {what}", fix) for what, fix in findings)
    return replace(spec, when_new=both)


def _both(of_tier: Any, of_row: Any) -> Any:
    if isinstance(of_tier, Mapping):
        return {**of_tier, **of_row}
    if isinstance(of_tier, tuple):
        return (*of_row, *(grant for grant in of_tier if grant not in of_row))
    return of_row or of_tier
