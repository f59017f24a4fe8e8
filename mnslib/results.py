"""What comes out: checks, outcomes, and the record that a run leaves as `result.json`.

Every value here can be written as JSON. Knows nothing of how a change is made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from mnslib.resource_ids import ManagedNamespaceId

RESULT_SCHEMA_VERSION = 1
TABLES_VERSION = 2
"""Of the columns in `tables/`; the changelog says what each version renamed."""

NOT_APPROVED = "Not approved: "
"""How the headline of a failed run begins whose plan was not applied for lack of approval."""


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """Return a moment as every file here writes it, in UTC and to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


ABOUT = (
    "request_file", "namespace_name", "cluster_name", "resource_group", "subscription_id",
    "clusters", "subscription_ids",
)  # fmt: skip
"""Parameters that say what a run is about."""


def about(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a run is about, the same text for the same: its file, namespace or clusters."""
    given = [(name, parameters.get(name) or "") for name in ABOUT]
    texts = [(name, sorted(map(str, one)) if isinstance(one, list) else one) for name, one in given]
    # Azure's names are the same in upper and lower case, files are not
    return tuple(str(text) if name == ABOUT[0] else str(text).lower() for name, text in texts)


DRY_RUN = "dry run"
"""Reason of every item that a dry run leaves as it is."""


class ChangeKind(StrEnum):
    """What a plan would do to one managed namespace."""

    CREATE = "Create"
    UPDATE = "Update"
    ADOPT = "Adopt"
    DELETE = "Delete"
    NO_CHANGE = "NoChange"


class OutcomeKind(StrEnum):
    """What came of one change; each item ends in exactly one.

    `released`: the Azure resource is deleted, the Kubernetes namespace stays, unmanaged.
    """

    CREATED = "created"
    UPDATED = "updated"
    ADOPTED = "adopted"
    DELETED = "deleted"
    RELEASED = "released"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


DONE_OUTCOME = {
    ChangeKind.CREATE: OutcomeKind.CREATED,
    ChangeKind.UPDATE: OutcomeKind.UPDATED,
    ChangeKind.ADOPT: OutcomeKind.ADOPTED,
    ChangeKind.DELETE: OutcomeKind.DELETED,
    ChangeKind.NO_CHANGE: OutcomeKind.UNCHANGED,
}

OPEN_OUTCOMES = (OutcomeKind.FAILED, OutcomeKind.SKIPPED, OutcomeKind.NOT_ATTEMPTED)
"""Outcomes of items that are not as requested, worst first."""

WRITTEN_OUTCOMES = frozenset(OutcomeKind) - {OutcomeKind.UNCHANGED, *OPEN_OUTCOMES}
"""Outcomes of items that were written as requested."""


class CheckStatus(StrEnum):
    """Verdict of one preflight check; only `failed` stops a run."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check: what was looked at, the verdict, what was found, what to do about it.

    Attributes:
        why: what depends on it.
        allow: name in `allow` under which notebook 10 does it; empty where mnslib cannot.
    """

    name: str
    status: CheckStatus
    detail: str
    remedy: str = ""
    why: str = ""
    allow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """What came of one change.

    Attributes:
        reason: why it failed or was skipped; of what is done, what is worth knowing all the same.
        remedy: what to do next; empty where nothing can be said.
        is_dry_run: it waits for approval, and nothing was tried.
        duration_seconds: from the first request to the end of the operation; 0 if none was sent.
    """

    id: ManagedNamespaceId
    change: ChangeKind
    outcome: OutcomeKind
    reason: str = ""
    risks: tuple[str, ...] = ()
    duration_seconds: float = 0.0
    remedy: str = ""
    is_dry_run: bool = False

    @property
    def explanation(self) -> str:
        """The reason, and after a semicolon the remedy; what `result.json` calls the reason."""
        return "; ".join(filter(None, (self.reason, self.remedy)))

    def to_json(self) -> dict[str, Any]:
        """Return the item as `result.json` holds it."""
        return {
            **self.id.columns,
            "change": self.change.value,
            "outcome": self.outcome.value,
            "reason": self.explanation,
            "risks": list(self.risks),
            "duration_seconds": round(self.duration_seconds, 3),
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Return the item that `to_json` wrote; its remedy is part of the reason."""
        return cls(
            id=ManagedNamespaceId.of(item),
            change=ChangeKind(item["change"]),
            outcome=OutcomeKind(item["outcome"]),
            reason=item["reason"],
            risks=tuple(item["risks"]),
            duration_seconds=item["duration_seconds"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a result owes to the run that it resumed.

    Attributes:
        run: name of that run.
        written: by outcome, how many items were written before this run began.
        is_rest_empty: whether nothing was left to write.
        risks: names of those that were accepted with the plan.
    """

    run: str
    written: Mapping[OutcomeKind, int]
    is_rest_empty: bool
    risks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """The outcomes of one apply, in the plan's order; their number equals the plan's changes.

    Attributes:
        plan_risks: names of the plan's risks that are no single item's.
        has_written: a namespace became as requested by it, whatever came of its roles and proof.
    """

    outcomes: tuple[ItemOutcome, ...]
    plan_risks: tuple[str, ...] = ()
    has_written: bool = False
    interrupted_by_signal: int | None = None
    resumed: Resumed | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Return what came of the items that a record holds."""
        return cls(outcomes=tuple(map(ItemOutcome.from_json, record["items"])))

    def counts(self) -> dict[str, int]:
        """Return how many items ended in each outcome; outcomes that did not occur are left out."""
        found = Counter(item.outcome for item in self.outcomes)
        return {kind.value: found[kind] for kind in OutcomeKind if found[kind]}

    def with_reasons(self, reasons: Mapping[str, str]) -> Self:
        """Return the same with more said of some items, by their keys."""
        said = ((item, (item.reason, reasons.get(item.id.key))) for item in self.outcomes)
        told = (replace(item, reason="; ".join(filter(None, both))) for item, both in said)
        return replace(self, outcomes=tuple(told))

    @property
    def unfinished(self) -> tuple[ItemOutcome, ...]:
        """Items that are not as requested: failed, skipped or not attempted."""
        return tuple(item for item in self.outcomes if item.outcome in OPEN_OUTCOMES)

    @property
    def done(self) -> tuple[ItemOutcome, ...]:
        """Items that are as requested."""
        return tuple(item for item in self.outcomes if item.outcome not in OPEN_OUTCOMES)

    @property
    def needs_plan(self) -> bool:
        """Whether what is left went stale, or was found when all was written; else going on helps.

        Of an item that is done, a reason says what is missing beside it.
        """
        if self.unfinished:
            return all(item.outcome is OutcomeKind.SKIPPED for item in self.unfinished)
        return not any(item.reason for item in self.done)

    @property
    def is_dry_run(self) -> bool:
        """Whether the plan was only shown."""
        return any(item.is_dry_run for item in self.outcomes)


class RunStatus(StrEnum):
    """How a run ended; `EXIT_CODES` gives the exit code of each."""

    DONE = "done"
    FINDINGS = "findings"
    PARTLY = "partly"
    FAILED = "failed"
    STOPPED = "stopped"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


LIBRARY, BULK_NOTEBOOK = "library", "30_provision_in_bulk"
"""What a record has as its notebook where a plan was applied without one; what resumes that."""

EXIT_CODES = {
    RunStatus.DONE: 0,
    RunStatus.FINDINGS: 0,  # 2 with --detailed-exitcode
    RunStatus.PARTLY: 3,
    RunStatus.FAILED: 4,
    RunStatus.STOPPED: 5,
    RunStatus.REFUSED: 6,
    RunStatus.INTERRUPTED: 130,  # 143 after SIGTERM
}
LOCKED_EXIT_CODE = 7
"""Of a failed run that another one, which is writing to its clusters, let write nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What `result.json` holds: one run of one notebook. No secret, ever.

    Attributes:
        environment: last part of the run directory's name, such as "prod".
        target: `azure` or `sandbox`; empty where it was refused as a value.
        sandbox: which one, by its name or its connection file; empty where none is read.
        parameters: all that the notebook takes, by name; empty where they were refused.
        headline: the finding, or why the run is not done, in a sentence.
        summary: numbers by name, outcomes among them.
        artifacts: files that the run left, relative to its directory.
        warnings: what the checks said, before the plan or of what was read, other than that they
            passed.
        content: digest of the requests, as they were written; empty where there are none.
    """

    notebook: str
    environment: str
    target: str
    started_utc: str
    finished_utc: str
    status: RunStatus
    exit_code: int
    parameters: Mapping[str, Any]
    sandbox: str = ""
    headline: str = ""
    summary: Mapping[str, float] = field(default_factory=dict)
    items: Sequence[ItemOutcome] = ()
    artifacts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    content: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the record as `result.json` holds it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        items = [item.to_json() for item in self.items]
        lists = {"items": items, "warnings": list(self.warnings)}
        versions = {"schema_version": RESULT_SCHEMA_VERSION, "tables_version": TABLES_VERSION}
        return {**versions, **values, **lists}
