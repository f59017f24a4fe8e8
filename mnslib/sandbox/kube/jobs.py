"""The controllers of Jobs and CronJobs.

Sources: controller-manager 1.34, `pkg/controller/{job,cronjob}`.
"""

from __future__ import annotations

import copy

from mnslib.sandbox.kube import cron, deletion, inside
from mnslib.sandbox.kube.keeper import MISSED, Keeper, reference, starts
from mnslib.sandbox.kube.scheduling import is_active, is_ready
from mnslib.sandbox.state import kube_time, seconds
from mnslib.sandbox.wire import Json, Refusal


def sync_job(keeper: Keeper, doc: Json) -> float | None:
    """Run a Job's pods until as many as it wants have succeeded."""
    spec, status, now = doc["spec"], doc.get("status", {}), keeper.state.now()
    conditions = status.get("conditions", [])
    if {"Complete", "Failed"} & {one["type"] for one in conditions if one["status"] == "True"}:
        return _after(keeper, doc)
    pods = keeper.owned("pods", doc)
    phases = [pod.get("status", {}).get("phase") for pod in pods]
    active = [pod for pod in pods if is_active(pod)]
    succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
    parallel, wanted = spec.get("parallelism", 1), spec.get("completions")
    missing = parallel if wanted is None else min(parallel, wanted - succeeded)
    if wanted is None and succeeded:
        missing = len(active)
    failure, too_often = "", failed > spec.get("backoffLimit", 6)
    if spec.get("suspend") or too_often:
        missing = 0
    for pod in active[max(0, missing) :]:
        keeper.stop(doc, pod)
    name = f"{doc['metadata']['name']}-"
    for _ in starts(missing - len(active)):
        failure = failure or keeper.start(doc, name, spec["template"])
    end = ""
    if too_often:
        end = "Failed"
        said = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        keeper.say(doc, said[0], said[1], warns=True)
    elif (succeeded and not active) if wanted is None else succeeded >= wanted:
        end = "Complete"
        said = ("CompletionsReached", "Reached expected number of succeeded pods")
        keeper.say(doc, "Completed", "Job completed")
    if end:
        before = "FailureTarget" if end == "Failed" else "SuccessCriteriaMet"
        for kind in (before, end):
            conditions = keeper.condition(conditions, kind, "True", *said)
    elif spec.get("suspend"):
        said = ("JobSuspended", "Job suspended")
        conditions = keeper.condition(conditions, "Suspended", "True", *said)
    keeper.status(
        "jobs",
        doc,
        active=min(len(active), max(0, missing)) or None,
        ready=0 if end else sum(map(is_ready, active)),
        succeeded=succeeded or None,
        failed=failed or None,
        startTime=status.get("startTime") or (not spec.get("suspend") and kube_time(now)) or None,
        completionTime=kube_time(now) if end == "Complete" else None,
        conditions=conditions,
        terminating=0,
    )
    return MISSED if failure else None


def _after(keeper: Keeper, doc: Json) -> float | None:
    if (life := doc["spec"].get("ttlSecondsAfterFinished")) is None:
        return None
    ended = max(seconds(one["lastTransitionTime"]) for one in doc["status"]["conditions"])
    if ended + life > keeper.state.now():
        return float(ended + life)
    deletion.delete(keeper.state, keeper.cluster, "jobs", doc)
    return None


def sync_cron_job(keeper: Keeper, doc: Json) -> float | None:
    """Start the Job of the last time that has passed, and forget those that ended long ago."""
    spec, status, meta = doc["spec"], doc.setdefault("status", {}), doc["metadata"]
    now = keeper.state.now()
    jobs = keeper.owned("jobs", doc)
    ended = {kind: [job for job in jobs if _has(job, kind)] for kind in ("Complete", "Failed")}
    running = [job for job in jobs if job not in ended["Complete"] + ended["Failed"]]
    limits = {
        "Complete": ("successfulJobsHistoryLimit", 3),
        "Failed": ("failedJobsHistoryLimit", 1),
    }
    for kind, (key, default) in limits.items():
        for job in ended[kind][: max(0, len(ended[kind]) - spec.get(key, default))]:
            deletion.delete(keeper.state, keeper.cluster, "jobs", job)
    before, after = cron.near(spec["schedule"], spec.get("timeZone", ""), now)
    since = seconds(status.get("lastScheduleTime") or meta["creationTimestamp"])
    late = spec.get("startingDeadlineSeconds")
    due = before is not None and before > since and (late is None or before + late >= now)
    policy = spec.get("concurrencyPolicy", "Allow")
    if due and running and policy == "Forbid":
        said = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        keeper.say(doc, "JobAlreadyActive", said)
    elif due and not spec.get("suspend") and before is not None:
        for job in running if policy == "Replace" else ():
            deletion.delete(keeper.state, keeper.cluster, "jobs", job)
        running = [*(running if policy != "Replace" else ()), _start(keeper, doc, before)]
        status["lastScheduleTime"] = kube_time(before)
    own = ("kind", "apiVersion"), ("name", "namespace", "uid", "resourceVersion")
    active = [
        {key: job[key] for key in own[0]} | {key: job["metadata"].get(key) for key in own[1]}
        for job in running
    ]
    times = [job["status"]["completionTime"] for job in ended["Complete"]]
    done = max(times, default=status.get("lastSuccessfulTime"))
    fields = {"active": active, "lastSuccessfulTime": done}
    fields["lastScheduleTime"] = status.get("lastScheduleTime")
    keeper.put("cronjobs", doc | {"status": {key: value for key, value in fields.items() if value}})
    return after


def _has(job: Json, kind: str) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _start(keeper: Keeper, doc: Json, at: float) -> Json:
    template, meta = copy.deepcopy(doc["spec"]["jobTemplate"]), doc["metadata"]
    notes = template.get("metadata", {}).get("annotations", {})
    own = inside.metadata(
        keeper.state,
        f"{meta['name']}-{int(at // 60)}",
        meta["namespace"],
        labels=template.get("metadata", {}).get("labels"),
        annotations=notes | {"batch.kubernetes.io/cronjob-scheduled-timestamp": kube_time(at)},
        ownerReferences=[reference(doc)],
        generation=1,
    )
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": own, "spec": template["spec"]}
    try:
        inside.create(keeper.state, keeper.cluster, "jobs", job)
    except Refusal as refused:
        keeper.say(doc, "FailedCreate", f"Error creating job: {refused.message}", warns=True)
        raise
    keeper.say(doc, "SuccessfulCreate", f"Created job {own['name']}")
    return job
