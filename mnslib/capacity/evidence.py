"""How far each figure can be trusted, and the snapshot without the samples that cannot be true.

The one place that decides whether a figure may be shown at all: every other table takes its
`unknown: <reason>` from here, reads a `CleanSnapshot`, and does not know how samples became NaN.
A sensor that dies leaves zeros behind: a counter at 0 while pods ask for more, memory at 0 while
they run; one that errs says infinite, negative, or more than a cluster has. Such a step is no
sample. Pure: a snapshot in, frames out. The rules, with unit and worked
example, are in `docs/capacity.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity import evidence_words as words
from mnslib.capacity import samples
from mnslib.capacity.evidence_words import EVIDENCE, USAGE_FIELDS
from mnslib.capacity.quota_values import SPACE, names_of
from mnslib.capacity.samples import Flags
from mnslib.capacity.snapshot import REQUEST_FIELDS, CleanSnapshot, Snapshot, columns_of, series_of
from mnslib.models import QUOTA_KEYS
from mnslib.packaged import packaged

COUNTER_TOLERANCE = 0.25
"""Share of the larger figure by which counter and pods may differ. Quotas and pods are read one
after the other, and meanwhile a rolling update starts and ends so many pods at most. Source:
Kubernetes, Deployment, `maxSurge` and `maxUnavailable`, whose default is 25 %."""

EVIDENCE_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["evidence"])

Untrue = dict[int, Flags]
"""The steps at which a column's zeros cannot be true, of the few columns that have any."""


def with_evidence(snapshot: Snapshot) -> tuple[pd.DataFrame, CleanSnapshot]:
    """Return how far the figures of each value can be trusted, and the samples that can.

    Where a counter is untrue, a hard quota of 0 beside it is so as well.

    Returns:
        `EVIDENCE_COLUMNS` (docs/tables.md), one row per cluster, namespace and quota field, and
        where usage was measured, one per `USAGE_FIELDS`. `evidence` is the first word of `EVIDENCE`
        that holds; a gap lasts from the last sample before it until the first one after it;
        `untrue_zeros` are ISO 8601 intervals, from the end of the first step to that of the last:
        they count as no samples, unless all are zero (`is_all_zero`).
        `impossible_samples` count as none either.
    """
    spaces, frames = _spaces(snapshot), _in_order(snapshot)
    impossible = {name: _forget_impossible(frames, name) for name in frames}
    rows, raw = _counters(snapshot, spaces), {**frames}
    untrue = {"used": _untrue_counters(snapshot, frames, rows)}
    for name in ("used", "hard"):
        frames[name] = _without(frames[name], untrue["used"])
    for name in ("usage_cpu", "usage_memory"):
        # a pod sleeps for hours
        least = words.LONG_GAP // snapshot.step if name == "usage_cpu" else 1
        untrue[name] = _untrue_usage(frames, name, least=least)
        frames[name] = _without(frames[name], untrue[name])
    clean = CleanSnapshot(**{one.name: getattr(snapshot, one.name) for one in fields(Snapshot)})
    vars(clean).update(vars(snapshot), **frames)  # what was worked out of its lists is kept
    rows = _with_flags(rows.join(_facts(raw["used"], untrue["used"])), clean)
    counts = impossible["used"] + impossible["hard"]
    for field in REQUEST_FIELDS:
        counts[columns_of("used", field)] += impossible["requested"][columns_of("requested", field)]
    tables = [rows.join(_changes(clean.hard)).assign(impossible_samples=counts)]
    if len(snapshot.usage_cpu.columns) or len(snapshot.usage_memory.columns):
        for name, field in zip(("usage_cpu", "usage_memory"), USAGE_FIELDS, strict=True):
            facts = _facts(raw[name], untrue[name], clean.used)
            own = _usage_rows(spaces, field, facts)
            tables.append(own.assign(impossible_samples=impossible[name]))
    table = pd.concat(tables).sort_values("place", kind="stable", ignore_index=True)
    return _verdicts(table, clean), clean


def worst_evidence(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each namespace that outdoes its others, those that need somebody first."""
    rank = table["evidence"].map({word: place for place, word in enumerate(EVIDENCE)})
    keys = table[SPACE].assign(rank=rank).sort_values(["rank", *SPACE], kind="stable")
    return table.loc[keys.drop_duplicates(SPACE).index].reset_index(drop=True)


def _in_order(snapshot: Snapshot) -> dict[str, pd.DataFrame]:
    """Return the frames of samples with the columns and times of a `CleanSnapshot`."""
    spaces = pd.MultiIndex.from_frame(snapshot.namespaces[SPACE])
    rows = snapshot.quota_rows
    series, asked = series_of(rows), series_of(rows[rows["resource"].isin(REQUEST_FIELDS)])
    columns = {"used": series, "hard": series, "requested": asked}
    columns |= {"usage_cpu": spaces, "usage_memory": spaces}
    times = max((getattr(snapshot, name).index for name in columns), key=len)
    return {
        name: samples.in_order(getattr(snapshot, name), own, times) for name, own in columns.items()
    }


def _forget_impossible(frames: dict[str, pd.DataFrame], name: str) -> NDArray[np.int64]:
    """Return how many samples of each column of a frame cannot be; they are NaN in it then."""
    values = frames[name].to_numpy(copy=False)
    counts = np.zeros(values.shape[1], dtype=np.int64)
    names = frames[name].columns.get_level_values(-1) if name[:5] != "usage" else [name]
    most = np.resize([samples.most_of(name, of) for of in names[: len(QUOTA_KEYS)]], len(counts))
    is_any = (samples.highest(values) > most) | (samples.lowest(values) < 0)
    if is_any.any():
        values, some = values.copy(), np.flatnonzero(is_any)
        own = values[:, some]
        wrong = ~np.isnan(own) & ~samples.possible(own, most[some])
        values[:, some] = np.where(wrong, np.nan, own)
        counts[some] = wrong.sum(axis=0)
        index, columns = frames[name].index, frames[name].columns
        frames[name] = pd.DataFrame(values, index=index, columns=columns, copy=False)
    return counts


# What each row is judged by


def _spaces(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row per namespace, with its place and what all of its values are judged by."""
    spaces = snapshot.namespaces[SPACE].reset_index(drop=True)
    signs: set[tuple[str, ...]] = set()  # of pods, in the history
    for frame in (snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory):
        most = samples.highest(frame.to_numpy(dtype=np.float32, copy=False))
        found = frame.columns[most >= 0 if frame is snapshot.requested else most > 0]
        signs.update(zip(*(found.get_level_values(level) for level in (0, 1)), strict=True))
    running = {
        (cluster, pod.namespace_name)
        for cluster, pods in snapshot.pods.items()
        for pod in pods
        if not pod.is_finished
    }
    made: list[tuple[tuple[str, ...], datetime | None]] = [*snapshot.created.items()]
    for cluster, quotas in snapshot.quotas.items():
        made += [((cluster, quota.namespace_name), quota.created_utc) for quota in quotas]
    fresh = {
        place for place, moment in made if moment and snapshot.read_utc - moment < words.NEW_FOR
    }
    flags: dict[str, Any] = {"has_pods": signs, "is_running": running, "is_fresh": fresh}
    for name, places in flags.items():
        spaces[name] = np.fromiter((place in places for place in names_of(spaces)), dtype=np.bool_)
    clusters = spaces["cluster_name"]
    return spaces.assign(
        place=np.arange(len(spaces)),
        cut_off=[snapshot.unreachable.get(cluster, "") for cluster in clusters],
        is_watched=clusters.isin({cluster for cluster, _ in signs}),
        is_asked=clusters.isin(snapshot.requested.columns.unique(level=0)),
        is_read=clusters.isin(list(snapshot.pods)),
    )


def _counters(snapshot: Snapshot, spaces: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace and quota field: what is counted, and what pods ask for.

    Kubernetes' `status.used`, done again: the counter is known to be wrong in the field
    (kubernetes/kubernetes#71450, #98071), and a quota refuses pods by it all the same.

    Returns:
        The columns of `spaces`; `counted` and `asked` in cores or bytes, NaN where there is none or
        it was not read; `is_live`: the quota was read from the cluster; `is_scoped`: it counts only
        some of the pods, which cannot be done again here; `is_wrong`: counter and pods are further
        apart than what comes and goes explains: by more than `COUNTER_TOLERANCE` of the larger
        figure, and by more than the largest pod, finished ones too.
    """
    quotas, keys = snapshot.quota_rows, [*QUOTA_KEYS.values()]
    rows = spaces.loc[spaces.index.repeat(len(QUOTA_KEYS))].reset_index(drop=True)
    pods = pd.DataFrame(
        [
            (cluster, pod.namespace_name, pod.holds_quota, *(need[key] for key in keys))
            for cluster, pods in snapshot.pods.items()
            for pod, need in zip(pods, snapshot.pod_needs[cluster], strict=True)
        ],
        columns=[*SPACE, "holds_quota", *keys],
    ).astype(dict.fromkeys(keys, float) | {"holds_quota": bool})
    by_space = pd.MultiIndex.from_frame(spaces[SPACE])
    needs = pods[pods["holds_quota"]].groupby(SPACE)[keys].sum(), pods.groupby(SPACE)[keys].max()
    asked, largest = (need.reindex(by_space, fill_value=0.0).to_numpy().ravel() for need in needs)
    live = [*snapshot.quotas.keys() - set(snapshot.remembered)]
    rows = rows.assign(
        resource=quotas["resource"],
        counted=quotas["used"],
        is_scoped=quotas["is_scoped"],
        asked=pd.Series(asked.round(6)).where(rows["is_read"]),
        is_live=rows["cluster_name"].isin(live),
        has_quota=quotas["hard"].notna() | (rows["cut_off"] != ""),
        is_counted=quotas["used"].notna(),
        has_counter=True,
    )
    apart = (rows["counted"] - rows["asked"]).abs().round(6)
    most = np.maximum(rows["counted"], rows["asked"])
    is_far = (apart > (COUNTER_TOLERANCE * most).round(6)) & (apart > largest)
    return rows.assign(is_wrong=is_far & rows["is_live"] & ~rows["is_scoped"])


def _with_flags(rows: pd.DataFrame, snapshot: CleanSnapshot) -> pd.DataFrame:
    """Return the rows with flags, in the order in which they rest on one another.

    `is_wrong`, the counter is far from its pods; `is_dead`, all is zero and something says that it
    cannot be; `is_empty`, all is zero and that is true; `is_doubted`, all is zero and nothing says
    which.
    """
    is_known, asks = rows["asked"].notna(), rows["asked"] > 0
    counts = rows["is_live"] & (rows["counted"] > 0)
    # of a key that no pod asks for, other signs of pods say nothing
    has_signs = rows["has_pods"] & ~(is_known & ~asks) & ~_unset_limits(rows, snapshot)
    had_pods = has_signs.mask(rows["is_asked"], rows["untrue_zeros"].map(bool))
    says_none = is_known | (rows["is_watched"] & ~had_pods)
    is_stuck = (rows["late_untrue"] > 0) & _is_old(rows, snapshot) & (rows["counted"] == 0)
    zero, is_whole = rows["is_zero"], ~rows["is_scoped"]
    is_wrong = rows["is_wrong"] | (is_stuck & asks)
    is_dead = zero & (is_whole & (asks | had_pods) | counts)
    is_empty = zero & ~is_dead & is_whole & says_none
    agrees = rows["is_live"] & (is_known & ~is_wrong | counts)
    is_doubted = zero & ~is_empty & ~agrees
    return rows.assign(is_wrong=is_wrong, is_dead=is_dead, is_empty=is_empty, is_doubted=is_doubted)


def _usage_rows(spaces: pd.DataFrame, field: str, facts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace on what was measured; nodes never idle at zero."""
    rows = spaces.join(facts)
    is_idle = np.where(rows["is_read"], ~rows["is_running"], rows["is_watched"] & ~rows["has_pods"])
    return rows.assign(
        resource=field,
        cut_off="",
        has_quota=True,
        is_counted=True,
        is_live=False,
        is_wrong=False,
        has_counter=False,
        counted=np.nan,
        asked=np.nan,
        changes=0,
        is_dead=rows["is_zero"],
        is_doubted=rows["is_zero"],
        is_empty=(rows["seen"] == 0) & is_idle,
    )


# Facts of samples


def _facts(
    frame: pd.DataFrame, untrue: Untrue, counters: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what the samples of each column say once their untrue zeros are forgotten.

    Args:
        frame: time x series.
        untrue: which zeros cannot be true.
        counters: of use, what is counted. Where pods run by night only, nothing is used by day: a
            sample that is missing while the counter is at 0 is no gap, unless it always is.

    Returns:
        `seen`: samples; `first`, `last`: row of the first and last, -1 without any; `gap_steps`:
        rows of the longest gap after the first sample, `gap_start` its first row (of equal ones
        the earliest; it may reach the end); `is_zero`: all are; `untrue_zeros`; `late_untrue`,
        `gap_untrue`: the share of these in what follows the last sample and in the longest gap.
        Where all is zero, none is forgotten.
    """
    values = frame.to_numpy(copy=False)
    total, count = values.shape
    is_zero = (samples.highest(values) == 0) & (samples.lowest(values) == 0)
    forgotten = {place: steps for place, steps in untrue.items() if not is_zero[place]}
    seen, last = np.full(count, total), np.full(count, total - 1)
    first, begin, length = np.minimum(last, 0), np.zeros(count, int), np.zeros(count, int)
    is_torn = np.isnan(np.add.reduce(values, axis=0))  # a sum with NaN is NaN, and quickly done
    is_torn[[*forgotten]] = True
    rows = np.arange(total, dtype=np.int32)[:, None]
    for part in samples.parts(np.flatnonzero(is_torn)):
        known, at = ~np.isnan(values[:, part]), np.arange(len(part))
        if counters is not None:
            counted = counters.to_numpy(copy=False)[:, columns_of("used", "cpu_request")][:, part]
            known |= (counted == 0) & (samples.highest(counted) > 0) & known.any(axis=0)
        is_any = known.any(axis=0)
        first[part] = np.where(is_any, known.argmax(axis=0), -1)
        for torn in np.flatnonzero(np.isin(part, [*forgotten])):
            known[forgotten[part[torn]], torn] = False
        seen[part] = known.sum(axis=0)
        known[first[part], at] |= is_any  # an untrue zero stands for what a gap comes after
        last[part] = np.where(is_any, total - 1 - known[::-1].argmax(axis=0), -1)
        before = samples.last_known(known)
        is_end = np.vstack([known[1:], np.ones((1, len(part)), dtype=bool)])  # the end is one too
        steps = np.where(is_end & (before >= 0), rows - before, 0)
        length[part] = steps.max(axis=0)
        begin[part] = steps.argmax(axis=0) + 1 - length[part]
    late, gap = np.zeros(count), np.zeros(count)
    for place, steps in forgotten.items():
        behind, within = steps[last[place] + 1 :], steps[begin[place] :][: length[place]]
        late[place], gap[place] = (own.mean() if len(own) else 0 for own in (behind, within))
    return pd.DataFrame(
        {
            "seen": seen,
            "first": first,
            "last": last,
            "gap_steps": length,
            "gap_start": begin,
            "is_zero": is_zero,
            "untrue_zeros": [_spans(frame.index, untrue.get(at)) for at in range(count)],
            "late_untrue": late,
            "gap_untrue": gap,
        }
    )


def _spans(times: pd.Index, steps: Flags | None) -> tuple[str, ...]:
    """Return when the zeros of a column cannot be true, from first to last sample of each run."""
    return tuple(
        f"{times[first]:%Y-%m-%dT%H:%M:%SZ}/{times[end - 1]:%Y-%m-%dT%H:%M:%SZ}"
        for first, end in (() if steps is None else _runs(steps))
    )


def _changes(hard: pd.DataFrame) -> pd.DataFrame:
    """Return how often each hard quota changes its value, and the `row` of the last change.

    Returns:
        `changes`; `row`, `before` and `after`, NaN without one.
    """
    values = hard.to_numpy(copy=False)
    columns, rows, before = samples.changes(values)
    last = np.flatnonzero(np.diff(columns, append=-1))  # they come by column and time
    found = {"row": rows[last], "before": before[last], "after": values[rows[last], columns[last]]}
    counts = np.bincount(columns, minlength=values.shape[1])
    facts = pd.DataFrame(found, index=columns[last], dtype=float).reindex(range(len(counts)))
    return facts.assign(changes=counts)


def _without(frame: pd.DataFrame, untrue: Untrue) -> pd.DataFrame:
    """Return a frame without the untrue zeros of some columns."""
    if not untrue:
        return frame
    values = frame.to_numpy(copy=True)
    for place, steps in untrue.items():
        values[steps & (values[:, place] == 0), place] = np.nan
    return pd.DataFrame(values, index=frame.index, columns=frame.columns, copy=False)


# Which zeros cannot be true


def _untrue_counters(
    snapshot: Snapshot, frames: Mapping[str, pd.DataFrame], rows: pd.DataFrame
) -> Untrue:
    """Return at which steps a quota counter is 0 while pods ask for more of the same resource.

    What has ended is still asked for as long as it is listed, but counts in no quota. So a zero is
    true where containers of the cluster are seen in a step, and none of this namespace. A limit's
    zeros are true where pods have no limits, and those up to now where none asks.
    """
    used, asked, *usages = (
        frames[name].to_numpy(copy=False)
        for name in ("used", "requested", "usage_cpu", "usage_memory")
    )
    asks_nothing = (rows["asked"] == 0).to_numpy(dtype=bool)
    is_true = rows["is_scoped"] | (asks_nothing & rows["resource"].str.endswith("limit"))
    is_true |= _unset_limits(rows, snapshot)
    measured = (snapshot.usage_cpu, snapshot.usage_memory)
    requests = rows["resource"].str.replace("limit", "request")
    beside = frames["requested"].columns.get_indexer(series_of(rows.assign(resource=requests)))
    spaces = rows["place"].to_numpy()
    found: Untrue = {}
    has_zeros = (samples.lowest(used) == 0) & ~is_true.to_numpy(dtype=bool)
    for part in samples.parts(np.flatnonzero(has_zeros)):
        steps = (used[:, part] == 0) & (asked[:, beside[part]] > 0)
        some = steps.any(axis=0)
        places, steps = part[some], steps[:, some]
        is_quiet = np.logical_and.reduce([np.isnan(usage[:, spaces[places]]) for usage in usages])
        clusters = rows["cluster_name"].iloc[places]
        for cluster in clusters.unique():
            is_seen = np.zeros(len(used), dtype=bool)
            for frame in measured:
                if cluster in frame.columns:
                    is_seen |= frame[cluster].notna().any(axis=1).to_numpy()
            is_quiet[np.ix_(~is_seen, clusters == cluster)] = False
        steps &= ~is_quiet
        up_to_now = np.logical_and.accumulate(steps[::-1])[::-1]
        steps &= ~(up_to_now & asks_nothing[places])
        found |= {
            place: own for place, own in zip(places.tolist(), steps.T, strict=True) if own.any()
        }
    return {place: steps for place, steps in found.items() if steps.any()}


def _unset_limits(rows: pd.DataFrame, snapshot: Snapshot) -> pd.Series[bool]:
    """Return which rows are on a limit that, by the metrics, no container there ever had."""
    if not snapshot.limited:
        return pd.Series(data=False, index=rows.index)
    limited = {(cluster, *one) for cluster, found in snapshot.limited.items() for one in found}
    keys = rows["resource"].map(QUOTA_KEYS)
    is_set = [one in limited for one in zip(*(rows[name] for name in SPACE), keys, strict=True)]
    is_limit = rows["resource"].str.endswith("limit")
    return is_limit & rows["cluster_name"].isin([*snapshot.limited]) & ~np.array(is_set, dtype=bool)


def _untrue_usage(frames: Mapping[str, pd.DataFrame], name: str, *, least: int) -> Untrue:
    """Return at which steps nothing is used while pods ask for something or a quota counts them.

    Args:
        frames: the counters among them without their own untrue zeros.
        name: of the frame of usage.
        least: steps that zeros have to last.
    """
    usage = frames[name].to_numpy(copy=False)
    found: Untrue = {}
    for part in samples.parts(np.flatnonzero(samples.lowest(usage) == 0)):
        runs = np.zeros((len(usage), len(part)), dtype=bool)
        for one, field in product(("requested", "used"), REQUEST_FIELDS):
            own = frames[one].to_numpy(copy=False)[:, columns_of(one, field)]
            runs |= own[:, part] > 0
        runs &= usage[:, part] == 0
        for place, steps in zip(part.tolist(), runs.T, strict=True):
            for first, end in _runs(steps):
                steps[first:end] = end - first >= least
            if steps.any():
                found[place] = steps
    return found


def _runs(steps: Flags) -> Iterator[tuple[int, int]]:
    """Yield of each run of true steps its first, and the one behind it."""
    edges = np.flatnonzero(np.diff(steps, prepend=False, append=False))
    yield from zip(edges[::2], edges[1::2], strict=True)


# The verdict


def _verdicts(rows: pd.DataFrame, snapshot: CleanSnapshot) -> pd.DataFrame:
    """Return `EVIDENCE_COLUMNS` of rows whose facts and flags are known."""
    step, count, times = snapshot.step, len(snapshot.used), snapshot.used.index
    is_seen, has_gap = rows["seen"] > 0, rows["gap_steps"] > 0
    # no sample says more of a history than of the time before it
    lookback = times[-1] - snapshot.begun if snapshot.begun else count * step
    stamps = pd.Series(times, dtype="datetime64[ns, UTC]")
    for name, places in (
        ("first_sample_utc", rows["first"]),
        ("last_sample_utc", rows["last"]),
        ("gap_from_utc", (rows["gap_start"] - 1).where(has_gap)),
        ("gap_until_utc", (rows["gap_start"] + rows["gap_steps"]).where(has_gap)),
        ("changed_utc", rows["row"]),
    ):
        rows[name] = stamps.reindex(places).array  # NaT for what is no row
    hours = rows["gap_steps"] * (step / timedelta(hours=1))
    rows = rows.assign(
        coverage=rows["seen"] / (count - rows["first"].where(is_seen)),
        longest_gap_hours=hours.where(is_seen),
        lookback=lookback,
        seen_for=rows["seen"] * step,
        gap_for=rows["gap_steps"] * step,
        is_old=_is_old(rows, snapshot),
    )
    rows["evidence"] = _words(rows, snapshot)
    names = ["reason", "unknown_now", "unknown_history"]
    rows[names] = ""
    told = rows[(rows["evidence"] != "sound") | (count == 0)]  # the others have nothing to be said
    found = [words.texts(row) for row in told.to_dict("records")]
    rows.loc[told.index, names] = pd.DataFrame(found, index=told.index, columns=names)
    named = {"is_zero": "is_all_zero", "changes": "quota_changes"}
    named |= {"before": "changed_from", "after": "changed_to"}
    return rows.rename(columns=named)[list(EVIDENCE_COLUMNS)]


def _words(rows: pd.DataFrame, snapshot: CleanSnapshot) -> np.ndarray[Any, Any]:
    """Return the first word of `EVIDENCE` that holds for each row."""
    count = len(snapshot.used)
    is_seen, quota = rows["seen"] > 0, rows["has_quota"]
    is_short = rows["seen_for"] < words.LEAST_HISTORY
    is_begun = is_seen & (rows["first"] > 0)
    is_begun &= (count - rows["first"]) * snapshot.step < words.LEAST_HISTORY
    is_lying = (rows["late_untrue"] > 0) & rows["has_counter"] & ~rows["is_live"]
    is_torn = (rows["coverage"] < words.GOOD_COVERAGE) | (rows["gap_for"] >= words.LONG_GAP)
    holds = {
        "wrong counter": rows["is_wrong"] & ~rows["is_zero"],
        "dead sensor": rows["is_dead"],
        "all zero": rows["is_zero"] & ~rows["is_empty"],
        "not read": rows["cut_off"] != "",
        "not counted": ~rows["is_counted"],
        "stale": is_seen & (rows["is_old"] | is_lying),
        "no history": ~is_seen & ~rows["is_empty"] & ~rows["is_fresh"] & (count > 0),
        "new": is_short & (is_begun | rows["is_fresh"]),
        "gaps": is_seen & is_torn,
        "too short": is_seen & is_short & ~rows["is_empty"],
        "quota changed": rows["changes"] > 0,
        "no pods": rows["is_empty"],
        "sound": pd.Series(data=True, index=rows.index),
    }
    flags = [(found & quota).to_numpy(dtype=bool) for found in holds.values()]
    return np.select(flags, list(holds), default="no quota")


def _is_old(rows: pd.DataFrame, snapshot: Snapshot) -> pd.Series[bool]:
    """Return whether too many steps are missing behind the last sample; true without any."""
    late = max(words.LATE_STEPS, -(-words.LATE // snapshot.step))
    return len(snapshot.used) - 1 - rows["last"] >= late
