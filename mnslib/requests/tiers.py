"""Tiers: named sizes that a row may take its values from.

A tier fills what the row leaves empty on a new managed namespace: cell by cell, key by key in
labels, annotations and tags; access adds up. An existing one keeps what it has, as an empty cell
says, so there the tier changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnslib.errors import nearest
from mnslib.models import Ensure, NamespaceSpec
from mnslib.requests.columns import VALUE_COLUMNS, RequestValues, limit_findings, read_settings
from mnslib.requests.rules import CellError, refuse, show

Tiers = Mapping[str, RequestValues]


def read_tiers(path: Path) -> Tiers:
    """Return the tiers of a YAML file by name: each a mapping of columns to values.

    Raises:
        SpecError: with every mistake of the file.
    """
    found: Tiers = read_settings(path, dict[str, RequestValues], VALUE_COLUMNS)
    return found


def with_tier(spec: NamespaceSpec, tiers: Tiers | None) -> NamespaceSpec:
    """Return the request with what its tier says for a new namespace; the row's own values win.

    Raises:
        CellError: if there is no such tier, or row and tier together make no sense.
    """
    if not spec.tier:
        return spec
    if tiers is None:
        message = f"the tier {show(spec.tier)} is nowhere: tiers_file is empty"
        raise refuse(message, "the four amounts")
    if spec.tier not in tiers:
        known = nearest(spec.tier, tiers) or ", ".join(sorted(tiers))
        raise refuse(f"there is no tier {show(spec.tier)}", known)
    if spec.ensure is Ensure.ABSENT:
        return spec
    said = tiers[spec.tier].said()
    for name, other in (("access", spec.revoked), ("revoked", spec.access)):
        own_keys = {grant.key for grant in other}  # what the row says of a role wins
        said[name] = tuple(grant for grant in said[name] if grant.key not in own_keys)
    both = replace(spec, **{name: _both(said[name], getattr(spec, name)) for name in said})
    if findings := list(limit_findings(both.quota)):
        raise CellError((f"with the tier's values {what}", fix) for what, fix in findings)
    return replace(spec, when_new=both)


def _both(of_tier: Any, of_row: Any) -> Any:
    if isinstance(of_tier, Mapping):
        return {**of_tier, **of_row}
    if isinstance(of_tier, tuple):
        return (*of_row, *(grant for grant in of_tier if grant not in of_row))
    return of_row or of_tier
