"""How many pods a rolling update wants beside those that are there: at once, and at the least.

Pure: a workload as it was read in, counts out; whether they fit is asked elsewhere.
"""

from mnslib.kube_models import Workload

ROLLING = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that replace their pods when their template changes."""


def missing(workload: Workload) -> int:
    """Return how many pods are not there; none where a run of before read too little of updates."""
    return 0 if workload.unavailable is None else workload.replicas - workload.running


def _may_stop(workload: Workload) -> int:
    """Return how many pods an update may stop before it starts any."""
    said = workload.unavailable
    return (0 if workload.surge else 1) if said is None else said


def replaces(workload: Workload) -> bool:
    """Return whether it replaces pods by itself."""
    return workload.replicas > 0 and bool(workload.surge or _may_stop(workload))


def at_once(workload: Workload) -> int:
    """Return how many pods it starts at once, where all of them are let in."""
    return max(0, workload.surge + missing(workload))


def needed(workload: Workload) -> int:
    """Return how many pods must be let in beside those that are there before an update goes on.

    Pods that are missing count as unavailable: an old one goes only while fewer are than may be,
    and each that goes makes room, so that below 0 so many more have gone than come. A StatefulSet
    makes its missing pods before it replaces any.

    Source: Kubernetes, `reconcileOldReplicaSets` of Deployments, `rollingUpdate` of DaemonSets,
    `updateStatefulSet`.
    """
    lacking = missing(workload)
    if workload.kind == "StatefulSet" and lacking > 0:
        return lacking
    return lacking + 1 - _may_stop(workload)
