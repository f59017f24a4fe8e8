"""From rows to validated requests; every mistake of a file at once, each with its cell.

The one place that knows the columns. Nothing remote is read: whether a cluster exists, or a quota
may shrink, is the plan's business. What is not built yet is refused in its cell, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mnslib.errors import Problem, SpecError
from mnslib.models import (
    QUOTA_FIELDS,
    AccessGrant,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NamespaceSpec,
    NetworkRule,
    Origin,
    format_quota_value,
)
from mnslib.requests import cells, rules
from mnslib.requests.files import Rows, problem, read_rows
from mnslib.requests.rules import CellError, Finding, refuse, show
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.secrets import looks_secret

REMOVE = "-"
"""What a quota cell holds to remove the value."""


_SECRET = (
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


def _not_built(value: object) -> str:
    raise refuse(f"tiers are not built yet, so {show(value)} cannot be used", "the four amounts")


def _read(reader: Callable[[str], object]) -> PlainValidator:
    """Return the validator of a cell that holds one text."""
    return PlainValidator(lambda value: reader(_text(value)))


def _word(words: type[StrEnum]) -> PlainValidator:
    return _read(lambda text: rules.one_of(text, words))


Quantity = Annotated[Decimal | None, PlainValidator(_quota_value)]
Rule = Annotated[NetworkRule, _word(NetworkRule)]


class RequestRow(BaseModel):
    """One row of a request file; a field that is not set was not mentioned."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    subscription_id: Annotated[str, _read(rules.subscription_id)]
    resource_group: Annotated[str, _read(rules.resource_group)]
    cluster_name: Annotated[str, _read(rules.cluster_name)]
    namespace_name: Annotated[str, _read(rules.namespace_name)]
    tier: Annotated[str, PlainValidator(_not_built)] = ""
    cpu_request: Quantity = None
    cpu_limit: Quantity = None
    memory_request: Quantity = None
    memory_limit: Quantity = None
    ingress_policy: Rule | None = None
    egress_policy: Rule | None = None
    adoption_policy: Annotated[AdoptionPolicy | None, _word(AdoptionPolicy)] = None
    delete_policy: Annotated[DeletePolicy | None, _word(DeletePolicy)] = None
    labels: Annotated[cells.Pairs, PlainValidator(cells.read_labels)] = {}
    annotations: Annotated[cells.Pairs, PlainValidator(cells.read_annotations)] = {}
    tags: Annotated[cells.Pairs, PlainValidator(cells.read_tags)] = {}
    owner: Annotated[str | None, _read(_owner)] = None
    access: Annotated[tuple[AccessGrant, ...], PlainValidator(cells.read_access)] = ()
    ensure: Annotated[Ensure, _word(Ensure)] = Ensure.PRESENT

    @field_validator("cpu_limit", "memory_limit")
    @classmethod
    def _not_below_request(cls, limit: Decimal | None, info: ValidationInfo) -> Decimal | None:
        field = str(info.field_name)
        request = info.data.get(field.replace("limit", "request"))
        if limit is not None and request is not None and limit < request:
            wanted = format_quota_value(field, request)
            raise refuse(
                f"the limit {format_quota_value(field, limit)} is below the request {wanted}",
                f"{wanted} or more",
            )
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

    @property
    def id(self) -> ManagedNamespaceId:
        """The managed namespace that the row is about."""
        cluster = ClusterId(self.subscription_id, self.resource_group, self.cluster_name)
        return cluster.namespace(self.namespace_name)

    def to_spec(self, origin: Origin) -> NamespaceSpec:
        """Return the request; `owner` becomes the label it stands for."""
        owner = {} if self.owner is None else {"owner": self.owner}
        mentioned = self.model_fields_set
        return NamespaceSpec(
            id=self.id,
            origin=origin,
            ensure=self.ensure,
            quota={name: getattr(self, name) for name in QUOTA_FIELDS if name in mentioned},
            ingress_policy=self.ingress_policy,
            egress_policy=self.egress_policy,
            adoption_policy=self.adoption_policy,
            delete_policy=self.delete_policy,
            labels={**self.labels, **owner},
            annotations=self.annotations,
            tags=self.tags,
            access=self.access,
        )


COLUMNS = tuple(RequestRow.model_fields)
"""The columns of a request file, in the order of the documentation."""

ID_COLUMNS = ("subscription_id", "resource_group", "cluster_name", "namespace_name")


def parse_requests(path: Path) -> tuple[NamespaceSpec, ...]:
    """Return the requests of a CSV file, in its order; reads nothing but the file.

    Raises:
        SpecError: with every mistake of the file; then nothing of it is to be used.
    """
    table = read_rows(path)
    problems = [*table.problems, *_header_problems(table)]
    if not table.rows and not problems:
        problems.append(problem(table.file, None, None, ("the file holds no request", "")))
    known = [
        (row.number, {name: cell for name, cell in row.cells.items() if name in COLUMNS})
        for row in table.rows
    ]
    specs, found = _validate(known, file=table.file)
    absent = {name for name in ID_COLUMNS if name not in table.header}
    problems += [p for p in found if p.column not in absent]
    if problems:
        raise SpecError(sorted(problems, key=lambda p: p.row or 0))
    return specs


def specs_from_rows(rows: Sequence[Mapping[str, Any]], *, file: str) -> tuple[NamespaceSpec, ...]:
    """Return the requests that a program has put together, checked as those of a file are.

    Mappings and lists may stand where a file has text; None removes a quota value. An empty text,
    mapping or list mentions nothing.

    Args:
        rows: values by column; their place counts from 1.
        file: where they come from, to name in a mistake.

    Raises:
        SpecError: with every mistake; a single row's mistakes carry no row number.
    """
    numbered = enumerate(rows, start=1)
    specs, problems = _validate(numbered, file=file, is_single=len(rows) == 1)
    if problems:
        raise SpecError(problems)
    return specs


def _header_problems(table: Rows) -> list[Problem]:
    found: list[tuple[str | None, Finding]] = []
    for position, name in enumerate(table.header):
        if not name:
            found.append((None, (f"column {position + 1} has no name", "")))
        elif name in table.header[:position]:
            found.append((name, ("the column is there twice", "")))
        elif name not in COLUMNS:
            found.append(
                (name[:60], (f"there is no column {show(name)}", rules.nearest(name, COLUMNS)))
            )
    for name in ID_COLUMNS:
        if name not in table.header:
            found.append((name, (f"the column {name} is missing", "it into the header")))
    return [problem(table.file, table.header_row, column, finding) for column, finding in found]


def _validate(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    *,
    file: str,
    is_single: bool = False,
) -> tuple[tuple[NamespaceSpec, ...], list[Problem]]:
    specs: list[NamespaceSpec] = []
    problems: list[Problem] = []
    first_row: dict[str, int] = {}
    for number, values in rows:
        mentioned = {name: value for name, value in values.items() if _is_mentioned(name, value)}
        shown = None if is_single else number
        # before anything else looks at them, since what is refused there is quoted
        secret = [name for name in mentioned if looks_secret(mentioned[name])]
        problems += [problem(file, shown, name[:60], _SECRET) for name in secret]
        for name in secret:
            del mentioned[name]
        try:
            row = RequestRow.model_validate(mentioned)
        except ValidationError as error:
            found = _cell_problems(error, file=file, row=shown)
            problems += [p for p in found if p.column not in secret]
        else:
            specs.append(row.to_spec(Origin(file=file, row=shown)))
        key = "/".join(str(mentioned.get(name, "")).lower() for name in ID_COLUMNS)
        has_id = all(name in mentioned for name in ID_COLUMNS)
        if has_id and (earlier := first_row.setdefault(key, number)) != number:
            message = f"the same managed namespace is in row {earlier} already"
            fix = "one row for each namespace"
            problems.append(problem(file, shown, "namespace_name", (message, fix)))
    return tuple(specs), problems


def _is_mentioned(name: str, value: object) -> bool:
    """Return whether a value says anything; None does so only for a quota value."""
    if value is None:
        return name in QUOTA_FIELDS
    return value.strip() != "" if isinstance(value, str) else value not in ({}, [], ())


def _cell_problems(error: ValidationError, *, file: str, row: int | None) -> list[Problem]:
    problems: list[Problem] = []
    for item in error.errors(include_url=False):
        column = str(item["loc"][0])
        findings: tuple[Finding, ...]
        if item["type"] == "missing":
            findings = (("nothing is written here", f"the {column}"),)
        elif item["type"] == "extra_forbidden":
            findings = ((f"there is no column {show(column)}", rules.nearest(column, COLUMNS)),)
        else:
            findings = item["ctx"]["error"].findings
        problems += [problem(file, row, column[:60], finding) for finding in findings]
    return problems
