"""From rows to validated requests; every mistake of a file at once, each with its cell.

Whether a quota may shrink, or a namespace may be taken over, is the plan's business. What is not
built yet is refused in its cell, never ignored.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import Ensure, NamespaceSpec, Origin
from mnslib.requests import columns, rules
from mnslib.requests.files import Rows, read_rows
from mnslib.requests.policy import Policy
from mnslib.requests.rules import OF_SECRETS, CellError, Finding, refuse, say, show
from mnslib.requests.sheets import file_error
from mnslib.requests.signs import bare
from mnslib.resource_ids import ID_COLUMNS, ClusterId, ManagedNamespaceId

Tiers = Mapping[str, columns.RequestValues]

Missing = Callable[[Iterable[ClusterId]], Mapping[ClusterId, tuple[str, Finding]]]
"""Says of clusters which are not there: in which column, why, and what to write."""


def parse_requests(
    path: Path, *, data: bytes | None = None, **rules: Any
) -> tuple[NamespaceSpec, ...]:
    """Return the requests of a CSV, XLSX or YAML file, in its order.

    Args:
        data: its content, if that was read before; None reads it.
        rules: tiers, policy and missing, as `read_specs` takes them.

    Raises:
        SpecError: with every mistake of the file; then nothing of it is to be used.
    """
    table = read_rows(path, data)
    specs = read_specs(table, **rules)
    if not specs:
        raise file_error(path, *say("no_request"))
    return specs


def specs_from_rows(
    rows: Sequence[Mapping[Any, Any]], *, file: str, **rules: Any
) -> tuple[NamespaceSpec, ...]:
    """Return the requests that a program has put together, checked as those of a file are.

    Mappings and lists may stand where a file has text; An empty text, mapping or
    list mentions nothing.

    Args:
        rows: values by column; their place counts from 1.
        file: where they come from, to name in a mistake.
        rules: tiers, policy and missing, as `read_specs` takes them.

    Raises:
        SpecError: with every mistake; a single row's mistakes carry no row number.
    """
    table = Rows(file=file)
    for place, row in enumerate(rows, 1):
        number = place if len(rows) > 1 else None
        named = {table.name(number, bare(str(name))): value for name, value in row.items()}
        table.rows.append((number, named))
    return read_specs(table, **rules)


def read_specs(
    table: Rows,
    *,
    tiers: Tiers | None = None,
    policy: Policy | None = None,
    missing: Missing | None = None,
) -> tuple[NamespaceSpec, ...]:
    """Return the requests of a table.

    Args:
        tiers: the sizes that rows may name; None for none.
        policy: what every request has to keep to; None for nothing.
        missing: is asked for clusters that are not there, so that a misspelled one is told with
            the other mistakes; without any the plan will say so.

    Raises:
        SpecError: with every mistake of it; then nothing of it is to be used.
    """
    specs: list[NamespaceSpec] = []
    table.problems = [one for one in table.problems if not _is_of_answer(one)]
    told = {(one.row, one.column) for one in table.problems} | _check_merged(table)
    absent = {name for name in ID_COLUMNS if table.header and name not in table.header}
    _check_header(table)
    first_row: dict[str, int | None] = {}
    named: list[tuple[int | None, list[str]]] = []

    def tell(row: int | None, column: str, finding: Finding) -> None:
        if column not in absent and (row, column) not in told:
            table.tell(row, column, finding)

    for number, cells in table.rows:
        known = {name: cells[name] for name in cells if not table.header or name in columns.COLUMNS}
        names = [str(known.get(name) or "").strip() for name in ID_COLUMNS]
        try:
            row = columns.RequestRow.model_validate(known)
        except ValidationError as error:
            wrong = [(where[0], finding) for where, finding in columns.findings(error)]
        else:
            origin = Origin(file=table.file, row=number, sheet=table.sheet)
            spec, wrong = _agreed(row, origin, tiers=tiers, policy=policy)
            specs.append(spec)
            names = [*spec.id.columns.values()]  # a number may be written in two ways
        for column, finding in wrong:
            tell(number, column, finding)
        if all(names):
            key = "/".join(names).lower()
            if key in first_row:
                tell(number, "namespace_name", say("same_namespace", row=first_row[key]))
            first_row.setdefault(key, number)
            if not {column for column, _ in wrong} & set(ID_COLUMNS):
                named.append((number, names[:-1]))
    if not table.problems:
        return tuple(specs)
    asked = [(number, ClusterId(*names)) for number, names in named]
    gone = missing({cluster for _, cluster in asked}) if missing else {}
    for number, cluster in asked:
        if cluster in gone:
            tell(number, *gone[cluster])
    raise SpecError(_in_order(table))


def _is_of_answer(mistake: Problem) -> bool:
    """Return whether it is in what a run has added, and says nothing of the requests."""
    is_of_secret = any(told in mistake.message for told in OF_SECRETS)
    return mistake.column in columns.ANSWER_COLUMNS and not is_of_secret


def _in_order(table: Rows) -> list[Problem]:
    """Return what is wrong with a table by row, and of each row by column."""
    order = {name: place for place, name in enumerate((None, *(table.header or columns.COLUMNS)))}
    return sorted(table.problems, key=lambda p: (p.row or 0, order.get(p.column, len(order))))


def _agreed(
    row: columns.RequestRow, origin: Origin, *, tiers: Tiers | None, policy: Policy | None
) -> tuple[NamespaceSpec, list[tuple[str, Finding]]]:
    """Return the request with its tier, and what tier and policy refuse about it."""
    spec = NamespaceSpec(
        id=ManagedNamespaceId.of(vars(row)),
        origin=origin,
        ensure=row.ensure,
        tier=row.tier,
        **row.said(),
    )
    found: list[tuple[str, Finding]] = []
    if row.project:
        own = {key: text.format_map(spec.id.columns) for key, text in rules.PROJECT_LABELS.items()}
        spec = replace(spec, labels={**spec.labels, **own})
        if any(rules.label_findings(spec.labels)):  # a name that is no label's value
            found.append(("project", say("no_project", name=show(row.resource_group))))
    try:
        spec = _with_tier(spec, tiers)
    except CellError as error:
        found += [("tier", finding) for finding in error.findings]
    return spec, [*found, *(policy.violations(spec) if policy else ())]


def _check_merged(table: Rows) -> set[tuple[int | None, str | None]]:
    """Tell which cells of requests are merged, and return all that are: most are empty."""
    found: set[tuple[int | None, str | None]] = set()
    numbers = [number or 0 for number, _ in table.rows]
    for merged in table.merged:
        titles = table.header[merged.min_col - 1 : merged.max_col]
        rows = range(merged.min_row, merged.max_row + 1)
        names = [name for name in titles if name in columns.COLUMNS]
        touched = numbers[bisect_left(numbers, rows.start) : bisect_left(numbers, rows.stop)]
        if table.header_row in rows and len(titles) > 1:  # else it hides no other title
            touched.insert(0, table.header_row)
        cells = [(number, name) for number in touched for name in names]
        if cells:
            table.tell(*cells[0], say("merged", cells=merged.coord))
        found.update(cells)
    return found


def _check_header(table: Rows) -> None:
    row, names = table.header_row, table.header
    missing = [name for name in columns.COLUMNS if name not in names]
    for position, name in enumerate(names):
        if not name:
            table.tell(row, None, say("no_column_name", place=position + 1))
        elif name in names[:position]:
            table.tell(row, name, say("column_twice"))
        elif name not in (*columns.COLUMNS, *columns.ANSWER_COLUMNS):
            meant = nearest(name, missing)
            table.tell(row, name, say("unknown_name", meant, what="column", name=show(name)))
    for name in ID_COLUMNS:
        if names and name not in names:
            table.tell(row, name, say("missing_column", name=name))


# Tiers: named sizes that fill what a row leaves empty on a new managed namespace: cell by cell, key
# by key in labels, annotations and tags; access adds up. An existing one keeps what it has, as an
# empty cell says, so there a tier changes nothing.


def read_tiers(path: Path) -> Tiers:
    """Return the tiers of a YAML file by name: each a mapping of columns to values."""
    found: Tiers = columns.read_settings(
        path, dict[str, columns.RequestValues], lambda _: columns.VALUE_COLUMNS
    )
    return found


def _with_tier(spec: NamespaceSpec, tiers: Tiers | None) -> NamespaceSpec:
    """Return the request with what its tier says for a new namespace; the row's own values win.

    Raises:
        CellError: if there is no such tier, or row and tier together make no sense.
    """
    if not spec.tier:
        return spec
    if tiers is None:
        raise refuse(*say("no_tiers_file", tier=show(spec.tier)))
    if spec.tier not in tiers:
        known = nearest(spec.tier, tiers) or ", ".join(sorted(tiers))
        raise refuse(*say("no_tier", known, tier=show(spec.tier)))
    if spec.ensure is Ensure.ABSENT:
        return spec
    said = tiers[spec.tier].said()
    for name, other in (("access", spec.revoked), ("revoked", spec.access)):
        own_keys = {grant.key for grant in other}  # what the row says of a role wins
        said[name] = tuple(grant for grant in said[name] if grant.key not in own_keys)
    both = replace(spec, **{name: _both(said[name], getattr(spec, name)) for name in said})
    if wrong := list(columns.limit_findings(both.quota)):
        raise CellError((f"with the tier's values {what}", fix) for what, fix in wrong)
    return replace(spec, when_new=both)


def _both(of_tier: Any, of_row: Any) -> Any:
    if isinstance(of_tier, Mapping):
        return {**of_tier, **of_row}
    if isinstance(of_tier, tuple):
        return (*of_row, *(grant for grant in of_tier if grant not in of_row))
    return of_row or of_tier
