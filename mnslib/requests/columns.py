"""The columns of a request file: what each may hold. In words: `columns.yaml`.

The one place that knows the columns. A field that is not set was not mentioned; text is never
evaluated. Knows nothing of files or of what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mnslib.errors import nearest
from mnslib.models import (
    QUOTA_FIELDS,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NamespaceSpec,
    NetworkRule,
    Origin,
    limits_below_request,
)
from mnslib.requests import cells, rules
from mnslib.requests.rules import CellError, Finding, refuse, show
from mnslib.resource_ids import ClusterId, ManagedNamespaceId

REMOVE = "-"
"""What a quota cell holds to remove the value."""

ANSWER_COLUMNS = ("status", "outcome", "duration_seconds", "message")
"""What a run adds to the file that it gives back; passed over when that file is read."""

SECRET: Finding = (
    "what is written here looks like it holds a secret",
    "where it is kept, never the secret itself",
)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(f"{show(value)} is no text")
    return str(value).strip()


def _quota_value(value: object, info: ValidationInfo) -> Decimal | None:
    if value is None or _text(value) == REMOVE:
        return None
    read = rules.cpu_cores if str(info.field_name).startswith("cpu") else rules.memory_bytes
    return read(_text(value))


def _owner(owner: str) -> str:
    if findings := rules.label_value_findings(owner):
        raise CellError(findings)
    return owner


def _read(reader: Callable[[str], object]) -> PlainValidator:
    """Return the validator of a cell that holds one text."""
    return PlainValidator(lambda value: reader(_text(value)))


def _word(words: type[StrEnum]) -> PlainValidator:
    return _read(lambda text: rules.one_of(text, words))


Quantity = Annotated[Decimal | None, PlainValidator(_quota_value)]
Rule = Annotated[NetworkRule | None, _word(NetworkRule)]


class RequestValues(BaseModel):
    """What a request may say about a namespace, whichever it is; a tier may say it as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    cpu_request: Quantity = None
    cpu_limit: Quantity = None
    memory_request: Quantity = None
    memory_limit: Quantity = None
    ingress_policy: Rule = None
    egress_policy: Rule = None
    adoption_policy: Annotated[AdoptionPolicy | None, _word(AdoptionPolicy)] = None
    delete_policy: Annotated[DeletePolicy | None, _word(DeletePolicy)] = None
    labels: Annotated[cells.Pairs, PlainValidator(cells.read_labels)] = Field(default_factory=dict)
    annotations: Annotated[cells.Pairs, PlainValidator(cells.read_annotations)] = Field(
        default_factory=dict
    )
    tags: Annotated[cells.Pairs, PlainValidator(cells.read_tags)] = Field(default_factory=dict)
    owner: Annotated[str | None, _read(_owner)] = None
    access: Annotated[cells.Access, PlainValidator(cells.read_access)] = cells.Access()

    @field_validator("cpu_limit", "memory_limit")
    @classmethod
    def _not_below_request(cls, limit: Decimal | None, info: ValidationInfo) -> Decimal | None:
        field = str(info.field_name)
        quota = info.data | {field: limit}
        if any(limits_below_request(quota)):
            raise CellError(limit_findings(quota, _typed(info.context or {})))
        return limit

    @field_validator("owner")
    @classmethod
    def _same_owner_in_labels(cls, owner: str | None, info: ValidationInfo) -> str | None:
        labels = info.data.get("labels", {})
        if "owner" in labels and labels["owner"] != owner:
            other = "removes it" if labels["owner"] is None else f"says {show(labels['owner'])}"
            raise refuse(
                f"the owner is {show(owner)} here, but the label owner in labels {other}",
                "the owner in one of the two",
            )
        return owner

    _typed: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Keep the amounts as they were written."""
        self._typed.update(_typed(context or {}))

    @classmethod
    def read(cls, cells: Mapping[str, Any]) -> Self:
        """Return the values of a record; raises ValidationError with every mistake in it."""
        return cls.model_validate(cells, context=cells)

    def said(self) -> dict[str, Any]:
        """Return what is mentioned, by field of `NamespaceSpec`; `owner` becomes its label."""
        owner = {} if self.owner is None else {"owner": self.owner}
        mentioned = self.model_fields_set
        return {
            "quota": {name: getattr(self, name) for name in QUOTA_FIELDS if name in mentioned},
            "ingress_policy": self.ingress_policy,
            "egress_policy": self.egress_policy,
            "adoption_policy": self.adoption_policy,
            "delete_policy": self.delete_policy,
            "labels": {**self.labels, **owner},
            "annotations": self.annotations,
            "tags": self.tags,
            "access": self.access.granted,
            "revoked": self.access.revoked,
            "typed": self._typed,
        }


class RequestRow(RequestValues):
    """One row of a request file."""

    subscription_id: Annotated[str, _read(rules.subscription_id)]
    resource_group: Annotated[str, _read(rules.resource_group)]
    cluster_name: Annotated[str, _read(rules.cluster_name)]
    namespace_name: Annotated[str, _read(rules.namespace_name)]
    tier: Annotated[str, _read(str)] = ""
    ensure: Annotated[Ensure, _word(Ensure)] = Ensure.PRESENT

    @property
    def id(self) -> ManagedNamespaceId:
        """The managed namespace that the row is about."""
        cluster = ClusterId(self.subscription_id, self.resource_group, self.cluster_name)
        return cluster.namespace(self.namespace_name)

    def to_spec(self, origin: Origin) -> NamespaceSpec:
        """Return the request, without what its tier would add."""
        return NamespaceSpec(
            id=self.id, origin=origin, ensure=self.ensure, tier=self.tier, **self.said()
        )


ID_COLUMNS = ("subscription_id", "resource_group", "cluster_name", "namespace_name")
VALUE_COLUMNS = tuple(RequestValues.model_fields)
COLUMNS = (*ID_COLUMNS, "tier", *VALUE_COLUMNS, "ensure")
"""The columns of a request file, in the order of the documentation."""

COLUMN_WORDS: dict[str, type[StrEnum]] = {
    "ingress_policy": NetworkRule,
    "egress_policy": NetworkRule,
    "adoption_policy": AdoptionPolicy,
    "delete_policy": DeletePolicy,
    "ensure": Ensure,
}
"""The columns that take one word of a few."""


@cache
def column_words() -> Mapping[str, Mapping[str, str]]:
    """Return what `columns.yaml` says of each column: `help`, and an `example`."""
    text = resources.files("mnslib.requests").joinpath("columns.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def limit_findings(quota: Mapping[str, Decimal | None], typed: Mapping[str, str]) -> list[Finding]:
    """Return the findings of limits below their requests, in the words that were typed."""
    return [
        (
            f"{limit} {typed[limit]} is below {request} {typed[request]}",
            f"a {limit} of {typed[request]} or more",
        )
        for limit, request in limits_below_request(quota)
    ]


def _typed(cells: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(cells[name]).strip() for name in QUOTA_FIELDS if name in cells}


def is_mentioned(name: str, value: object) -> bool:
    """Return whether a value says anything; None does so only for a quota value."""
    if value is None:
        return name in QUOTA_FIELDS
    return value.strip() != "" if isinstance(value, str) else value not in ({}, [], ())


def written(name: str, value: object) -> str:
    """Return a value of a column as the text of a cell, which its reader reads back."""
    return REMOVE if value is None and name in QUOTA_FIELDS else cells.written(value)


def cell_findings(
    error: ValidationError, known: Iterable[str] = COLUMNS
) -> Iterator[tuple[str, Finding]]:
    """Yield the column and what is wrong with it, for everything that a row's check found."""
    items = [(str(item["loc"][0]), item) for item in error.errors(include_url=False)]
    for column, item in sorted(items, key=lambda pair: _place(pair[0])):
        findings: tuple[Finding, ...]
        if item["type"] == "missing":
            findings = (("nothing is written here", f"the {column}"),)
        elif item["type"] == "extra_forbidden":
            findings = ((f"there is no column {show(column)}", nearest(column, known)),)
        else:
            findings = item["ctx"]["error"].findings
        for finding in findings:
            yield column[:60], finding


def _place(column: str) -> int:
    return COLUMNS.index(column) if column in COLUMNS else len(COLUMNS)
