"""The steps of a change over values: what the cells of a notebook and the library both do.

Each reads or writes through the library's rooms; what is decided is decided in `provisioning`. Long
work shows how far it is: as a bar in a notebook, as lines of a log elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mnslib.models import NamespaceSpec
from mnslib.provisioning.apply import Progress, apply
from mnslib.provisioning.apply import read_back as checked_back
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import JOURNAL_NAME, Journal
from mnslib.provisioning.observe import ObservedState, missing_clusters, observe
from mnslib.provisioning.plan import Plan, plan_to_json
from mnslib.provisioning.preflight import preflight, require_passed
from mnslib.provisioning.resume import Rest
from mnslib.requests.policy import read_policy
from mnslib.requests.tiers import read_tiers
from mnslib.results import ApplyResult, CheckResult, utc_now, utc_text
from mnslib.run.locks import only_writer
from mnslib.run.project import RUN_DIRECTORY_VARIABLE, existing_file, write_whole
from mnslib.run.runs import continue_journal
from mnslib.run.targets import Target
from mnslib.show.templates import render_part

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import Snapshot

PLAN_NAME = "plan.json"
SECONDS_BETWEEN_LINES = 2.0
"""A log gets a line at most so often; a person reads no faster."""

Show = Callable[[str, int, int], None]
"""Is given a sentence, how much is done, and of how much."""
_Found = TypeVar("_Found")


def rules(target: Target, *, tiers_file: str, policy_file: str) -> dict[str, Any]:
    """Return what requests are read by, from the files that hold it; an empty name is none.

    If a request has a mistake, clusters that are not there are told with it.

    Raises:
        ConfigError: if a file is not there, or does not hold it.
    """
    return {
        "tiers": read_tiers(existing_file("tiers_file", tiers_file)) if tiers_file else None,
        "policy": read_policy(existing_file("policy_file", policy_file)) if policy_file else None,
        "missing": lambda clusters: missing_clusters(clusters, target.azure),
    }


def observed(
    specs: Sequence[NamespaceSpec], target: Target, *, known: ObservedState | None = None
) -> ObservedState:
    """Return what is there now of what the requests name; `known` as `observe` takes it."""
    return observe(specs, azure=target.azure, kube_for=target.kube_for, now=utc_now, known=known)


def checked(specs: Sequence[NamespaceSpec], found: ObservedState) -> tuple[CheckResult, ...]:
    """Return the checks before a plan.

    Raises:
        PreflightError: if one failed.
    """
    checks = preflight(specs, found)
    require_passed(checks)
    return checks


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
    clusters = {change.id.cluster for change in approval.plan.to_do} if approval.may_write else ()
    endpoint = target.azure.cloud.arm_endpoint
    with only_writer(clusters, endpoint=endpoint, run_directory=directory, now=utc_now()):
        if approval.may_write and rest is not None and resumed is not None:
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
    return checked_back(plan, result, specs, again=again, azure=target.azure)


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


def apply_progress() -> Callable[[Progress], None]:
    """Return an observer of an apply: a bar that moves, or a line now and then."""
    show, shown, shown_at = shower(), "", float("-inf")
    seconds = 0.0 if is_notebook() else SECONDS_BETWEEN_LINES

    def observe(progress: Progress) -> None:
        nonlocal shown, shown_at
        is_begun = progress.elapsed_seconds <= SECONDS_BETWEEN_LINES
        text = render_part("run.txt.j2", "progress", progress, is_begun).strip()
        is_due = progress.elapsed_seconds - shown_at >= seconds
        is_over = not (progress.running or progress.waiting)
        if text != shown and (is_due or is_over):
            shown, shown_at = text, progress.elapsed_seconds
            show(text, progress.done, progress.total)

    return observe


def watched(found: Iterable[_Found], total: int) -> Iterator[_Found]:
    """Yield what is read of so many clusters; shows how far it is where that takes longer."""
    show: Show | None = None
    shown_at = time.monotonic()
    for done, one in enumerate(found, 1):
        if time.monotonic() - shown_at >= SECONDS_BETWEEN_LINES or (show and done == total):
            show, shown_at = show or shower(), time.monotonic()
            show(f"{done} of {total} clusters read", done, total)
        yield one


def is_notebook() -> bool:
    """Return whether a person looks on: this is a notebook's kernel, and not the runner's."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel") and RUN_DIRECTORY_VARIABLE not in os.environ


def shower() -> Show:
    """Return what shows progress here: one bar in a notebook, lines on standard error elsewhere."""
    if not is_notebook():
        return _write_line
    from IPython.display import HTML, DisplayHandle

    bar = DisplayHandle()  # type: ignore[no-untyped-call]
    bar.display(HTML(""))  # type: ignore[no-untyped-call]

    def show(text: str, done: int, total: int) -> None:
        bar.update(  # type: ignore[no-untyped-call]
            HTML(  # type: ignore[no-untyped-call]
                f'<progress value="{done}" max="{max(total, 1)}" style="width:100%"></progress>'
                f"<div>{escape(text)}</div>"
            )
        )

    return show


def _write_line(text: str, _done: int, _total: int) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
