"""What each column of the tables holds and in which unit, for people who open them cold.

`docs/capacity.md` has the formulas. A column of a day (`2026-11-02`) has no entry of its own.
"""

from __future__ import annotations

import re

CORES_OR_BYTES = "cores or bytes"
RATIO = "ratio"
UTC = "UTC"

COLUMN_WORDS: dict[str, tuple[str, str]] = {
    # where
    "cluster_name": ("", "the cluster, as the report calls it"),
    "namespace_name": ("", "the Kubernetes namespace"),
    "subscription_id": ("", "the cluster's Azure subscription"),
    "resource_group": ("", "the cluster's resource group"),
    "owner": ("", "what the owner label says; empty without one"),
    "labels": ("", "the namespace's labels, key=value"),
    "is_managed": ("", "whether Azure manages the namespace"),
    "resource": ("", "which of the quota's values, or CPU or memory as a whole"),
    # utilization
    "hard": (CORES_OR_BYTES, "what the quota allows now; of several quotas the tightest"),
    "used": (CORES_OR_BYTES, "what pods ask for now, as the quota counts it (charts: requested)"),
    "utilization_ratio": (RATIO, "used over hard, now"),
    "peak_used": (CORES_OR_BYTES, "the highest used of the lookback and of now"),
    "peak_utc": (UTC, "when that was: the first sample, or the end of its step"),
    "peak_within_minutes": ("minutes", "before that in which it was; 0: exact to the sample"),
    "peak_hard": (CORES_OR_BYTES, "the quota of that step"),
    "verdict": ("", "what the figures of the row mean, or unknown and why"),
    "advice": ("", "shrink, grow, fix requests, healthy, or empty where nobody can say"),
    "advice_resource": ("", "CPU or memory, the one that decides the advice"),
    "advice_reason": ("", "why there is no advice; empty with one"),
    # daily
    "first_seen": (
        "UTC day",
        "the first day with a sample, or on which it was made; empty: unknown",
    ),
    "quota_changed": ("UTC days", "days on which the quota changed"),
    # commitment
    "allocatable": (CORES_OR_BYTES, "what the ready nodes give to pods"),
    "without_largest_node": (CORES_OR_BYTES, "the same without the largest node (N-1)"),
    "committed": (CORES_OR_BYTES, "sum of the hard request quotas (charts: promised)"),
    "requested": (CORES_OR_BYTES, "what pods ask for"),
    "usage": (CORES_OR_BYTES, "what was measured to be used: 95 % of the time not more, 7 days"),
    "committed_ratio": (RATIO, "committed over allocatable"),
    "requested_ratio": (RATIO, "requested over the quota, of a cluster over N-1"),
    "headroom": (CORES_OR_BYTES, "what can still be promised"),
    "uncounted": ("namespaces", "that have no quota on it and may ask for anything"),
    "autoscaled": (CORES_OR_BYTES, "what nodes give at the autoscaler's maximum"),
    "autoscaled_committed_ratio": (RATIO, "committed over that"),
    "autoscaled_requested_ratio": (RATIO, "requested over that without the largest node"),
    "autoscaled_verdict": ("", "the verdict there; empty without an autoscaler"),
    # layers
    "peak_usage": (CORES_OR_BYTES, "the highest measured use of 7 days"),
    "unrequested": (CORES_OR_BYTES, "part of the quota that nothing asks for"),
    "requested_unused": (CORES_OR_BYTES, "part that pods ask for and do not use"),
    "idle": (CORES_OR_BYTES, "hard minus usage"),
    "bursting": (CORES_OR_BYTES, "used beyond what is asked for"),
    "over_hard": (CORES_OR_BYTES, "asked for beyond the quota"),
    "usage_ratio": (RATIO, "usage over requested"),
    "tightest_ratio": (RATIO, "the fullest of requested over hard and of the quota's values now"),
    "idle_ratio": (RATIO, "idle over hard"),
    "region": ("", "what the ratios of this resource say alone"),
    "reason": ("", "why something is unknown, or why it is as it is"),
    # sums
    "namespaces": ("namespaces", "whose quota is known: hard is the sum of these quotas"),
    "measured": ("namespaces", "of which all layers are known: all other sums are of these"),
    "measured_hard": (CORES_OR_BYTES, "sum of the quotas of these"),
    "left_out": ("namespaces", "with a quota of which too little is known for any sum"),
    "without_quota": ("namespaces", "without a quota on this resource"),
    "requested_without_quota": (CORES_OR_BYTES, "what those ask for"),
    "usage_without_quota": (CORES_OR_BYTES, "what those use"),
    "day": ("UTC day", "the day of the row"),
    # room
    "workload_kind": ("", "Deployment, StatefulSet, ...; empty in a namespace's own rows"),
    "workload_name": ("", "its name; empty in a namespace's own rows"),
    "question": ("", "what is asked: the next pod, a rolling update, pods of one size, ..."),
    "pods": ("pods", "that are asked for"),
    "pod_cpu": ("cores", "what the largest of them asks for"),
    "pod_memory": ("bytes", "what the largest of them asks for"),
    "decided_by": ("", "the workload that decides the answer"),
    "tightest": ("", "the value of the quota with the least share left"),
    "left_cpu_request": ("cores", "what the quota leaves afterwards; below 0: what it lacks"),
    "left_cpu_limit": ("cores", "what the quota leaves afterwards; below 0: what it lacks"),
    "left_memory_request": ("bytes", "what the quota leaves afterwards; below 0: what it lacks"),
    "left_memory_limit": ("bytes", "what the quota leaves afterwards; below 0: what it lacks"),
    "left_pods": ("pods", "that the quota leaves afterwards; below 0: what it lacks"),
    "unplaced_pods": ("pods", "that find no node"),
    "unplaced_cpu": ("cores", "what those ask for"),
    "unplaced_memory": ("bytes", "what those ask for"),
    "fits_quota": ("pods", "of this size that the quota still lets in; empty without a limit"),
    "fits_nodes": ("pods", "of this size that the nodes still have room for"),
    # placement
    "rank": ("", "1 is where the next namespace should go"),
    "location": ("", "the Azure region"),
    "headroom_cpu": ("cores", "what can still be promised"),
    "headroom_memory": ("bytes", "what can still be promised"),
    "left_cpu": ("cores", "of the room once it is there; below 0: what it lacks"),
    "left_memory": ("bytes", "of the room once it is there; below 0: what it lacks"),
    "grown_left_cpu": ("cores", "the same at the autoscaler's maximum"),
    "grown_left_memory": ("bytes", "the same at the autoscaler's maximum"),
    "committed_ratio_cpu": (RATIO, "committed over allocatable once it is there"),
    "committed_ratio_memory": (RATIO, "committed over allocatable once it is there"),
    "largest_pod_cpu": ("cores", "free on the node with the most free cores"),
    "largest_pod_memory": ("bytes", "free on the same node"),
    "new_cpu": ("cores", "request quota of the namespace that was asked for"),
    "new_memory": ("bytes", "request quota of the namespace that was asked for"),
    "new_region": ("", "the only region that was asked for; empty for any"),
    # refusals
    "count": ("times", "that a pod of the workload was refused, as far as events still tell"),
    "first_utc": (UTC, "the first of them"),
    "last_utc": (UTC, "the last of them"),
    "missing_pods": ("pods", "that the workload wants and has not"),
    "problem": ("", "quota exceeded, values missing, or other: see the message"),
    "quota_name": ("", "the ResourceQuota"),
    "key": ("", "its value that was short, or that containers do not say"),
    "containers": ("", "that do not say it"),
    "pod_requested": ("cores, bytes or pods", "what one pod asks for"),
    "limited": ("cores, bytes or pods", "what the quota allowed"),
    "raise_one": ("cores, bytes or pods", "by which the quota must rise for one pod more"),
    "raise_all": ("cores, bytes or pods", "by which it must rise for all missing pods"),
    "quota_one": ("", "the quota's value for one pod more, as a request file says it"),
    "quota_all": ("", "the same for all missing pods"),
    "request_column": (
        "",
        "the request file's column; empty for a quota that Azure does not manage",
    ),
    "message": ("", "the newest refusal, word for word"),
    # evidence
    "evidence": ("", "how far the figures can be trusted, in a word"),
    "unknown_now": ("", "why the figure of now is unknown; empty where it holds"),
    "unknown_history": ("", "why those of the lookback are unknown; empty where they hold"),
    "coverage": (RATIO, "steps with a sample, of those since the first one"),
    "first_sample_utc": (UTC, "end of the first step with a sample"),
    "last_sample_utc": (UTC, "end of the last step with a sample"),
    "longest_gap_hours": ("hours", "the longest time without samples"),
    "gap_from_utc": (UTC, "last sample before it"),
    "gap_until_utc": (UTC, "first sample after it; empty: it lasts"),
    "is_all_zero": ("", "whether all samples are 0, as of a dead sensor"),
    "untrue_zeros": (UTC, "first/last step of each time with samples of 0 that cannot be true"),
    "quota_changes": ("changes", "of the quota in the lookback"),
    "changed_utc": (UTC, "the last of them"),
    "changed_from": (CORES_OR_BYTES, "the quota before it"),
    "changed_to": (CORES_OR_BYTES, "the quota after it"),
    # steps and requests
    "kind": ("", "raise, let pods start, lower requests or give back"),
    "from": (CORES_OR_BYTES, "the quota now; of lower requests what is asked for"),
    "to": (CORES_OR_BYTES, "what the quota should be; empty where no amount is named"),
    "request": ("", "the same as a request file says it; empty where none can change it"),
    "cpu_request": ("", "a request file's cell; empty leaves the value as it is"),
    "cpu_limit": ("", "a request file's cell; empty leaves the value as it is"),
    "memory_request": ("", "a request file's cell; empty leaves the value as it is"),
    "memory_limit": ("", "a request file's cell; empty leaves the value as it is"),
    # crossings and what changed
    "threshold": (RATIO, "used over hard that was crossed: 0.9 tight, 1.0 full"),
    "direction": ("", "up: came to the threshold; down: fell below it"),
    "crossed_utc": (UTC, "end of the first step on the other side"),
    "within_minutes": ("minutes", "before that in which it happened"),
    "is_over_gap": ("", "whether samples are missing there, so that it lies somewhere in the gap"),
    "change": ("", "what changed, in a word"),
    "before": ("", "the verdict or the quota of the earlier run"),
    "after": ("", "those of this run; empty: not there any more"),
    "is_finding": ("", "whether it is new and needs somebody"),
    "counted": (CORES_OR_BYTES, "what the quota's own counter says"),
    "asked": (CORES_OR_BYTES, "what the pods there ask for, added up"),
}


def column_words(name: str) -> tuple[str, str]:
    """Return unit and meaning of a table's column; both empty for one nobody explained."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", name):
        return RATIO, "the highest used over hard of that UTC day; empty without samples"
    return COLUMN_WORDS.get(name, ("", ""))
