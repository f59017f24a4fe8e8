"""The queries of `queries.yaml`, as they are sent. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mnslib.packaged import packaged

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
_LAST = "last_over_time({series}[{window}ms])"
_RENAMED = 'label_replace(%s, "%s", "$1", "exported_%s", "(.+)")'
_RENAMED_LABELS = ("namespace", "node", "pod", "container")
"""Of a scrape without `honor_labels`, which keeps a label of its own and renames the metric's.
Source: Prometheus, `scrape_config`."""
HISTORY = ("used", "hard", "usage_cpu", "usage_memory")
"""What is asked for over the lookback, by the frame that it fills; all are in `queries.yaml`."""
REQUESTED = ("scheduled", "requested", "listed")
"""Where what pods request may be read, the best first."""


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
        form: what is asked, with places for the selectors and for lengths of time.
        selectors: the series that it reads, so that they can be counted first, by the name of
            their query.
        labels: of the answer, in the order of a series' name.
    """

    form: str
    selectors: Mapping[str, str]
    labels: tuple[str, ...]

    @property
    def selector(self) -> str:
        """The first of `selectors`."""
        return next(iter(self.selectors.values()))

    def text(self, seconds: int) -> str:
        """Return the query for steps of so many seconds.

        A window is a millisecond short of it: in Prometheus 2.x it is closed at both ends, and a
        sample on the edge of two steps would count for both.
        """
        return self._filled(self.form, seconds)

    def count(self, seconds: int | None = None) -> str:
        """Return the query that says how many series it would read.

        Args:
            seconds: seen within so many before a moment; None for those seen at that moment.
        """
        form = "{series}" if seconds is None else _LAST
        every = " or ".join(form.replace("series", name) for name in self.selectors)
        return self._filled(f"count({every})", seconds or 0)

    def _filled(self, form: str, seconds: int) -> str:
        return form.format(**self.selectors, seconds=seconds, window=seconds * 1000 - 1)


def query_of(
    name: str, cluster: ClusterNames, *, last: bool = False, by_node: bool = False
) -> RangeQuery:
    """Return one of the queries of `queries.yaml`.

    A renamed label counts as what it was.

    Args:
        last: ask for what the window saw last, not for what its end shows: scrapes may be rare.
        by_node: of what pods request, tell apart the nodes that they are on.
    """
    queries = packaged("mnslib.capacity", "queries")
    asked, selectors = queries[name], {}
    form = f"{asked['take']} by ({', '.join(asked['by'])}) ({asked.get('of', f'<{name}>')})"
    labels = tuple(asked["by"])
    if by_node:
        form = form.replace(" by (namespace, ", " by (namespace, node, ")
        labels = ("namespace", "node", *labels[1:])
    grouped = re.findall(r"\w+", form)
    renamed = [label for label in _RENAMED_LABELS if cluster.is_renamed and label in grouped]
    for part in (name, *asked.get("beside", ())):
        one = queries[part]
        selectors[part] = f"{one['metric']}{{{cluster.matcher},{one['where']}}}"
        value = (_LAST if last else one["value"]).replace("{series}", f"{{{part}}}")
        for label in renamed:
            value = _RENAMED % (value, label, label)
        form = form.replace(f"<{part}>", value)
    return RangeQuery(form, selectors, labels)


def clusters_query(metric: str) -> RangeQuery:
    """Return the query that finds the clusters that a metric names, however briefly.

    And the namespaces of those whose scrape has renamed them; others have that label empty.
    """
    labels = ("cluster", "exported_namespace")
    return RangeQuery(f"count by ({', '.join(labels)}) ({_LAST})", {"series": metric}, labels)


def samples_query(cluster: ClusterNames, namespaces: Sequence[str], *, seconds: int) -> str:
    """Return the query for all samples of `used` of some namespaces within so many seconds."""
    selector = query_of("used", cluster).selector.removesuffix("}")
    return f'{selector},namespace=~"{_any_of(namespaces)}"}}[{seconds * 1000 - 1}ms]'


def _any_of(values: Sequence[str]) -> str:
    return _escaped("|".join(re.sub(r"([^\w-])", r"\\\1", value) for value in values))


def _escaped(text: str) -> str:
    """Return a label's value as PromQL writes it between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
