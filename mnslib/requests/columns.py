"""The columns of a request file: what each may hold. In words: `columns.yaml`.

The one place that knows the columns. A field that is not set was not mentioned; text is never
evaluated. Knows nothing of how rows are read, or of what is there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo

from mnslib import models
from mnslib.errors import SpecError, nearest
from mnslib.packaged import packaged
from mnslib.quantities import ZERO, two_readings
from mnslib.requests import cells, rules
from mnslib.requests.files import Rows, read_yaml_mapping
from mnslib.requests.rules import SECRET, CellError, Finding, refuse, say, show
from mnslib.requests.sheets import number_text
from mnslib.requests.signs import bare, examined, texts
from mnslib.resource_ids import ID_COLUMNS
from mnslib.secrets import looks_secret

REMOVE = "-"
"""What a quota cell held to remove the value, before the service was known to demand all four."""

ANSWER_COLUMNS = ("status", "outcome", "duration_seconds", "message")
"""What a run adds to the file that it gives back; passed over when that file is read."""


COLUMN_WORDS: dict[str, type[StrEnum]] = {
    "ingress_policy": models.NetworkRule,
    "egress_policy": models.NetworkRule,
    "adoption_policy": models.AdoptionPolicy,
    "delete_policy": models.DeletePolicy,
    "project": models.Project,
    "ensure": models.Ensure,
}
"""The columns that take one word of a few."""


def _text(value: object) -> str:
    if isinstance(value, float):  # a column of whole numbers with an empty cell, in a table
        return number_text(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse(*say("no_text", cell=show(value)))
    return bare(str(value))


def read_cell(column: str, cell: Any) -> Any:
    """Return what a cell of that column says.

    Raises:
        CellError: with all that is wrong with it.
    """
    # before anything else looks at it, for what is refused is quoted; nor is it hidden by signs
    if looks_secret(cell) or any(looks_secret(examined(text)[0]) for text in texts(cell)):
        raise refuse(*SECRET)
    if column in ("labels", "annotations", "tags", "companion_quota"):
        return cells.read_pairs(column, cell)
    if column == "access":
        return cells.read_access(cell)
    text = "" if cell is None else _text(cell)
    rules.seen(text, partial(read_cell, column), is_name=column != "owner")
    if column in models.QUOTA_FIELDS:
        if text in (REMOVE, ""):
            return None
        return rules.amount(column, text, is_exact=not isinstance(cell, str))
    if column in COLUMN_WORDS:
        return rules.one_of(text, COLUMN_WORDS[column])
    if column == "owner":
        return cells.read_pairs("labels", {"owner": text})["owner"]
    if column == "limit_range":
        return cells.read_limit_range(text)
    return rules.name(column, text) if column in ID_COLUMNS else text


# the cells of a file say the same again and again
_value_of_text = lru_cache(maxsize=2048)(read_cell)


class Quota(BaseModel):
    """Amounts by quota field; what is not mentioned is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    cpu_request: Decimal | None = None
    cpu_limit: Decimal | None = None
    memory_request: Decimal | None = None
    memory_limit: Decimal | None = None

    @pydantic.field_validator("*", mode="plain")
    @classmethod
    def _read(cls, cell: Any, info: ValidationInfo) -> Any:
        read = _value_of_text if isinstance(cell, str) else read_cell
        return read(str(info.field_name), cell)


class RequestValues(Quota):
    """What a request may say about a namespace, whichever it is; a tier may say it as well."""

    ingress_policy: models.NetworkRule | None = None
    egress_policy: models.NetworkRule | None = None
    adoption_policy: models.AdoptionPolicy | None = None
    delete_policy: models.DeletePolicy | None = None
    labels: cells.Pairs = Field(default_factory=dict)  # a default would be copied for each row
    annotations: cells.Pairs = Field(default_factory=dict)
    tags: cells.Pairs = Field(default_factory=dict)
    owner: str | None = None
    access: cells.Access = Field(default_factory=dict)
    limit_range: str = ""
    companion_quota: cells.Pairs = Field(default_factory=dict)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _mentioned(cls, cells: Any) -> dict[str, Any]:
        if not isinstance(cells, Mapping):
            raise refuse(*say("row_no_mapping"))
        return {name: value for name, value in cells.items() if is_mentioned(name, value)}

    @pydantic.field_validator(*models.QUOTA_FIELDS)
    @classmethod
    def _not_removed(cls, amount: Decimal | None) -> Decimal:
        if amount is None:  # a default is not looked at
            raise refuse(*say("quota_removed"))
        return amount

    @pydantic.field_validator("cpu_limit", "memory_limit")
    @classmethod
    def _not_below_request(cls, limit: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if found := list(limit_findings(info.data | {str(info.field_name): limit})):
            raise CellError(found)
        return limit

    @pydantic.field_validator("owner")
    @classmethod
    def _same_owner_in_labels(cls, owner: str | None, info: ValidationInfo) -> str | None:
        labels = info.data.get("labels", {})
        if "owner" in labels and labels["owner"] != owner:
            other = "removes it" if labels["owner"] is None else f"says {show(labels['owner'])}"
            raise refuse(*say("two_owners", owner=show(owner), other=other))
        return owner

    def said(self) -> dict[str, Any]:
        """Return what is mentioned, by field of `NamespaceSpec`; `owner` becomes its label."""
        owner = {} if self.owner is None else {"owner": self.owner}
        mentioned = [name for name in models.QUOTA_FIELDS if name in self.model_fields_set]
        return {
            **{name: getattr(self, name) for name in models.POLICY_FIELDS},
            # of its own, for what was read of a text is kept for the cells that say the same
            **{
                name: {**getattr(self, name)} for name in ("annotations", "tags", "companion_quota")
            },
            "limit_range": self.limit_range,
            "quota": {name: getattr(self, name) for name in mentioned},
            "labels": {**self.labels, **owner},
            "access": tuple(grant for grant, is_granted in self.access.items() if is_granted),
            "revoked": tuple(grant for grant, is_granted in self.access.items() if not is_granted),
        }


class RequestRow(RequestValues):
    """One row of a request file."""

    subscription_id: str
    resource_group: str
    cluster_name: str
    namespace_name: str
    tier: str = ""
    project: models.Project | None = None
    ensure: models.Ensure = models.Ensure.PRESENT


VALUE_COLUMNS = tuple(RequestValues.model_fields)
COLUMNS = (*ID_COLUMNS, "tier", *VALUE_COLUMNS, "project", "ensure")
"""The columns of a request file, in the order of the documentation."""


def column_words() -> Mapping[str, Mapping[str, str]]:
    """Return what `columns.yaml` says of each column: `help`, and an `example`."""
    return packaged("mnslib.requests", "columns")  # type: ignore[no-any-return]


def limit_findings(quota: Mapping[str, Decimal | None]) -> Iterator[Finding]:
    """Yield the findings of limits below their requests."""
    for limit, request in models.limits_below_request(quota):
        most, least = (
            models.format_quota_value(name, quota[name] or ZERO) for name in (limit, request)
        )
        yield say("limit_below", limit=limit, most=most, request=request, least=least)


def is_mentioned(name: str, value: object) -> bool:
    """Return whether a value says anything; None does so only in a quota cell, and is refused."""
    if value is None:
        return name in models.QUOTA_FIELDS
    if isinstance(value, str):
        return value.strip() != ""
    return not isinstance(value, Mapping | list | tuple) or len(value) > 0


def written(name: str, value: object) -> str:
    """Return a value of a column as the text of a cell, which its reader reads back."""
    if isinstance(value, Decimal):
        text = models.format_quota_value(name, value)
        # as people write it: 10 cores, which ARM takes as 10000m
        return f"{value:.0f}" if text.endswith("000m") else text
    if value is None:
        return REMOVE if name in models.QUOTA_FIELDS else ""
    if isinstance(value, Mapping):
        return cells.pairs_text(value)
    if isinstance(value, list | tuple):
        return ";".join(map(str, value))
    if not isinstance(value, float):
        return str(value)
    # a number is exact, its text is not: a fourth decimal leaves one way to read it
    text = number_text(value)
    return f"{text}0" if name in models.QUOTA_FIELDS and two_readings(text) else text


def findings(
    error: ValidationError,
    known: Callable[[str], Iterable[str]] = lambda _: COLUMNS,
    *,
    what: str = "column",
) -> Iterator[tuple[tuple[str, ...], Finding]]:
    """Yield the path and what is wrong there, for everything that a check found."""
    for item in error.errors(include_url=False):
        path = tuple(map(str, item["loc"]))
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, CellError):
            yield from ((path, finding) for finding in cause.findings)
        elif item["type"] == "missing":
            yield path, say("nothing", name=path[-1])
        elif item["type"] == "extra_forbidden":
            meant = nearest(path[-1], known(path[0]))
            yield path, say("unknown_name", meant, what=what, name=show(path[-1]))
        else:
            yield path, (item["msg"], "")


def read_settings(
    path: Path, form: Any, known: Callable[[str], Iterable[str]], *, what: str = "column"
) -> Any:
    """Return what a YAML file says, in a form that pydantic checks.

    Args:
        known: the names that may stand in it, by the name of the entry they are in.
        what: what it is that has these names.

    Raises:
        SpecError: with every mistake of the file, each with the path of what is wrong.
    """
    entries, table = read_yaml_mapping(path), Rows(file=path.name)
    try:
        said = {name: value for name, (_, value) in entries.items()}
        return TypeAdapter(form).validate_python(said)
    except ValidationError as error:
        for where, finding in findings(error, known, what=what):
            table.tell(entries[where[0]][0], ".".join(where), finding)
        raise SpecError(table.problems) from error
