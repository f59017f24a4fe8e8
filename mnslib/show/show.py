"""One question, one answer: of an analysis and a name, the finding, its picture and its table.

`show(tables, "utilization")` is what a cell of notebook 40 and `usage.show` in a blank notebook
return. Knows which displays belong together; makes no figure and draws nothing itself.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import pandas as pd

from mnslib.capacity import decide, summaries
from mnslib.capacity.advice import advice_rows
from mnslib.capacity.changed import Earlier, change_findings
from mnslib.capacity.clusters import absent_region, placement_findings, placement_rows
from mnslib.capacity.fit import fit_rows, given_pod
from mnslib.capacity.layers import absent_labels, absent_owner
from mnslib.capacity.refusals import refused_workloads, worst_refusals
from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.tables import Tables
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.errors import ConfigError, nearest
from mnslib.show import wording
from mnslib.show.displays import Actions, Callout, Names, Sentence, Stack
from mnslib.show.tables import told
from mnslib.show.templates import render_part
from mnslib.show.views import said, section, view

_DECISIONS = {
    "raise": decide.RAISE,
    "let_pods_start": decide.UNBLOCK,
    "lower_requests": decide.LOWER,
    "spare_clusters": "",
    "repair": "",
    "give_back": decide.GIVE_BACK,
}
"""Macros of `decisions.txt.j2`, the most urgent first, and of which kind their steps are."""


def show(tables: Tables, name: str) -> Stack:
    """Return what an analysis answers to one question.

    Args:
        name: one of `VIEWS`.

    Raises:
        ConfigError: if there is no such view; names those that are.
    """
    if name not in VIEWS:
        near = nearest(name, VIEWS)
        said = f"did you mean {near}?" if near else "write one of"
        raise ConfigError(f"There is no view {name!r}: {said} {', '.join(VIEWS)}.")
    from mnslib.show import charts  # of matplotlib, which takes its time

    return Stack(tuple(VIEWS[name](tables, charts)))


def decisions(decided: decide.Decided) -> Actions:
    """Return what a planner has to decide, each in a sentence with its amounts and its evidence.

    At most six: quotas, pods, requests, clusters, measuring, what is idle. What is asked of a
    namespace is its step, so that its owner's page asks for the same.
    """
    clusters = groupby(decided.excesses, lambda excess: excess.cluster_name)
    about = {
        "decided": decided,
        "clusters": [(name, list(found)) for name, found in clusters],
        "faults": [(said("counted", word, total), names) for word, total, names in decided.faults],
        "limit": f"{QUOTA_OVERCOMMIT_RATIO:g}",
        "share_kept": decide.PEAK_SHARE_KEPT,
    }
    actions = []
    for macro, kind in _DECISIONS.items():
        steps, total = decided.of(kind), dict.fromkeys((*decide.REQUESTS, "cpu", "memory"), 0.0)
        for amount in (amount for step in steps for amount in step.amounts):
            if amount.resource in total:
                change = amount.unused if kind == decide.LOWER else abs(amount.then - amount.now)
                total[amount.resource] += change
        amounts = [wording.rounded_text(name, value) for name, value in total.items() if value > 0]
        values = about | {"steps": steps, "amounts": amounts}
        title, _, why = render_part("decisions.txt.j2", macro, values).partition("\n")
        actions += [(title, " ".join(why.split()))] if title else []
    return Actions(
        actions=actions,
        empty="Nothing has to be decided: no quota is short or idle, no cluster is overcommitted, "
        "every next pod fits, and every figure holds.",
    )


def _drawn(chart: Any, rows: pd.DataFrame, note: str = "") -> Any:
    """Return a chart, or, where there is nothing to draw, what it says of that, and why."""
    return Sentence(f"{chart.alt} {note}".strip(), is_empty=True) if rows.empty else chart


def changes_report(changed: pd.DataFrame, earlier: Earlier) -> Stack:
    """Return what changed since an earlier run: a sentence, then the rows."""
    found = said("changed", change_findings(changed, earlier))
    return section(view("changed", changed), found, earlier.note)


def evidence_read(snapshot: Snapshot) -> tuple[Any, ...]:
    """Return what was read of each cluster, and what was not, with the reason."""
    read, about = snapshot.read_utc, snapshot.history
    table = view("reading", summaries.reading(snapshot), moment=read, about=about)
    errors = said("errors", summaries.by_text(snapshot.errors))
    box = Callout(title="Not everything was read", text=errors, tone="warning")
    return (table, box) if errors else (table,)


def _utilization(tables: Tables, charts: Any) -> Iterator[Any]:
    snapshot = tables.snapshot
    now, note = tables.utilization, snapshot.history
    yield _drawn(charts.utilization_now(now, moment=snapshot.read_utc, note=note), now)
    worst = summaries.at_quota(tables, limit=told("views")["at_quota"]["limit"])
    period = wording.period(*snapshot.period)
    table = view("at_quota", worst, total=len(tables.daily), about=note, period=period)
    since = section(table, said("since", summaries.since_findings(tables.days)))
    yield Stack([since], "Since when, how often and how long")
    names = sorted(set(snapshot.namespaces["namespace_name"]))
    yield Names("All namespaces that were read", names)


def _efficiency(tables: Tables, charts: Any) -> Iterator[Any]:
    layers, by_day, snapshot = tables.layers, tables.layers_by_day, tables.snapshot
    read: dict[str, Any] = {"moment": snapshot.read_utc, "note": snapshot.history}
    chart = charts.three_layers(layers, **read)
    yield Stack([_drawn(chart, layers)], "What is committed, requested and used")
    absent = said("absent_labels", absent_labels(layers, tables.group_by))
    absent = f"{absent} {said('absent_owner', absent_owner(snapshot, tables.owner_label))}".strip()
    yield Stack([view("sums", tables.sums["by_owner"], absent=absent)], "Who holds what")
    advice = view("advice", advice_rows(tables.advised))
    quadrant = _drawn(charts.quadrant(layers, **read), layers)
    yield Stack([quadrant, advice], "Shrink, grow, fix requests or healthy")
    known = by_day.dropna(subset=["hard", "requested", "usage"])
    chart = charts.layers_over_time(by_day, layers, **read)
    days = _drawn(chart, known, read["note"])
    yield Stack([days], "Day by day, all namespaces together")
    memory = summaries.layer_rows(layers, "memory")
    yield Stack([view("layers", memory, resource="memory")], "Memory, most idle first")


def _blocked(tables: Tables, charts: Any) -> Iterator[Any]:
    refused = refused_workloads(tables.refusals)
    found = said("refusals", worst_refusals(tables.snapshot, tables.refusals))
    yield section(view("refusals", refused), found)
    failing, given = fit_rows(tables.fit), said("given_pod", given_pod(tables.fit))
    grid = _drawn(charts.state_grid(tables.fit, moment=tables.snapshot.read_utc), tables.fit)
    table = view("fit", failing, answers=len(failing), given=given)
    what = "What still fits: the next pod, a rolling update, the autoscaler's maximum"
    yield Stack([grid, table], what)


def _clusters(tables: Tables, charts: Any) -> Iterator[Any]:
    table, snapshot = tables.commitment, tables.snapshot
    chart = charts.cluster_commitment(table, moment=snapshot.read_utc, note=snapshot.history)
    yield _drawn(chart, table)
    if table.empty:
        return
    headroom = said("headroom_meaning", QUOTA_OVERCOMMIT_RATIO)
    yield Stack([view("commitment", table, headroom=headroom)], "Commitment, as a table")
    absent = said("absent_region", absent_region(tables.placement))
    places = view("placement", placement_rows(tables.placement), absent=absent)
    found = said("placement", placement_findings(tables.placement))
    yield Stack([section(places, found)], "Which cluster takes the next namespace")


def _evidence(tables: Tables, charts: Any) -> Iterator[Any]:
    rows = summaries.evidence_rows(tables.evidence)
    yield Stack(evidence_read(tables.snapshot), "What was read of each cluster")
    found = said("evidence", summaries.evidence_findings(tables.worst_evidence))
    wrong = said("impossible", summaries.impossible_findings(tables.evidence))
    yield Stack([section(view("evidence", rows), found, wrong)], "What holds, and what does not")


def _files(tables: Tables, charts: Any) -> Iterator[Any]:
    rows = pd.DataFrame({"table": list(tables.all()), "rows": map(len, tables.all().values())})
    yield Stack([view("files", rows)], "Files with all figures")


def _withheld(tables: Tables) -> list[Sentence]:
    text = render_part("decisions.txt.j2", "withheld", tables.decided.withheld)
    return [Sentence(" ".join(text.split()))] if text else []


VIEWS: dict[str, Callable[[Tables, Any], Iterable[Any]]] = {
    "decisions": lambda tables, charts: [decisions(tables.decided), *_withheld(tables)],
    "changed": lambda tables, charts: [changes_report(tables.changed, tables.earlier)],
    "utilization": _utilization,
    "efficiency": _efficiency,
    "blocked": _blocked,
    "clusters": _clusters,
    "evidence": _evidence,
    "files": _files,
}
"""What can be shown of an analysis, in the order of the report."""
