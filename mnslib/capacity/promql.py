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
_MAX_QUOTA = "max by (namespace, resourcequota, resource) "
_HISTORY = {
    "used": (
        _MAX_QUOTA + "(max_over_time({0}[{2}ms]))",
        QUOTAS + '{{cluster="{0}",type="used"}}',
        QUOTA_LABELS,
    ),
    "hard": (
        _MAX_QUOTA + f"({_LAST})",
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
}
_NODES = 'kube_node_status_allocatable{{cluster="{0}",resource=~"cpu|memory"}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeQuery:
    """A query whose text depends on the step.

    Attributes:
        form: what is asked, with places for selector and seconds.
        selector: the series that it reads, so that they can be counted first.
        labels: of the answer, in the order of a series' name.
        window: seconds that each value looks back over; None for the step.
    """

    form: str
    selector: str
    labels: tuple[str, ...]
    window: int | None = None

    def text(self, seconds: int) -> str:
        """Return the query for steps of so many seconds.

        A window is a millisecond short of it: in Prometheus 2.x it is closed at both ends, and a
        sample on the edge of two steps would count for both.
        """
        length = self.window or seconds
        return self.form.format(self.selector, length, length * 1000 - 1)

    def count(self, seconds: int | None = None) -> str:
        """Return the query that says how many series it would read.

        Args:
            seconds: seen within so many before a moment; None for those seen at that moment.
        """
        if seconds is None:
            return f"count({self.selector})"
        return f"count({_LAST.format(self.selector, seconds, seconds * 1000 - 1)})"


def history_queries(cluster: str) -> Mapping[str, RangeQuery]:
    """Return the range queries by what they fill.

    Args:
        cluster: the value of the label `cluster`, empty for series without it.
    """
    return {
        name: RangeQuery(form=form, selector=selector.format(_escaped(cluster)), labels=labels)
        for name, (form, selector, labels) in _HISTORY.items()
    }


def clusters_query(metric: str) -> RangeQuery:
    """Return the query that finds the clusters that a metric names, however briefly."""
    return RangeQuery(form=f"count by (cluster) ({_LAST})", selector=metric, labels=("cluster",))


def namespaces_query(cluster: str) -> RangeQuery:
    """Return the query that finds the namespaces whose pods ask for anything, however briefly."""
    return RangeQuery(
        form=f"count by (namespace) ({_LAST})",
        selector=_HISTORY["requested"][1].format(_escaped(cluster)),
        labels=("namespace",),
    )


def requests_query(cluster: str) -> RangeQuery:
    """Return the query for what pods ask for where scrapes are rare: all that each step saw."""
    selector = _HISTORY["requested"][1].format(_escaped(cluster))
    form = f"sum by (namespace, resource) ({_LAST})"
    return RangeQuery(form=form, selector=selector, labels=REQUEST_LABELS)


def quotas_now(cluster: str, kind: str, *, seconds: int) -> str:
    """Return the query for the last sample, within so many seconds, of `hard` or of `used`."""
    form, selector, labels = _HISTORY["hard"][0], _HISTORY[kind][1], QUOTA_LABELS
    selector = selector.format(_escaped(cluster))
    return RangeQuery(form=form, selector=selector, labels=labels).text(seconds)


def peak_now(cluster: str, *, seconds: int) -> str:
    """Return the query for the highest `used` within so many seconds: of the step under way."""
    return history_queries(cluster)["used"].text(seconds)


def samples_query(cluster: str, namespaces: Sequence[str], *, seconds: int) -> str:
    """Return the query for all samples of `used` of some namespaces within so many seconds."""
    names = "|".join(re.sub(r"([^\w-])", r"\\\1", name) for name in namespaces)
    selector = _HISTORY["used"][1].format(_escaped(cluster)).removesuffix("}")
    return f'{selector},namespace=~"{_escaped(names)}"}}[{seconds * 1000 - 1}ms]'


def requests_now(cluster: str, *, seconds: int | None = None) -> str:
    """Return the query for what pods ask for, by namespace: at one moment, or within seconds."""
    if seconds is None:
        return history_queries(cluster)["requested"].text(0)
    return requests_query(cluster).text(seconds)


def nodes_now(cluster: str, *, seconds: int | None = None) -> str:
    """Return the query for what each node gives: at one moment, or within so many seconds."""
    form, selector = "max by (node, resource) ({0})", _NODES.format(_escaped(cluster))
    if seconds is not None:
        form = form.format(_LAST)
    return RangeQuery(form=form, selector=selector, labels=()).text(seconds or 0)


def _escaped(text: str) -> str:
    """Return a label's value as PromQL writes it between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
