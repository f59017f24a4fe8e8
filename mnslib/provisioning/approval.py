"""Whether a plan may be applied: three explicit values, none inferred, and the caps. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from mnslib.errors import ConfigError, StalePlanError, UnsafePlanError
from mnslib.provisioning.changes import RiskName, words
from mnslib.provisioning.plan import Plan
from mnslib.results import ChangeKind


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
        if problems := cap_problems(asdict(self)):
            raise ConfigError(" ".join(problems.values()))
        found: dict[str, int | None] = dict.fromkeys(asdict(self))
        for name, value in asdict(self).items():
            if text := value.strip():
                count = int(text.removesuffix("%"))
                found[name] = total * count // 100 if text.endswith("%") else count
        return found


def cap_problems(texts: Mapping[str, str]) -> dict[str, str]:
    """Return by its name what is wrong with each cap among some texts."""
    return {
        cap.name: f"{cap.name} is {text!r}: write a count such as 50 or a share such as 20%."
        for cap in fields(Caps)
        if (text := texts.get(cap.name, "").strip())
        and not re.fullmatch(r"\d{1,9}|(\d\d?|100) ?%", text, re.ASCII)
    }


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
    total: int | None = None,
    failed_before: frozenset[str] = frozenset(),
) -> Approval:
    """Return the decision; in a dry run it is always "do not write".

    Args:
        approval: `digest` (a person read the plan and names it) or `unattended`.
        approved_digest: the digest of the plan that was read.
        allow: names of the risks that are accepted.
        caps: None where the job is a single namespace, which needs none.
        total: of requests, of which a share is a share; None for those of the plan.
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
        said = ", ".join(unknown)
        raise ConfigError(f"allow names unknown risks {said}; there are: {', '.join(known)}.")
    limits = (caps or Caps()).limits(len(plan.changes) if total is None else total)
    decided = Approval(
        plan=plan,
        may_write=not dry_run,
        is_unattended=approval == "unattended",
        max_failures=limits["max_failures"],
        failed_before=failed_before,
    )
    if dry_run or not plan.to_do:
        return decided
    if approval == "digest" and approved_digest != plan.digest:
        why = "another-digest" if approved_digest else "no-digest"
        raise StalePlanError(_refused(why, digest=plan.digest, approved=approved_digest[:23]))
    if approval == "unattended" and caps and None in limits.values():
        empty = [name for name, cap in limits.items() if cap is None]
        raise UnsafePlanError(_refused("no-cap", names=", ".join(empty)))
    if names := [name for name in plan.risk_names() if name not in allow]:
        why = "risks" if names[1:] else "risk"
        raise UnsafePlanError(_refused(why, names=", ".join(names)))
    deletions = sum(change.kind is ChangeKind.DELETE for change in plan.to_do)
    for what, count in (("changes", len(plan.to_do)), ("deletions", deletions)):
        limit = limits[f"max_{what}"]
        if limit is not None and count > limit:
            raise UnsafePlanError(_refused("over-cap", what=what, count=count, limit=limit))
    most, count = limits["max_failures"], len(failed_before)
    if most is not None and count >= max(most, 1):
        raise UnsafePlanError(_refused("failed-before", count=count, limit=most))
    return decided


def _refused(why: str, **facts: object) -> str:
    return f"Nothing was written: {words('refusals')[why].format_map(facts)}"


def to_go_ahead(digest: str, risk_names: Iterable[str], *, in_python: bool = False) -> str:
    """Return what to write so that a plan is applied: into a parameter file, or into the cell."""
    names = sorted(set(risk_names))
    if in_python:
        return f'dry_run = False\napproved_digest = "{digest}"\nallow = {json.dumps(names)}'
    allow = ", ".join(names)
    return f'dry_run: false\napproved_digest: "{digest}"\nallow: [{allow}]'
