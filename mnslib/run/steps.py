"""The steps of a change over values: what the cells of a notebook and the library both do.

Each reads or writes through the library's rooms; what is decided is decided in `provisioning`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnslib.models import NamespaceSpec
from mnslib.provisioning.apply import apply, plan_again, read_disputed
from mnslib.provisioning.apply import read_back as checked_back
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import JOURNAL_NAME, Journal
from mnslib.provisioning.observe import ObservedState, observe
from mnslib.provisioning.plan import Plan, plan_to_json
from mnslib.provisioning.resume import Rest
from mnslib.requests.policy import read_policy
from mnslib.requests.tiers import read_tiers
from mnslib.results import ApplyResult, utc_now, utc_text
from mnslib.run.locks import only_writer
from mnslib.run.progress import apply_progress, watched
from mnslib.run.project import write_whole
from mnslib.run.runs import continue_journal
from mnslib.run.targets import Target

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import Snapshot

PLAN_NAME = "plan.json"


def rules(tiers_file: Path | None, policy_file: Path | None) -> dict[str, Any]:
    """Return what requests are read by, from the files that hold it."""
    return {
        "tiers": tiers_file and read_tiers(tiers_file),
        "policy": policy_file and read_policy(policy_file),
    }


def observed(
    specs: Sequence[NamespaceSpec], target: Target, *, known: ObservedState | None = None
) -> ObservedState:
    """Return what is there now of what the requests name; `known` as `observe` takes it."""
    return observe(specs, azure=target.azure, kube_for=target.kube_for, now=utc_now, known=known)


def write_plan(plan: Plan, directory: Path) -> None:
    """Write `plan.json` to the run directory."""
    content = plan_to_json(plan, created_utc=utc_text(utc_now()))
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(directory / PLAN_NAME, text + "\n")


def carry_out(
    approval: Approval,
    target: Target,
    *,
    directory: Path,
    rest: Rest | None = None,
    resumed: Path | None = None,
    **pace: Any,
) -> ApplyResult:
    """Return one outcome per item of an approved plan; shows progress; keeps the journal.

    Args:
        directory: of the run.
        rest: of an earlier plan that is resumed; its outcomes are part of the result.
        resumed: the directory of the run that had that plan.
        pace: how fast it may go, as `apply` takes it.

    Raises:
        LockedError: if another process writes to the same clusters.
    """
    journal = Journal(directory / JOURNAL_NAME, now=utc_now)
    rest = rest if approval.may_write else None
    clusters = {change.id.cluster for change in approval.plan.to_do} if approval.may_write else ()
    endpoint = target.azure.cloud.arm_endpoint
    with only_writer(clusters, endpoint=endpoint, run_directory=directory, now=utc_now()):
        if rest is not None and resumed is not None:
            continue_journal(resumed, directory, now=utc_now)
            for outcome in rest.decided:
                journal.write("finished", **outcome.to_json())
        result = apply(
            approval,
            azure=target.azure,
            kube_for=target.kube_for,
            journal=journal,
            observer=apply_progress(),
            **pace,
        )
    return rest.complete(result) if rest else result


def read_back(
    plan: Plan, result: ApplyResult, specs: Sequence[NamespaceSpec], target: Target
) -> tuple[ApplyResult, Plan]:
    """Return the result, every field of it compared with what reads back, and what is left to do.

    One list per cluster; what was reported as done is planned again, which must find nothing.
    """
    again = observed(specs, target, known=plan.observed)
    again = read_disputed(plan, result, again=again, azure=target.azure)
    checked = checked_back(plan, result, again=again)
    return checked, plan_again(specs, checked, again=again)


def read_usage(
    target: Target,
    *,
    subscription_ids: Sequence[str],
    clusters: Sequence[str],
    history: str,
    prometheus_endpoint: str,
    owner_label: str,
    inventory: str = "azure",
    prometheus_token_env: str = "",
    **window: Any,
) -> Snapshot:
    """Return what the clusters and the metrics say now, or the metrics alone; shows progress.

    Args:
        subscription_ids, clusters: as `Target.scope` takes them.
        history, prometheus_endpoint, prometheus_token_env: as `Target.prometheus` takes them.
        inventory: `azure`, or `history` to ask nothing but the metrics.
        window: `lookback_days` and `step_minutes`, as `collect` takes them.

    Raises:
        ConfigError: if there can be no such history, or no cluster is named.
    """
    from mnslib.capacity.collect import collect
    from mnslib.capacity.inventory import collect_from_metrics

    metrics = target.prometheus(history, prometheus_endpoint, token_env=prometheus_token_env)
    if inventory == "history" and metrics is not None:
        return collect_from_metrics(metrics, clusters=clusters, now=utc_now(), **window)
    subscriptions, ids = target.scope(subscription_ids, clusters)
    return collect(
        target.azure,
        target.kube_for,
        subscription_ids=subscriptions,
        clusters=ids,
        prometheus=metrics,
        now=utc_now(),
        owner_label=owner_label,
        watched=watched,
        **window,
    )
