"""Seeded frames in the shape that `capacity` gives them, and a ruler for finished charts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from mnslib.capacity.advice import advised, regions
from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.fit import FIT_COLUMNS, QUESTIONS
from mnslib.capacity.layers import DAY_COLUMNS, DEAD_SENSOR, LAYER_COLUMNS, parts_of
from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.utilization import UTILIZATION_COLUMNS
from mnslib.commitment import Commitment
from mnslib.models import QUOTA_FIELDS
from mnslib.resource_ids import ClusterId
from mnslib.results import ApplyResult, ChangeKind, ItemOutcome, OutcomeKind

GIB = 2**30
TEAMS = ["payments", "search", "web", "ml", "data", "logistics", "identity", "risk", "mobile"]
PARTS = ["api", "ledger", "index", "query", "checkout", "training", "streaming", "tracking", "sso"]
LONG = "recommendation-candidate-generation-offline-evaluation-weekly-a"
CLUSTERS = ["aks-prod-weu-1", "aks-prod-weu-2", "aks-prod-neu-1", "aks-test-weu-1"]
MOMENT = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
assert len(LONG) == 63


def namespace_names(count: int) -> list[str]:
    """63 characters for the first, then `payments-api`, `payments-ledger`, ... numbered."""
    pairs = [f"{team}-{part}" for team in TEAMS for part in PARTS]
    numbered = (f"{pair}-{n:02}" if n else pair for n in range(99) for pair in pairs)
    return list(itertools.islice(itertools.chain([LONG], numbered), count))


def make_utilization(
    count: int,
    *,
    seed: int = 1,
    unknown: str = "cluster not reachable",
    unknown_share: float = 0.06,
) -> pd.DataFrame:
    """Four rows a namespace, some full, some tight, the last `unknown_share` of them unknown."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(namespace_names(count)):
        cluster = CLUSTERS[number % 4]
        is_unknown = number >= round(count * (1 - unknown_share))
        base = rng.choice([1.0, 0.95, 0.75, 0.3], p=[0.08, 0.12, 0.6, 0.2])
        for field in QUOTA_FIELDS:
            size = float(rng.integers(1, 400)) / 2 * (1 if field.startswith("cpu") else 2 * GIB)
            ratio = min(1.0, base * (1 if field == "cpu_request" else rng.uniform(0.5, 1.0)))
            used = round(size * ratio, 3)
            verdict = "full" if used >= size else "tight" if used >= 0.9 * size else "ok"
            row = {"hard": size, "used": used, "utilization_ratio": used / size, "verdict": verdict}
            if is_unknown:
                row = dict.fromkeys(row, np.nan) | {"verdict": f"unknown: {unknown}"}
            row |= {"cluster_name": cluster, "namespace_name": name, "resource": field}
            rows.append(row | {"advice": "", "owner": name.split("-")[0], "is_managed": True})
    return pd.DataFrame(rows, columns=list(UTILIZATION_COLUMNS))


def layers_of(spaces: Mapping[str, tuple[float, float, float, str]]) -> pd.DataFrame:
    """Layers by namespace: hard, requested, usage and why unknown; memory is 4 GiB a core."""
    rows: list[dict[str, Any]] = []
    for number, (name, (*amounts, reason)) in enumerate(spaces.items()):
        for resource, unit in (("cpu", 1.0), ("memory", 4.0 * GIB)):
            hard, requested, usage = (np.array([amount * unit]) for amount in amounts)
            parts = {key: found[0] for key, found in parts_of(hard, requested, usage).items()}
            row = {"cluster_name": CLUSTERS[number % 4], "namespace_name": name} | parts
            row |= {"resource": resource, "peak_usage": usage[0] * 1.1, "reason": reason}
            with np.errstate(divide="ignore", invalid="ignore"):
                row |= {
                    "requested_ratio": (requested / hard)[0],
                    "usage_ratio": (usage / requested)[0],
                }
            row |= {"over_hard": max(requested[0] - hard[0], 0.0), "owner": name.split("-")[0]}
            rows.append(row | {"tightest_ratio": row["requested_ratio"], "subscription_id": "0000"})
    layers = pd.DataFrame(rows, columns=list(LAYER_COLUMNS)).assign(labels="")
    layers["region"] = regions(layers)
    advice = advised(layers).set_index(SPACE)["advice"]
    return layers.drop(columns="advice").join(advice, on=SPACE)[list(LAYER_COLUMNS)]


def make_layers(
    count: int, *, seed: int = 5, unknown: str = DEAD_SENSOR, unknown_share: float = 0.05
) -> pd.DataFrame:
    """Namespaces in all regions, some that burst, some above their quota, some without any."""
    rng = np.random.default_rng(seed)
    spaces: dict[str, tuple[float, float, float, str]] = {}
    for number, name in enumerate(namespace_names(count)):
        claim = rng.choice([0.15, 0.4, 0.75, 0.95, 1.0], p=[0.1, 0.1, 0.6, 0.1, 0.1])
        share = float(rng.choice([0.25, 0.6, 1.04], p=[0.25, 0.7, 0.05])) * rng.uniform(0.7, 1.3)
        hard, reason = float(np.ceil(rng.lognormal(3, 1.2))) / 2, ""
        requested = hard * (1.25 if number % 40 == 7 else min(1.0, claim * rng.uniform(0.8, 1.1)))
        usage = requested * share
        if number % 25 == 24:
            hard, reason = np.nan, "no quota"
        elif number >= round(count * (1 - unknown_share)):
            hard = np.nan if unknown == "cluster not reachable" else hard
            usage, reason = np.nan, unknown
        spaces[name] = hard, requested, usage, reason
    return layers_of(spaces)


def make_by_day(count: int, *, days: int = 31, growth: float = 0.1, seed: int = 6) -> pd.DataFrame:
    """Sums of `count` namespaces by day; what is claimed and not used grows by `growth` of hard."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(days):
        for resource, unit in (("cpu", 1.0), ("memory", 4.0 * GIB)):
            hard = np.array([count * (8.0 if number < days // 2 else 9.0) * unit])
            claim = 0.6 + (growth * number / max(days - 1, 1) if resource == "cpu" else 0.0)
            usage = hard * (0.3 + rng.normal(0, 0.01))
            parts = {key: found[0] for key, found in parts_of(hard, hard * claim, usage).items()}
            day = MOMENT.date() - timedelta(days=days - 1 - number)
            row = {"day": day, "resource": resource, "measured": count, "left_out": count // 20}
            if number in (8, 9):
                row |= {"measured": 0, "left_out": count}
                parts = dict.fromkeys(parts, np.nan)
            rows.append(row | parts)
    return pd.DataFrame(rows, columns=list(DAY_COLUMNS))


def make_daily(count: int, *, days: int = 31, seed: int = 2) -> pd.DataFrame:
    """Rows as `daily_peaks` gives them: growth, a change, a gap, one born late, one without any."""
    rng = np.random.default_rng(seed)
    dates = [date(2026, 11, 2) - timedelta(days=days - 1 - back) for back in range(days)]
    rows = []
    for number, name in enumerate(namespace_names(count)):
        level = rng.choice([0.3, 0.6, 0.8, 0.92], p=[0.2, 0.2, 0.5, 0.1])
        ratios = np.clip(level + np.cumsum(rng.normal(0, 0.02, days)), 0.02, 1)
        changed: tuple[date, ...] = ()
        seen: date | None = dates[0]
        if number % 7 == 1:
            ratios[days // 2 :] = 1.0
            ratios[days * 2 // 3 :] = 0.55
            changed = (dates[days * 2 // 3],)
        if number % 7 == 2:
            ratios[days // 3 : days // 3 + 3] = np.nan
        if number % 11 == 4:
            ratios[: days // 3] = np.nan
            seen = dates[days // 3]
        if number % 25 == 24:
            ratios[:] = np.nan
            seen = None
        value = "" if seen is None else QUOTA_FIELDS[number % 4]
        rows.append([CLUSTERS[number % 4], name, value, seen, changed, *ratios])
    columns = ["cluster_name", "namespace_name", "resource", "first_seen", "quota_changed", *dates]
    return pd.DataFrame(rows, columns=pd.Index(columns, dtype=object))


def make_commitment(resource: str = "cpu", **amounts: float) -> Commitment:
    """A cluster of 512 units, 480 without the largest node, 655 promised and 372 requested."""
    figures = {"allocatable": 512, "largest_node": 32, "committed": 655, "requested": 372}
    unit = 1 if resource == "cpu" else 7 * GIB
    return Commitment(
        resource=resource,
        **{name: Decimal(str(value)) * unit for name, value in (figures | amounts).items()},
    )


def make_commitments(count: int, *, seed: int = 3) -> pd.DataFrame:
    """Two rows a cluster; the first over N-1, the second over 1.5, every fifth unknown."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        name = f"{CLUSTERS[number % 4]}-{number:03}" if number >= 4 else CLUSTERS[number]
        for resource in ("cpu", "memory"):
            row: dict[str, Any] = {"cluster_name": name, "resource": resource, "uncounted": 0}
            if number % 5 == 4:
                row |= {"verdict": "unknown: cluster not reachable"}
            else:
                asked = 490 if number == 0 and resource == "cpu" else rng.uniform(100, 470)
                promised = 784 if number == 1 and resource == "cpu" else rng.uniform(400, 760)
                found = make_commitment(resource, requested=asked, committed=promised)
                row |= {
                    name: None if getattr(found, name) is None else float(getattr(found, name))
                    for name in COMMITMENT_COLUMNS[2:10]
                    if name != "usage"
                }
                row |= {"usage": float(found.requested) * 0.6, "verdict": found.verdict}
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(COMMITMENT_COLUMNS))
    return table.astype(dict.fromkeys(COMMITMENT_COLUMNS[2:14], float))


def make_room(count: int, *, seed: int = 5, unknown: str = "cluster not reachable") -> pd.DataFrame:
    """Four answers a namespace: some short of the quota or nodes, every tenth unknown."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(namespace_names(count)):
        size = float(rng.choice([0.25, 0.5, 1.0, 4.0]))
        free = size * float(rng.choice([0, 1, 2, 8, 30]))
        has_scaler = bool(rng.random() < 0.8)
        for question, pods in zip(QUESTIONS, (1, 2, 5, 12), strict=True):
            left = free - pods * size
            row: dict[str, Any] = {
                "cluster_name": CLUSTERS[number % 4], "namespace_name": name, "workload_kind": "",
                "workload_name": "", "question": question, "pods": pods, "pod_cpu": size,
                "verdict": "yes" if left >= 0 else "no", "reason": "" if left >= 0 else "quota",
                "decided_by": "", "tightest": "cpu_request", "left_cpu_request": left,
                "unplaced_pods": 0, "fits_quota": free // size, "fits_nodes": 90,
            }  # fmt: skip
            if number % 10 == 9:
                row |= {"verdict": f"unknown: {unknown}", "reason": "", "tightest": ""}
            elif question == "autoscaler_maximum" and not has_scaler:
                row |= {"verdict": "none", "reason": "no autoscaler", "tightest": ""}
            elif number % 17 == 3 and left >= 0:
                row |= {"verdict": "no", "reason": "nodes", "unplaced_pods": pods}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(FIT_COLUMNS))


REASONS = {
    OutcomeKind.FAILED: [
        "quota below what runs: 46 of 40 cores requested; raise cpu_request to 46 or allow "
        "'quota-below-use'",
        "role assignment refused at cluster scope; give the runner 'Role Based Access Control "
        "Administrator'",
        'operation did not finish in 20 min; run again: the namespace is still "Updating"',
    ],
    OutcomeKind.SKIPPED: ["changed by somebody else after the plan; make a new plan"],
    OutcomeKind.NOT_ATTEMPTED: ["stop rule of 9 failures reached; resume the run"],
}


def make_result(count: int, *, clusters: int = 5, seed: int = 4) -> ApplyResult:
    """Outcomes in the shares of a bulk run with a few failures."""
    rng = np.random.default_rng(seed)
    kinds = [OutcomeKind.CREATED, OutcomeKind.UPDATED, OutcomeKind.ADOPTED, OutcomeKind.DELETED]
    kinds += [OutcomeKind.UNCHANGED, *REASONS]
    outcomes = []
    for number, name in enumerate(namespace_names(count)):
        kind = kinds[rng.choice(len(kinds), p=[0.6, 0.12, 0.05, 0.05, 0.1, 0.04, 0.02, 0.02])]
        cluster = ClusterId("0000", "rg-platform", f"aks-prod-weu-{number % clusters + 1}")
        reason = str(rng.choice(REASONS[kind])) if kind in REASONS else ""
        reason, _, remedy = reason.partition("; ")
        item = ItemOutcome(
            id=cluster.namespace(name),
            change=ChangeKind.CREATE,
            outcome=kind,
            reason=reason,
            remedy=remedy,
        )
        outcomes.append(item)
    return ApplyResult(outcomes=tuple(outcomes))


def areas(figure: Any) -> list[Rectangle]:
    """The filled areas of a figure, from the bottom up."""
    found = [one for one in figure.artists if isinstance(one, Rectangle)]
    for marks in figure.findobj(PolyCollection):
        look = {"zorder": marks.get_zorder(), "facecolor": marks.get_facecolor()[0]}
        for path in marks.get_paths():
            (x, y), (x1, y1) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            found.append(Rectangle((x, y), x1 - x, y1 - y, **look))
    return sorted(found, key=lambda area: area.get_zorder())


class Ruler:
    """What stands in a chart, measured as the renderer draws it (pixels from the top left)."""

    def __init__(self, chart: Any) -> None:
        self.figure = chart.figure
        renderer = FigureCanvasAgg(self.figure).get_renderer()
        self.height = self.figure.bbox.height
        found = [text for text in self.figure.findobj(Text) if text.get_text()]
        self.boxes = [(text, text.get_window_extent(renderer)) for text in found]

    @property
    def texts(self) -> list[str]:
        """All texts in drawing order."""
        return [text.get_text() for text, _ in self.boxes]

    def find(self, text: str) -> Any:
        """The one text artist that reads so."""
        (artist,) = [artist for artist, _ in self.boxes if artist.get_text() == text]
        return artist

    def fills_beside(self, text: str) -> list[str]:
        """Colors of the filled areas that cross the line a text stands on, left to right."""
        (box,) = [box for artist, box in self.boxes if artist.get_text() == text]
        middle = self.height - (box.y0 + box.y1) / 2
        bars = [
            patch
            for patch in areas(self.figure)
            if patch.get_y() < middle < patch.get_y() + patch.get_height()
        ]
        bars.sort(key=lambda patch: patch.get_x())
        return [to_hex(bar.get_facecolor()).upper() for bar in bars]

    def complaints(self) -> list[str]:
        """Texts that overlap each other or leave the figure."""
        wide, high = self.figure.bbox.width, self.height
        found = [
            f"{text.get_text()!r} leaves the figure"
            for text, box in self.boxes
            if box.x0 < 0 or box.y0 < 0 or box.x1 > wide or box.y1 > high
        ]
        for (one, a), (other, b) in itertools.combinations(self.boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            if across > 1 and down > 1:
                found.append(f"{one.get_text()!r} overlaps {other.get_text()!r}")
        return found


@pytest.fixture
def ruler() -> Callable[[Any], Ruler]:
    """Measures a chart."""
    return Ruler


@pytest.fixture(scope="session")
def frames() -> SimpleNamespace:
    """The factories above, by what they make."""
    return SimpleNamespace(
        utilization=make_utilization,
        daily=make_daily,
        layers=make_layers,
        layers_of=layers_of,
        by_day=make_by_day,
        commitment=make_commitment,
        commitments=make_commitments,
        result=make_result,
        room=make_room,
        moment=MOMENT,
        long_name=LONG,
    )
