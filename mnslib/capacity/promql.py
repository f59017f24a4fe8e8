"""The queries, as they are sent: one metric name each, which Azure Monitor demands. Pure text.

Source of the names: kube-state-metrics and cAdvisor; all are in Azure Monitor's minimal ingestion
profile, so that they are there once the metrics add-on is on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LOOKBACK_DAYS = (1, 548)
"""Fewest and most days of history. Source: Azure Monitor keeps metrics for 18 months."""

_STEP_MINUTES = (1, 24 * 60)
"""Shortest and longest distance of two samples. Source: Azure Monitor limits: step of at least 60 s
where the range is 48 h or more; the longest is our choice, a sample a day."""

MOST_SAMPLES = 100_000
"""Of one series over the lookback; our choice: two months of minutes, eleven years of hours."""


def window_problems(*, lookback_days: int, step_minutes: int) -> dict[str, str]:
    """Return by parameter what is wrong with the time that is asked for; empty where nothing is."""
    asked = {"lookback_days": (lookback_days, LOOKBACK_DAYS)}
    asked |= {"step_minutes": (step_minutes, _STEP_MINUTES)}
    found = {
        name: f"{name} is {value}; write {least} to {most}."
        for name, (value, (least, most)) in asked.items()
        if not least <= value <= most
    }
    least = -(-lookback_days * 24 * 60 // MOST_SAMPLES)
    if not found and step_minutes < least:
        found["step_minutes"] = (
            f"step_minutes is {step_minutes}; write {least} or more for {lookback_days} days."
        )
    return found


QUOTA_LABELS = ("namespace", "resourcequota", "resource")
QUOTAS, REQUESTS = "kube_resourcequota", "kube_pod_container_resource_requests"
_LAST = "last_over_time({0}[{2}ms])"
_LAST_QUOTA = f"max by (namespace, resourcequota, resource) ({_LAST})"
_USED = QUOTAS + '{{{0},type="used"}}'
_REQUESTED = REQUESTS + '{{{0},resource=~"cpu|memory"}}'
_QUERIES = {
    "used": (
        "max by (namespace, resourcequota, resource) (max_over_time({0}[{2}ms]))",
        _USED,
        QUOTA_LABELS,
    ),
    "hard": (_LAST_QUOTA, QUOTAS + '{{{0},type="hard"}}', QUOTA_LABELS),
    "requested": ("sum by (namespace, resource) ({0})", _REQUESTED, ("namespace", "resource")),
    "usage_cpu": (
        "sum by (namespace) (rate({0}[{1}s]))",
        'container_cpu_usage_seconds_total{{{0},container!=""}}',
        ("namespace",),
    ),
    "usage_memory": (
        "sum by (namespace) (max_over_time({0}[{2}ms]))",
        'container_memory_working_set_bytes{{{0},container!=""}}',
        ("namespace",),
    ),
    "last_used": (_LAST_QUOTA, _USED, QUOTA_LABELS),
    "namespaces": (f"count by (namespace) ({_LAST})", _REQUESTED, ("namespace",)),
    "nodes": (
        "max by (node, resource) ({0})",
        'kube_node_status_allocatable{{{0},resource=~"cpu|memory"}}',
        ("node", "resource"),
    ),
}
_RENAMED = 'label_replace(%s, "%s", "$1", "exported_%s", "(.+)")'
"""Of a scrape without `honor_labels`, which keeps a label of its own and renames the metric's.
Source: Prometheus, `scrape_config`."""
HISTORY = ("used", "hard", "requested", "usage_cpu", "usage_memory")
"""What is asked for over the lookback, by the frame that it fills.

The others: `last_used`, what the window counted last, as `hard` is; `namespaces`, those whose pods
ask for anything, however briefly; `nodes`, what they give now."""


class ClusterNames(NamedTuple):
    """What metrics call one cluster.

    Attributes:
        values: of the label `cluster`, which differ in case alone; one is empty for series without.
        is_renamed: whether the namespace of some series is in `exported_namespace`.
    """

    values: tuple[str, ...]
    is_renamed: bool = False

    @property
    def matcher(self) -> str:
        """The part of a selector that finds its series."""
        if len(self.values) == 1:
            return f'cluster="{_escaped(self.values[0])}"'
        return f'cluster=~"{_any_of(self.values)}"'


UNLABELED = ClusterNames(("",))


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """A query whose text depends on the step.

    Attributes:
        form: what is asked, with places for selector and seconds.
        selector: the series that it reads, so that they can be counted first.
        labels: of the answer, in the order of a series' name.
    """

    form: str
    selector: str
    labels: tuple[str, ...]

    def text(self, seconds: int) -> str:
        """Return the query for steps of so many seconds.

        A window is a millisecond short of it: in Prometheus 2.x it is closed at both ends, and a
        sample on the edge of two steps would count for both.
        """
        return self.form.format(self.selector, seconds, seconds * 1000 - 1)

    def count(self, seconds: int | None = None) -> str:
        """Return the query that says how many series it would read.

        Args:
            seconds: seen within so many before a moment; None for those seen at that moment.
        """
        form = "count({0})" if seconds is None else f"count({_LAST})"
        return form.format(self.selector, seconds, (seconds or 0) * 1000 - 1)


def query_of(name: str, cluster: str | ClusterNames, *, last: bool = False) -> RangeQuery:
    """Return one of the queries.

    What two names of a cluster both have counts once, and a renamed label as what it was.

    Args:
        name: `HISTORY` has some, and says what the others are.
        cluster: the value of the label `cluster`, empty for series without it, or all it has.
        last: ask for what the window saw last, not for what its end shows: scrapes may be rare.
    """
    names = ClusterNames((cluster,)) if isinstance(cluster, str) else cluster
    form, selector, labels = _QUERIES[name]
    form = form.replace("{0}", _LAST) if last else form
    by, _, inner = form.partition(") (")
    inner = inner.removesuffix(")")
    for label in {"namespace", "node"}.intersection(labels) if names.is_renamed else ():
        inner = _RENAMED % (inner, label, label)
    if len(names.values) > 1:
        inner = f"max without (cluster) ({inner})"
    return RangeQuery(f"{by}) ({inner})", selector.format(names.matcher), labels)


def clusters_query(metric: str) -> RangeQuery:
    """Return the query that finds the clusters that a metric names, however briefly.

    And the namespaces of those whose scrape has renamed them; others have that label empty.
    """
    labels = ("cluster", "exported_namespace")
    return RangeQuery(f"count by ({', '.join(labels)}) ({_LAST})", metric, labels)


def samples_query(cluster: str | ClusterNames, namespaces: Sequence[str], *, seconds: int) -> str:
    """Return the query for all samples of `used` of some namespaces within so many seconds."""
    selector = query_of("used", cluster).selector.removesuffix("}")
    return f'{selector},namespace=~"{_any_of(namespaces)}"}}[{seconds * 1000 - 1}ms]'


def _any_of(values: Sequence[str]) -> str:
    return _escaped("|".join(re.sub(r"([^\w-])", r"\\\1", value) for value in values))


def _escaped(text: str) -> str:
    """Return a label's value as PromQL writes it between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
