"""The queries, as they are sent: one metric name each, which Azure Monitor demands. Pure text.

Source of the names: kube-state-metrics and cAdvisor; all are in Azure Monitor's minimal ingestion
profile, so that they are there once the metrics add-on is on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STEP_MINUTES = (1, 24 * 60)
"""Shortest and longest distance of two samples. Source: Azure Monitor limits: step of at least 60 s
where the range is 48 h or more; the longest is our choice, a sample a day."""

QUOTA_LABELS = ("namespace", "resourcequota", "resource")
REQUEST_LABELS = ("namespace", "resource")

QUOTAS, REQUESTS = "kube_resourcequota", "kube_pod_container_resource_requests"
_LAST = "last_over_time({0}[{2}ms])"
_QUERIES = {
    "used": (
        "max by (namespace, resourcequota, resource) (max_over_time({0}[{2}ms]))",
        QUOTAS + '{{cluster="{0}",type="used"}}',
        QUOTA_LABELS,
    ),
    "hard": (
        f"max by (namespace, resourcequota, resource) ({_LAST})",
        QUOTAS + '{{cluster="{0}",type="hard"}}',
        QUOTA_LABELS,
    ),
    "requested": (
        "sum by (namespace, resource) ({0})",
        REQUESTS + '{{cluster="{0}",resource=~"cpu|memory"}}',
        REQUEST_LABELS,
    ),
    "usage_cpu": (
        "sum by (namespace) (rate({0}[{1}s]))",
        'container_cpu_usage_seconds_total{{cluster="{0}",container!=""}}',
        ("namespace",),
    ),
    "usage_memory": (
        "sum by (namespace) (max_over_time({0}[{2}ms]))",
        'container_memory_working_set_bytes{{cluster="{0}",container!=""}}',
        ("namespace",),
    ),
    "nodes": (
        "max by (node, resource) ({0})",
        'kube_node_status_allocatable{{cluster="{0}",resource=~"cpu|memory"}}',
        ("node", "resource"),
    ),
}
HISTORY = ("used", "hard", "requested", "usage_cpu", "usage_memory")
"""What is asked for over the lookback, by the frame that it fills; `nodes` are asked for now."""


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


def history_queries(cluster: str) -> Mapping[str, RangeQuery]:
    """Return the range queries by what they fill.

    Args:
        cluster: the value of the label `cluster`, empty for series without it.
    """
    return {name: _query(cluster, name) for name in HISTORY}


def clusters_query(metric: str) -> RangeQuery:
    """Return the query that finds the clusters that a metric names, however briefly."""
    return RangeQuery(f"count by (cluster) ({_LAST})", metric, ("cluster",))


def namespaces_query(cluster: str) -> RangeQuery:
    """Return the query that finds the namespaces whose pods ask for anything, however briefly."""
    selector = _query(cluster, "requested").selector
    return RangeQuery(f"count by (namespace) ({_LAST})", selector, ("namespace",))


def requests_query(cluster: str) -> RangeQuery:
    """Return the query for what pods ask for where scrapes are rare: all that each step saw."""
    return _query(cluster, "requested", last=True)


def quotas_now(cluster: str, kind: str, *, seconds: int) -> str:
    """Return the query for the last sample, within so many seconds, of `hard` or of `used`."""
    last, own = _query(cluster, "hard"), _query(cluster, kind)
    return RangeQuery(last.form, own.selector, own.labels).text(seconds)


def peak_now(cluster: str, *, seconds: int) -> str:
    """Return the query for the highest `used` within so many seconds: of the step under way."""
    return _query(cluster, "used").text(seconds)


def samples_query(cluster: str, namespaces: Sequence[str], *, seconds: int) -> str:
    """Return the query for all samples of `used` of some namespaces within so many seconds."""
    names = "|".join(re.sub(r"([^\w-])", r"\\\1", name) for name in namespaces)
    selector = _query(cluster, "used").selector.removesuffix("}")
    return f'{selector},namespace=~"{_escaped(names)}"}}[{seconds * 1000 - 1}ms]'


def seen_now(cluster: str, kind: str, *, seconds: int | None = None) -> str:
    """Return the query for what pods ask for (`requested`) or nodes give (`nodes`).

    Args:
        seconds: seen within so many; None for what is seen at the moment.
    """
    return _query(cluster, kind, last=seconds is not None).text(seconds or 0)


def _query(cluster: str, name: str, *, last: bool = False) -> RangeQuery:
    """Return one of the queries; `last` for what the window saw last, not what its end shows."""
    form, selector, labels = _QUERIES[name]
    form = form.replace("{0}", _LAST) if last else form
    return RangeQuery(form, selector.format(_escaped(cluster)), labels)


def _escaped(text: str) -> str:
    """Return a label's value as PromQL writes it between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
