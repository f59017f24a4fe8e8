"""The policy file: what the requests of an organization have to keep to, beyond what Azure takes.

It looks at requests only, so that a mistake has its row and column: a required label must stand in
the row, or in its tier, also where the namespace has it already. A request with `ensure: absent` is
not looked at. Knows nothing of what is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import (
    BUILT_IN_ROLES,
    NEW_NAMESPACE_POLICIES,
    QUOTA_FIELDS,
    ROLE_SHORT_NAMES,
    Ensure,
    NamespaceSpec,
    format_quota_value,
)
from mnslib.requests import rules
from mnslib.requests.cells import PRINCIPAL_KINDS
from mnslib.requests.columns import COLUMN_WORDS
from mnslib.requests.files import read_yaml_mapping
from mnslib.requests.rules import CellError, Finding, problem, show

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


def _pattern(text: object) -> re.Pattern[str]:
    try:
        return re.compile(str(text))
    except re.error as error:
        raise ValueError(f"{show(text)} is no regular expression: {error}") from error


def _role(text: object) -> str:
    name = ROLE_SHORT_NAMES.get(str(text), str(text))
    if name not in BUILT_IN_ROLES:
        raise ValueError(f"{show(text)} is not a role granted here: {', '.join(ROLE_SHORT_NAMES)}")
    return name


def _maximum(quota: object) -> dict[str, Decimal]:
    if not isinstance(quota, Mapping) or not set(quota) <= set(QUOTA_FIELDS):
        raise ValueError(f"write amounts for some of {', '.join(QUOTA_FIELDS)}")
    try:
        return {
            name: (rules.cpu_cores if name.startswith("cpu") else rules.memory_bytes)(str(amount))
            for name, amount in quota.items()
        }
    except CellError as error:
        raise ValueError(f"{error}; write {error.findings[0][1]}") from error


def _words(policies: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(policies, Mapping) or not set(policies) <= set(NEW_NAMESPACE_POLICIES):
        raise ValueError(f"write words for some of {', '.join(NEW_NAMESPACE_POLICIES)}")
    for column, words in policies.items():
        known = [word.value for word in COLUMN_WORDS[column]]
        if not isinstance(words, list) or not words or not set(words) <= set(known):
            raise ValueError(f"{column} takes a list of {', '.join(known)}")
    return {column: tuple(words) for column, words in policies.items()}


def _values(required: object) -> object:
    """Return required keys; nothing, or an empty list, stands for any value."""
    if not isinstance(required, Mapping):
        return required
    return {key: [] if values in (None, "") else values for key, values in required.items()}


Required = Annotated[dict[str, list[str]], BeforeValidator(_values)]


class Naming(BaseModel):
    """How namespaces are named; the pattern has to match the whole name."""

    model_config = _STRICT

    pattern: Annotated[re.Pattern[str], BeforeValidator(_pattern)]
    example: str


class Policy(BaseModel):
    """What a policy file says; what it does not mention is free."""

    model_config = _STRICT

    naming: Naming | None = None
    required_labels: Required = Field(default_factory=dict)
    required_tags: Required = Field(default_factory=dict)
    allowed_tiers: list[str] | None = None
    maximum_quota: Annotated[dict[str, Decimal], BeforeValidator(_maximum)] = Field(
        default_factory=dict
    )
    allowed_roles: list[Annotated[str, BeforeValidator(_role)]] | None = None
    allowed_principals: list[Literal["group", "user", "sp"]] | None = None
    allowed_policies: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_words)] = Field(
        default_factory=dict
    )

    def violations(self, spec: NamespaceSpec) -> Iterator[tuple[str, Finding]]:
        """Yield the column and what is wrong with it, for each rule that the request breaks."""
        if spec.ensure is Ensure.ABSENT:
            return
        full = spec.in_full
        name = spec.id.namespace_name
        if self.naming and not self.naming.pattern.fullmatch(name):
            message = f"{show(name)} does not follow the policy's pattern"
            yield "namespace_name", (message, f"a name such as {self.naming.example}")
        if spec.tier and self.allowed_tiers is not None and spec.tier not in self.allowed_tiers:
            message = f"the policy does not allow the tier {show(spec.tier)}"
            yield "tier", (message, " or ".join(self.allowed_tiers))
        yield from _missing("labels", self.required_labels, full.labels)
        yield from _missing("tags", self.required_tags, full.tags)
        yield from self._quota(full)
        yield from self._policies(full)
        yield from self._access(full)

    def _quota(self, spec: NamespaceSpec) -> Iterator[tuple[str, Finding]]:
        for column, most in self.maximum_quota.items():
            if column not in spec.quota:
                continue
            amount = spec.quota[column]
            if amount is None or amount > most:
                asked = "no limit" if amount is None else spec.typed[column]
                limit = format_quota_value(column, most)
                message = f"{asked} is more than the policy's maximum"
                yield column, (message, f"{limit} or less")

    def _policies(self, spec: NamespaceSpec) -> Iterator[tuple[str, Finding]]:
        for column, words in self.allowed_policies.items():
            said = getattr(spec, column)
            word = said or NEW_NAMESPACE_POLICIES[column]
            if word not in words:
                empty = "" if said else "empty means "
                message = f"{empty}{word}{'' if said else ' on a new namespace'}, which the policy"
                yield column, (f"{message} does not allow", " or ".join(words))

    def _access(self, spec: NamespaceSpec) -> Iterator[tuple[str, Finding]]:
        kinds = {kind: word for word, kind in PRINCIPAL_KINDS.items()}
        for grant in spec.access:
            kind = kinds[grant.principal_type]
            if self.allowed_roles is not None and grant.role not in self.allowed_roles:
                message = f"the policy does not allow the role {grant.role}"
                yield "access", (message, " or ".join(self.allowed_roles))
            if self.allowed_principals is not None and kind not in self.allowed_principals:
                message = f"the policy does not allow a role for a {kind}"
                yield "access", (message, " or ".join(self.allowed_principals))


def _missing(
    column: str, required: Mapping[str, Iterable[str]], said: Mapping[str, str | None]
) -> Iterator[tuple[str, Finding]]:
    fold: Callable[[str], str] = str.lower if column == "tags" else str  # names of tags ignore case
    held = {fold(key): value for key, value in said.items()}
    for key, values in required.items():
        value, allowed = held.get(fold(key)), list(values)
        fixes = " or ".join(f"{key}={word}" for word in allowed) or f"{key}=<value>"
        if not value:
            yield column, (f"the policy requires {show(key)}", fixes)
        elif allowed and value not in allowed:
            yield column, (f"the policy does not allow {show(value)} for {show(key)}", fixes)


def read_policy(path: Path) -> Policy:
    """Return the rules of a policy file.

    Raises:
        SpecError: with every mistake of the file, each with the path of what is wrong.
    """
    entries = read_yaml_mapping(path)
    try:
        policy = Policy.model_validate({name: value for name, (_, value) in entries.items()})
    except ValidationError as error:
        found = [_problem(path, entries, dict(item)) for item in error.errors(include_url=False)]
        raise SpecError(found) from error
    if policy.naming and not policy.naming.pattern.fullmatch(policy.naming.example):
        finding = ("the example does not follow the pattern", "a name that does")
        row = entries["naming"][0]
        raise SpecError([problem(path.name, row, "naming.example", finding)])
    return policy


def _problem(path: Path, entries: Mapping[str, tuple[int, Any]], item: dict[str, Any]) -> Problem:
    places = [str(part) for part in item["loc"]]
    row = entries[places[0]][0] if places[0] in entries else None
    message, fix = str(item["msg"]).removeprefix("Value error, "), ""
    if item["type"] == "extra_forbidden":
        known = Naming.model_fields if len(places) > 1 else Policy.model_fields
        message = "there is no such rule"
        fix = nearest(places[-1], known) or ", ".join(known)
    return problem(path.name, row, ".".join(places)[:120], (message, fix))
