"""Whether a plan may be applied: three explicit values, none inferred, and the caps. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from mnslib.errors import ConfigError, StalePlanError, UnsafePlanError
from mnslib.provisioning.changes import RiskName
from mnslib.provisioning.plan import Plan
from mnslib.results import ChangeKind

_CAP = re.compile(r"(?P<count>\d+)(?P<percent>\s*%)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How much one run may do: `50` or `20%`; empty means no cap, which unattended runs may not.

    A percentage is of the requests of the run, rounded down.
    """

    max_changes: str = ""
    max_deletions: str = ""
    max_failures: str = ""

    def limit(self, name: str, total: int) -> int | None:
        """Return the cap called `name` as a count out of `total`, None without one.

        Raises:
            ConfigError: if the text is neither a count nor a percentage.
        """
        text = str(getattr(self, name)).strip()
        if not text:
            return None
        match = _CAP.fullmatch(text)
        if match is None or (match["percent"] and int(match["count"]) > 100):
            raise ConfigError(
                f"{name} is {text!r}: write a count such as 50 or a share such as 20%."
            )
        count = int(match["count"])
        return math.floor(total * count / 100) if match["percent"] else count

    def as_counts(self, total: int) -> Caps:
        """Return the same caps as counts out of `total`, for a part of a plan of that size."""
        limits = {field.name: self.limit(field.name, total) for field in fields(self)}
        return Caps(**{name: "" if cap is None else str(cap) for name, cap in limits.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The decision on one plan.

    Attributes:
        may_write: False in a dry run, whatever else is said.
        max_failures: once so many items have failed nothing new is started; None without a cap.
        failed_before: keys of those that failed in the run that is resumed; they count.
    """

    plan: Plan
    may_write: bool
    max_failures: int | None = None
    failed_before: frozenset[str] = frozenset()


def decide(
    plan: Plan,
    *,
    dry_run: bool,
    approval: str,
    approved_digest: str,
    allow: list[str],
    caps: Caps | None = None,
    failed_before: frozenset[str] = frozenset(),
) -> Approval:
    """Return the decision; in a dry run it is always "do not write".

    Args:
        approval: `digest` (a person read the plan and names it) or `unattended`.
        approved_digest: the digest of the plan that was read.
        allow: names of the risks that are accepted.
        caps: None where the job is a single namespace, which needs none.
        failed_before: as in `Approval`.

    Raises:
        ConfigError: if a value is not one of those that exist.
        StalePlanError: if the digest is missing or is another plan's.
        UnsafePlanError: if a risk is not allowed, or a cap is missing or exceeded.
    """
    _check_values(approval, allow)
    limits = caps or Caps()
    total = len(plan.changes)
    max_failures = limits.limit("max_failures", total)
    limits.limit("max_changes", total)
    limits.limit("max_deletions", total)
    if dry_run or not plan.to_do:
        return Approval(plan=plan, may_write=not dry_run, max_failures=max_failures)
    if approval == "unattended":
        _check_caps_are_set(caps)
    else:
        _check_digest(plan, approved_digest)
    _check_risks(plan, allow)
    _check_caps(plan, limits)
    if max_failures is not None and len(failed_before) >= max(max_failures, 1):
        number = len(failed_before)
        raise UnsafePlanError(
            f"Nothing was written: {number} failed in the run that is resumed, and max_failures is "
            f"{max_failures}. Mend the cause, then allow more than {number}: "
            "mns resume RUN --max-failures, or max_failures in the parameters."
        )
    return Approval(
        plan=plan, may_write=True, max_failures=max_failures, failed_before=failed_before
    )


def to_go_ahead(digest: str, risk_names: Iterable[str]) -> str:
    """Return what to write into the parameters so that a plan with these risks is applied."""
    allow = ", ".join(sorted(set(risk_names)))
    return f'dry_run: false\napproved_digest: "{digest}"\nallow: [{allow}]'


def _check_values(approval: str, allow: list[str]) -> None:
    if approval not in ("digest", "unattended"):
        raise ConfigError(f"approval is {approval!r}: write digest or unattended.")
    known = {name.value for name in RiskName}
    unknown = sorted(set(allow) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ConfigError(f"allow names unknown risks {', '.join(unknown)}; there are: {names}.")


def _check_digest(plan: Plan, approved_digest: str) -> None:
    if not approved_digest:
        raise StalePlanError(
            "Nothing was written: no plan is approved. Read the plan, then run again with "
            f'approved_digest: "{plan.digest}".'
        )
    if approved_digest != plan.digest:
        raise StalePlanError(
            f"Nothing was written: the approved plan {approved_digest[:23]}… is not the present "
            f"one; what is asked or what is there has changed since. "
            f'Read the plan again, then run with approved_digest: "{plan.digest}".'
        )


def _check_risks(plan: Plan, allow: list[str]) -> None:
    refused = [name for name in plan.risk_names() if name not in allow]
    if refused:
        raise UnsafePlanError(
            f"Nothing was written: the plan carries {'a risk' if len(refused) == 1 else 'risks'} "
            f"that {'is' if len(refused) == 1 else 'are'} not accepted: {', '.join(refused)}. "
            "Read the plan's risks; to accept them, name them in allow."
        )


def _check_caps_are_set(caps: Caps | None) -> None:
    if caps is None:
        return
    names = ("max_changes", "max_deletions", "max_failures")
    empty = [name for name in names if not str(getattr(caps, name)).strip()]
    if empty:
        raise UnsafePlanError(
            f"Nothing was written: an unattended run needs {', '.join(empty)}; "
            "write a count such as 50 or a share such as 20%."
        )


def _check_caps(plan: Plan, caps: Caps) -> None:
    done = {
        "max_changes": len(plan.to_do),
        "max_deletions": sum(c.kind is ChangeKind.DELETE for c in plan.to_do),
    }
    for name, count in done.items():
        limit = caps.limit(name, len(plan.changes))
        if limit is not None and count > limit:
            raise UnsafePlanError(
                f"Nothing was written: the plan has {count} {name.removeprefix('max_')}, "
                f"{name} allows {limit}. Look whether all are meant; then raise the cap."
            )
