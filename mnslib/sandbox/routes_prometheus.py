"""Managed Prometheus: `query_range`, for exactly the query shapes named in docs/sandbox.md."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from urllib.parse import parse_qsl

from mnslib.sandbox.history import Steps, cluster_steps
from mnslib.sandbox.resources import CLUSTER_TYPE
from mnslib.sandbox.wire import Answer, Call, prometheus_error, routes

MAX_POINTS = 11_000  # per series; Source: Prometheus web API
MAX_RANGE_SECONDS = 32 * 86400  # range selector included; Source: azure-monitor-limits-metrics
LONG_RANGE_SECONDS = 48 * 3600  # from here on a step is at least 60 s; Source: the same page


def _form(text: str) -> re.Pattern[str]:
    """Return the pattern of a query written without spaces; C stands for the clusters."""
    clusters = r'cluster(?P<op>=~|=)"(?P<clusters>[\w.|-]+)"'
    form = re.escape(text).replace("C,", f"{clusters},").replace("Ns", r"(?P<window>[0-9]{1,9})s")
    return re.compile(form)


_QUOTA = "max by(namespace,resourcequota,resource)"
_FORMS = {
    "used": _form(_QUOTA + '(max_over_time(kube_resourcequota{C,type="used"}[Ns]))'),
    "hard": _form(_QUOTA + '(last_over_time(kube_resourcequota{C,type="hard"}[Ns]))'),
    "cpu": _form('sum by(namespace)(rate(container_cpu_usage_seconds_total{C,container!=""}[Ns]))'),
    "memory": _form(
        'sum by(namespace)(max_over_time(container_memory_working_set_bytes{C,container!=""}[Ns]))'
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One understood range query; times in seconds."""

    what: str
    clusters: frozenset[str]
    window: int
    start: float
    end: float
    step: float

    def times(self) -> list[float]:
        """Return the evaluation times."""
        count = int((self.end - self.start) / self.step + 1e-9) + 1
        return [self.start + index * self.step for index in range(count)]


def query_range(call: Call) -> Answer:
    """Return a matrix."""
    fields = dict(call.query)
    if call.method == "POST":
        fields |= dict(parse_qsl(call.body.decode("utf-8", "replace")))
    query = _parse(fields)
    result: dict[tuple[str, ...], dict[float, float]] = {}
    for cluster in call.state.resources(CLUSTER_TYPE):
        if cluster["name"] not in query.clusters:
            continue
        for namespace, steps in cluster_steps(call.state, cluster["id"].lower()).items():
            for labels, points in _evaluate(query, namespace, steps, call.state.now()):
                _add(result, labels, points, add=query.what in ("cpu", "memory"))
    names = ("namespace", "resourcequota", "resource")
    matrix = [
        {
            "metric": dict(zip(names, labels, strict=False)),
            "values": [[time, _text(value)] for time, value in sorted(points.items())],
        }
        for labels, points in sorted(result.items())
        if points
    ]
    return Answer(body={"status": "success", "data": {"resultType": "matrix", "result": matrix}})


def _add(
    result: dict[tuple[str, ...], dict[float, float]],
    labels: tuple[str, ...],
    points: dict[float, float],
    *,
    add: bool,
) -> None:
    """Bring in one cluster's series: `sum by` adds to what is there, `max by` takes the larger."""
    present = result.setdefault(labels, {})
    for time, value in points.items():
        old = present.get(time)
        present[time] = value if old is None else old + value if add else max(old, value)


@lru_cache(maxsize=100_000)
def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _parse(fields: dict[str, str]) -> Query:
    """Return the understood query.

    Raises:
        Refusal: 400 bad_data, or 422 over a limit.
    """
    text = re.sub(r"\s*([(){}\[\],=~!])\s*", r"\1", " ".join(fields.get("query", "").split()))
    start, end = (_moment(fields.get(name, ""), name) for name in ("start", "end"))
    step = _duration(fields.get("step", ""))
    for what, form in _FORMS.items():
        if match := form.fullmatch(text):
            names = match["clusters"].split("|") if match["op"] == "=~" else [match["clusters"]]
            query = Query(
                what=what,
                clusters=frozenset(names),
                window=int(match["window"]),
                start=start,
                end=end,
                step=step,
            )
            _check_limits(query)
            return query
    shapes = "the sandbox answers only the query shapes named in docs/sandbox.md"
    raise prometheus_error(
        400, "bad_data", f'invalid parameter "query": {shapes}; got: {text[:300]}'
    )


def _check_limits(query: Query) -> None:
    reach = query.end - query.start
    if query.end < query.start or query.step <= 0 or query.window <= 0:
        text = "end timestamp must not be before start, step and range must be positive"
        raise prometheus_error(400, "bad_data", text)
    if reach / query.step > MAX_POINTS:
        text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
        raise prometheus_error(400, "bad_data", f"{text}query resolution (?step=XX)")
    if reach + query.window > MAX_RANGE_SECONDS:
        raise prometheus_error(422, "execution", "the query reaches over more than 32 days")
    if reach >= LONG_RANGE_SECONDS and query.step < 60:
        text = "step must be at least 60 s when the range is 48 hours or more"
        raise prometheus_error(422, "execution", text)


def _moment(text: str, name: str) -> float:
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        message = f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp'
        raise prometheus_error(400, "bad_data", message) from None


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|m|h|d)?", text)
    if not match:
        message = f'invalid parameter "step": cannot parse "{text}" to a valid duration'
        raise prometheus_error(400, "bad_data", message)
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}[match[2]]


def _evaluate(
    query: Query, namespace: str, steps: Steps, now: float
) -> Iterator[tuple[tuple[str, ...], dict[float, float]]]:
    """Yield label values and points of each series of a namespace; times without sample are out."""
    spans = _spans(query, steps, now)
    choose = max if query.what != "hard" else itemgetter(-1)
    for (kind, quota, resource), column in steps.series.items():
        quotas = query.what in ("used", "hard") and kind == query.what
        if not quotas and not (kind == "usage" and resource == query.what):
            continue
        labels = (namespace, quota, resource) if quotas else (namespace,)
        points = _mean(spans, column) if query.what == "cpu" else _chosen(choose, spans, column)
        if points:
            yield labels, points


@dataclass(frozen=True, slots=True)
class _Span:
    """The rows low..high that lie in the window (time - window, time], and how long each does."""

    time: float
    low: int
    high: int
    weights: tuple[float, ...]


def _spans(query: Query, steps: Steps, now: float) -> list[_Span]:
    spans = []
    for time in query.times():
        begin, end = time - query.window, min(time, now)
        low = max(0, bisect_right(steps.times, begin) - 1)
        high = bisect_right(steps.times, end) - 1
        if begin >= now or high < low:
            continue
        weights: tuple[float, ...] = ()
        if query.what == "cpu":
            edges = [max(begin, steps.times[low]), *steps.times[low + 1 : high + 1], end]
            weights = tuple(right - left for left, right in pairwise(edges))
        spans.append(_Span(time, low, high, weights))
    return spans


Points = dict[float, float]
Column = list[float | None]


def _chosen(choose: Callable[[list[float]], float], spans: list[_Span], column: Column) -> Points:
    points = {}
    for span in spans:
        if held := [v for v in column[span.low : span.high + 1] if v is not None]:
            points[span.time] = choose(held)
    return points


def _mean(spans: list[_Span], column: Column) -> Points:
    points = {}
    for span in spans:
        rows = zip(column[span.low : span.high + 1], span.weights, strict=True)
        held = [(value, weight) for value, weight in rows if value is not None and weight > 0]
        if held:
            total = sum(weight for _, weight in held)
            points[span.time] = sum(value * weight for value, weight in held) / total
    return points


_TABLE = [(method, "/query_range", query_range) for method in ("GET", "POST")]
ROUTES = routes("prometheus", "/prometheus/api/v1", _TABLE)
