"""Whether a plan may be applied: three explicit values, none inferred, and the caps. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from mnslib.errors import ConfigError, StalePlanError, UnsafePlanError
from mnslib.provisioning.changes import RiskName
from mnslib.provisioning.plan import Plan
from mnslib.results import ChangeKind

_NOTHING = "Nothing was written: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How much one run may do: `50` or `20%`; empty means no cap, which unattended runs may not.

    A percentage is of the requests of the run, rounded down.
    """

    max_changes: str = ""
    max_deletions: str = ""
    max_failures: str = ""

    def limits(self, total: int) -> dict[str, int | None]:
        """Return each cap as a count out of `total`, None without one.

        Raises:
            ConfigError: if a text is neither a count nor a percentage.
        """
        found: dict[str, int | None] = dict.fromkeys(asdict(self))
        for name, value in asdict(self).items():
            if not (text := str(value).strip()):
                continue
            count, is_share = text.removesuffix("%").strip(), text.endswith("%")
            if not re.fullmatch(r"\d+", count) or (is_share and int(count) > 100):
                raise ConfigError(
                    f"{name} is {text!r}: write a count such as 50 or a share such as 20%."
                )
            found[name] = total * int(count) // 100 if is_share else int(count)
        return found

    def as_counts(self, total: int) -> Caps:
        """Return the same caps as counts out of `total`, for a part of a plan of that size."""
        limits = self.limits(total)
        return Caps(**{name: "" if cap is None else str(cap) for name, cap in limits.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The decision on one plan.

    Attributes:
        may_write: False in a dry run, whatever else is said.
        is_unattended: by the parameters alone; nobody has read this plan.
        max_failures: once so many items have failed nothing new is started; None without a cap.
        failed_before: keys of those that failed in the run that is resumed; they count.
    """

    plan: Plan
    may_write: bool
    is_unattended: bool = False
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
    if approval not in ("digest", "unattended"):
        raise ConfigError(f"approval is {approval!r}: write digest or unattended.")
    known = sorted(name.value for name in RiskName)
    if unknown := sorted(set(allow) - set(known)):
        raise ConfigError(
            f"allow names unknown risks {', '.join(unknown)}; there are: {', '.join(known)}."
        )
    limits = (caps or Caps()).limits(len(plan.changes))
    most = limits["max_failures"]
    if dry_run or not plan.to_do:
        return Approval(plan=plan, may_write=not dry_run, max_failures=most)
    if approval == "digest":
        if approved_digest != plan.digest:
            raise StalePlanError(_NOTHING + _stale(plan.digest, approved_digest))
    elif caps and (empty := [name for name, cap in limits.items() if cap is None]):
        raise UnsafePlanError(
            f"{_NOTHING}an unattended run needs {', '.join(empty)}; "
            "write a count such as 50 or a share such as 20%."
        )
    if refused := [name for name in plan.risk_names() if name not in allow]:
        is_one = len(refused) == 1
        raise UnsafePlanError(
            f"{_NOTHING}the plan carries {'a risk that is' if is_one else 'risks that are'} not "
            f"accepted: {', '.join(refused)}. "
            "Read the plan's risks; to accept them, name them in allow."
        )
    deletions = sum(change.kind is ChangeKind.DELETE for change in plan.to_do)
    for what, count in (("changes", len(plan.to_do)), ("deletions", deletions)):
        limit = limits[f"max_{what}"]
        if limit is not None and count > limit:
            raise UnsafePlanError(
                f"{_NOTHING}the plan has {count} {what}, max_{what} allows {limit}. "
                "Look whether all are meant; then raise the cap."
            )
    if most is not None and len(failed_before) >= max(most, 1):
        number = len(failed_before)
        raise UnsafePlanError(
            f"{_NOTHING}{number} failed in the run that is resumed, and max_failures is "
            f"{most}. Mend the cause, then allow more than {number}: "
            "mns resume RUN --max-failures, or max_failures in the parameters."
        )
    return Approval(
        plan=plan,
        may_write=True,
        is_unattended=approval == "unattended",
        max_failures=most,
        failed_before=failed_before,
    )


def to_go_ahead(digest: str, risk_names: Iterable[str]) -> str:
    """Return what to write into the parameters so that a plan with these risks is applied."""
    allow = ", ".join(sorted(set(risk_names)))
    return f'dry_run: false\napproved_digest: "{digest}"\nallow: [{allow}]'


def _stale(digest: str, approved: str) -> str:
    if not approved:
        return (
            f'no plan is approved. Read the plan, then run again with approved_digest: "{digest}".'
        )
    return (
        f"the approved plan {approved[:23]}… is not the present one; what is asked or what is "
        "there has changed since. Read the plan again, then run with "
        f'approved_digest: "{digest}".'
    )
