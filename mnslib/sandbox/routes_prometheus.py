"""Managed Prometheus: `query`, `query_range`, for exactly the shapes named in docs/sandbox.md."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from itertools import product
from operator import add, itemgetter
from typing import Any
from urllib.parse import parse_qsl

from mnslib.sandbox.access import metrics_scope
from mnslib.sandbox.history import cluster_steps, node_steps
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.pod_metrics import METRICS, Series
from mnslib.sandbox.pod_metrics import series as single_series
from mnslib.sandbox.query_limits import SCRAPE_SECONDS, check_range
from mnslib.sandbox.resources import CLUSTER_TYPE
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Answer, Call, Json, prometheus_error, routes


@dataclass(frozen=True, slots=True)
class Shape:
    """A query that is answered: its text, what it reads, and how it makes one value of many.

    In the text C stands for the clusters and Ns for a window, of seconds or milliseconds. `choose`
    makes a value of a window (`max`, `last`, `mean`), `combine` one of several series (`max`,
    `sum`, `count`); `by` are the labels that stay. `switch` has to be on for it to see anything,
    `raw` ones ask for samples.
    """

    text: str
    kinds: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    choose: str = "last"
    combine: str = ""
    switch: str = ""
    raw: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """The text as a pattern."""
        form = re.escape(_plain(self.text)).replace("SPACES", r"(?P<spaces>[\w.|-]+)")
        for sign, first, again in (
            (
                "C,",
                r'cluster(?P<op>=~|=)"(?P<clusters>[\w.|-]+)",',
                r'cluster(?P=op)"(?P=clusters)",',
            ),
            ("Ns", r"(?P<window>[0-9]{1,12})(?P<unit>m?s)", r"(?P=window)(?P=unit)"),
        ):
            form = form.replace(sign, first, 1).replace(sign, again)
        return re.compile(form)


def _plain(text: str) -> str:
    """Return a query without the spaces that do not matter."""
    return re.sub(r"\s*([(){}\[\],=~!])\s*", r"\1", " ".join(text.split()))


@cache
def _shapes() -> dict[re.Pattern[str], Shape]:
    """Return the shapes of queries.yaml by their patterns."""
    table = packaged("queries.yaml")
    found = {}
    for row in table["shapes"]:
        ways = ((False, True) if row.get(way) else (False,) for way in ("over", "node"))
        for over, node in product(*ways):
            text, by = row["query"], row.get("by", "").split()
            for name, selector in table["selectors"].items():
                whole = f"last_over_time({selector}[Ns])" if over else selector
                text = text.replace(f"<{name}>", whole)
            if node:
                text = text.replace("by(namespace,", "by(namespace,node,")
                by.insert(1, "node")
            more = {key: row[key] for key in ("choose", "combine", "switch", "raw") if key in row}
            shape = Shape(text, tuple(row["reads"].split()), tuple(by), **more)
            found[shape.pattern] = shape
    return found


_SINGLE = re.compile(
    r"(?:(?P<take>sum|max|count)(?: by\((?P<by>[a-z_,]*)\))?\()?"
    r"(?:(?P<how>rate|max_over_time|last_over_time|avg_over_time)\()?"
    rf"(?P<metric>{'|'.join(METRICS)})\{{(?P<where>[^{{}}]*)\}}"
    r"(?:\[(?P<window>[0-9]{1,12})(?P<unit>m?s)\])?(?P<end>\){0,2})"
)
"""A query of single pods, containers or nodes: a selector, of a window or not, `take` of all."""

_MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"([\w./<>|*+-]*)",?')
_CHOICES = {"rate": "mean", "avg_over_time": "mean", "max_over_time": "max"}


def _single(text: str) -> tuple[Shape, re.Match[str] | None]:
    """Return what a query of `_SINGLE` asks for; no match where it is none, or makes no sense."""
    found = _SINGLE.fullmatch(text)
    if found is None or _MATCHER.sub("", found["where"]):
        return Shape(text), None
    how, take = found["how"] or "", found["take"] or ""
    is_counter = found["metric"].endswith("_total")
    odd = (how == "rate") != is_counter or bool(how) != bool(found["window"])
    if odd or len(found["end"]) != bool(how) + bool(take):
        return Shape(text), None
    by = tuple(filter(None, (found["by"] or "").split(",")))
    return Shape(text, (), by, _CHOICES.get(how, "last"), take), found


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One understood query; times in seconds, `window` 0 for none; None for all names.

    `metric` and `where` are those of a query of single pods, containers or nodes.
    """

    shape: Shape
    metric: str = ""
    where: tuple[tuple[str, str, str], ...] = ()
    clusters: frozenset[str] | None
    spaces: frozenset[str] | None
    window: float
    start: float
    end: float
    step: float

    def times(self) -> list[float]:
        """Return the evaluation times."""
        count = int((self.end - self.start) / self.step + 1e-9) + 1
        return [self.start + index * self.step for index in range(count)]


Points = dict[float, float]
Column = list[float | None]


def query_range(call: Call) -> Answer:
    """Return a matrix."""
    fields = _fields(call)
    start, end = (_moment(fields.get(name, ""), name) for name in ("start", "end"))
    query = _parse(fields, start=start, end=end, step=_duration(fields.get("step", "")))
    if query.shape.raw:
        text = 'invalid parameter "query": invalid expression type "range vector" for range query'
        raise prometheus_error(400, "bad_data", f"{text}, must be Scalar or instant Vector")
    return _matrix(call, query)


def _matrix(call: Call, query: Query) -> Answer:
    matrix = [
        {
            "metric": _metric(query, labels),
            "values": [[time, _text(value)] for time, value in sorted(points.items())],
        }
        for labels, points in sorted(_answer(call, query).items())
        if points
    ]
    return Answer(body={"status": "success", "data": {"resultType": "matrix", "result": matrix}})


def query_once(call: Call) -> Answer:
    """Return a vector, of one moment; or a matrix, of all samples within a window."""
    fields = _fields(call)
    moment = _moment(fields.get("time", str(call.state.now())), "time")
    query = _parse(fields, start=moment, end=moment, step=60.0)
    if query.shape.raw:
        start = ((moment - query.window) // SCRAPE_SECONDS + 1) * SCRAPE_SECONDS
        return _matrix(call, replace(query, start=start, step=SCRAPE_SECONDS, window=0.0))
    vector = [
        {"metric": _metric(query, labels), "value": [moment, _text(points[moment])]}
        for labels, points in sorted(_answer(call, query).items())
        if points
    ]
    return Answer(body={"status": "success", "data": {"resultType": "vector", "result": vector}})


def _fields(call: Call) -> dict[str, str]:
    fields = dict(call.query)
    if call.method == "POST":
        fields |= dict(parse_qsl(call.body.decode("utf-8", "replace")))
    return fields


def _metric(query: Query, labels: tuple[str, ...]) -> Json:
    if query.metric and not query.shape.combine:
        return {"__name__": query.metric, **dict(one.split("\0") for one in labels)}
    pairs = zip(query.shape.by, labels, strict=True)
    return {name: value for name, value in pairs if value}


def _answer(call: Call, query: Query) -> dict[tuple[str, ...], Points]:
    """Return the points of each series of the answer, by its labels as `_metric` reads them."""
    shape, now, found = query.shape, call.state.now(), list(_series(call, query))
    limits, reach = call.runtime.query_limits, query.end - query.start
    limits.check_size(len(found), reach=reach, window=query.window, step=query.step)
    if shape.switch and not getattr(call.state.switches, shape.switch):
        return {}
    # `now` only cuts what lies after it; without it the windows of earlier moments stay known
    cut, moments = now if query.end > now else math.inf, tuple(query.times())
    result: dict[tuple[str, ...], Points] = {}
    for labels, times, column in found:
        windows = _windows(tuple(times), moments, query.window, cut)
        if shape.choose == "mean":
            points = _means(windows, column, times, query.window, cut)
        else:
            choose = max if shape.choose == "max" else itemgetter(-1)
            points = _chosen(choose, windows, column)
        key = tuple(labels.get(name, "") for name in shape.by)
        if not shape.combine:
            key = tuple(f"{name}\0{value}" for name, value in sorted(labels.items()) if value)
        if points:
            _add(result, key, points, combine=shape.combine or "max")
    return result


def _series(call: Call, query: Query) -> Iterator[Series]:
    """Yield all that a query reads."""
    scope, only = metrics_scope(call)
    for cluster in call.state.resources(CLUSTER_TYPE):
        key, name = cluster["id"].lower(), cluster["name"]
        left_out = query.clusters is not None and name not in query.clusters
        if left_out or not f"{key}/".startswith(f"{scope}/"):
            continue
        found = _columns(call.state, key, query)
        if query.metric:
            found = single_series(call.state, key, query.metric)
        for labels, times, column in found:
            labels = {**labels, "cluster": name}
            is_asked = only in ("", labels.get("namespace"))
            if is_asked and all(_matches(labels, *each) for each in query.where):
                yield labels, times, column


def _columns(state: State, cluster: str, query: Query) -> Iterator[Series]:
    """Yield the series of each namespace, or of the nodes, that a shape reads."""
    of_nodes = "node" in query.shape.kinds
    spaces = {"": node_steps(state, cluster)} if of_nodes else cluster_steps(state, cluster)
    for namespace, steps in spaces.items():
        for (kind, name, resource), column in steps.series.items():
            if kind in query.shape.kinds and (not query.spaces or namespace in query.spaces):
                labels = {"namespace": namespace, "resource": resource}
                labels["node" if of_nodes else "resourcequota"] = name
                yield labels, steps.times, column


def _matches(labels: Mapping[str, str], name: str, sign: str, value: str) -> bool:
    own = labels.get(name, "")
    is_so = own == value if "~" not in sign else re.fullmatch(value, own) is not None
    return is_so != sign.startswith("!")


def _add(
    result: dict[tuple[str, ...], Points],
    labels: tuple[str, ...],
    points: Points,
    *,
    combine: str,
) -> None:
    """Bring in one series: `sum` adds to what is there, `max` takes the larger, `count` counts."""
    points = dict.fromkeys(points, 1.0) if combine == "count" else points
    present, join = result.setdefault(labels, points), max if combine == "max" else add
    if present is not points:
        for time, value in points.items():
            present[time] = join(present[time], value) if time in present else value


@lru_cache(maxsize=100_000)
def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _parse(fields: dict[str, str], *, start: float, end: float, step: float) -> Query:
    """Return the understood query.

    Raises:
        Refusal: 400 bad_data, or 422 over a limit.
    """
    text = _plain(fields.get("query", ""))
    matches = ((shape, pattern.fullmatch(text)) for pattern, shape in _shapes().items())
    for shape, match in (*matches, _single(text)):
        if match is None:
            continue
        found = match.groupdict()
        window = int(found.get("window") or 0) / (1000 if found.get("unit") == "ms" else 1)
        check_range(end - start, window=window if found.get("window") else None, step=step)
        names, spaces = found.get("clusters", ""), found.get("spaces")
        clusters = names.split("|") if found.get("op") == "=~" else [names]
        return Query(
            shape=shape,
            metric=found.get("metric", ""),
            where=tuple(_MATCHER.findall(found.get("where", ""))),
            clusters=frozenset(clusters) if names else None,
            spaces=frozenset(spaces.split("|")) if spaces else None,
            window=window,
            start=start,
            end=end,
            step=step,
        )
    shapes = "the sandbox answers only the query shapes named in docs/sandbox.md"
    raise prometheus_error(
        400, "bad_data", f'invalid parameter "query": {shapes}; got: {text[:300]}'
    )


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


Windows = tuple[tuple[float, int, int], ...]
"""Times, and the first and last row that holds in the window (time - window, time]."""


@lru_cache(maxsize=256)
def _windows(
    rows: tuple[float, ...], times: tuple[float, ...], window: float, now: float
) -> Windows:
    """Return the windows of `times` that hold a row; several queries ask for the same."""
    found = []
    for time in times:
        begin = time - window
        if begin >= now if window else begin > now:
            break
        high = bisect_right(rows, min(time, now)) - 1
        if high >= 0:
            low = bisect_right(rows, begin) - 1 if window else high
            found.append((time, max(0, low), high))
    return tuple(found)


def _chosen(choose: Callable[[list[Any]], float], windows: Windows, column: Column) -> Points:
    points = {}
    for time, low, high in windows:
        held: list[Any] = column[low : high + 1]
        if None in held:
            held = [value for value in held if value is not None]
        if held:
            points[time] = choose(held)
    return points


def _means(
    windows: Windows, column: Column, rows: list[float], window: float, now: float
) -> Points:
    """Return the mean of each window, in which each row counts for as long as it held."""
    points = {}
    for time, low, high in windows:
        edges = [max(time - window, rows[low]), *rows[low + 1 : high + 1], min(time, now)]
        total = weight = 0.0
        for value, begin, end in zip(column[low : high + 1], edges, edges[1:], strict=False):
            if value is not None:
                total += value * (end - begin)
                weight += end - begin
        if weight:
            points[time] = total / weight
    return points


_TABLE = [
    (method, path, answer)
    for path, answer in (("/query", query_once), ("/query_range", query_range))
    for method in ("GET", "POST")
]
ROUTES = routes("prometheus", "/prometheus/api/v1", _TABLE)
