"""Values that no controller can act on: refused where they are written, in nobody's way else."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.sandbox.kube import events
from mnslib.sandbox.resources import CLUSTER_TYPE
from mnslib.sandbox.state import State
from tests.sandbox.kube_calls import APPS, WEU, deployment, kube, make_cluster, words

BATCH = "/apis/batch/v1/namespaces/team"
TEAM = "/api/v1/namespaces/team"
BUDGETS = "/apis/policy/v1/namespaces/team/poddisruptionbudgets"
POD = {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"}


@pytest.fixture(scope="module")
def state() -> State:
    return make_cluster()


def cluster_of(state: State) -> str:
    (found,) = [
        one["id"].lower()
        for one in state.resources(CLUSTER_TYPE)
        if one["name"] == WEU.rpartition("/")[2]
    ]
    return found


def cron_job(**spec: Any) -> dict[str, Any]:
    base = {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}}
    return {"metadata": {"name": "nightly"}, "spec": base | spec}


def rolling(**bounds: Any) -> dict[str, Any]:
    return deployment(strategy={"type": "RollingUpdate", "rollingUpdate": bounds})


def event(**changes: Any) -> dict[str, Any]:
    return {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}} | changes


def owned(**owner: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c", "ownerReferences": [owner]}}


PERCENT = "a valid percent string must be a numeric string followed by an ending '%'"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (f"{APPS}/deployments", rolling(maxSurge="abc"), f'Invalid value: "abc": {PERCENT}'),
        (f"{APPS}/deployments", rolling(maxUnavailable=-1), "must be greater than or equal to 0"),
        (f"{APPS}/deployments", rolling(maxUnavailable="150%"), "must not be greater than 100%"),
        (BUDGETS, {"metadata": {"name": "b"}, "spec": {"minAvailable": "x"}}, PERCENT),
        (f"{BATCH}/cronjobs", cron_job(schedule="61 * * * *"), "spec.schedule: Invalid value"),
        (f"{BATCH}/cronjobs", cron_job(schedule="*/0 * * * *"), "spec.schedule: Invalid value"),
        (f"{BATCH}/cronjobs", cron_job(schedule="a b c d e"), "spec.schedule: Invalid value"),
        (f"{BATCH}/cronjobs", cron_job(timeZone="Mars/Olympus"), "unknown time zone Mars/Olympus"),
        (f"{BATCH}/cronjobs", cron_job(timeZone="../../etc"), "unknown time zone ../../etc"),
        (f"{TEAM}/events", event(involvedObject=None), "involvedObject: Required value"),
        (f"{TEAM}/configmaps", owned(name="o"), "metadata.ownerReferences[0].kind: Required"),
        (f"{TEAM}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [{"max": {}}]}},
         "spec.limits[0].type: Required value"),
        ("/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a"}]}},
         "spec.taints[0].effect: Required value"),
        (f"{TEAM}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"image": "x"}]}},
         "spec.containers[0].name: Required value"),
    ],
)  # fmt: skip
def test_what_no_controller_could_read_is_refused(
    state: State, path: str, body: Any, said: str
) -> None:
    status, text = words(kube(state, "POST", path, body))
    assert (status, said in text) == (422, True), text


def test_what_is_stored_all_the_same_stops_nobody_else(state: State) -> None:
    """As a state of an older version may hold it."""
    cluster = cluster_of(state)
    odd = kube(state, "POST", f"{APPS}/deployments", deployment("odd")).body
    odd["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": "abc"}}
    state.put_object(cluster, "deployments", odd)
    assert kube(state, "POST", f"{APPS}/deployments", deployment("even")).status == 201
    assert kube(state, "GET", f"{APPS}/deployments/even").body["status"]["readyReplicas"] == 1
    assert kube(state, "DELETE", f"{APPS}/deployments/odd").status == 200


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_a_multitude_of_pods_does_not_hold_up_a_request(state: State, kind: str) -> None:
    """As many as the field can ask for: a server that started them all would not answer again."""
    path, own = f"{APPS}/{kind.lower()}s", {"podManagementPolicy": "Parallel"}
    spec = {"replicas": 2**31 - 1} | (own if kind == "StatefulSet" else {})
    body = deployment("many", **spec) | {"kind": kind}
    assert kube(state, "POST", path, body).status == 201
    assert kube(state, "DELETE", f"{path}/many").status == 200


FAR = 2**63 - 1


def extreme(kind: str, **spec: Any) -> tuple[str, Any]:
    base = deployment("far")["spec"] | spec
    return f"{APPS}/{kind}", {"metadata": {"name": "far"}, "spec": base}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        extreme("deployments", revisionHistoryLimit=2**31 - 1, minReadySeconds=2**31 - 2),
        extreme("deployments", progressDeadlineSeconds=2**31 - 1, replicas=0),
        extreme("statefulsets", ordinals={"start": 2**31 - 1}, replicas=2**31 - 1),
        extreme("daemonsets", minReadySeconds=2**31 - 1),
        (f"{TEAM}/pods", {"metadata": {"name": "far"}, "spec": POD | {
            "terminationGracePeriodSeconds": FAR, "activeDeadlineSeconds": 2**31 - 1,
            "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": FAR},
                            {"operator": "Exists", "effect": "NoExecute", "key": "a",
                             "tolerationSeconds": -FAR}],
        }}),
        (f"{BATCH}/jobs", {"metadata": {"name": "far"}, "spec": {
            "template": {"spec": POD}, "parallelism": 2**31 - 1, "completions": 2**31 - 1,
            "backoffLimit": 2**31 - 1, "ttlSecondsAfterFinished": 2**31 - 1}}),
        (f"{BATCH}/cronjobs", cron_job(schedule="* * 30 2 *", startingDeadlineSeconds=FAR) | {
            "metadata": {"name": "far"}}),
        (BUDGETS, {"metadata": {"name": "far"}, "spec": {
            "selector": {}, "maxUnavailable": "9" * 400 + "%"}}),
    ],
)  # fmt: skip
def test_extreme_numbers_fail_nothing(
    state: State, path: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if kube(state, "POST", path, body).status == 201:
        for seconds in (0, 120):
            state.advance(seconds)
            assert kube(state, "GET", f"{path}/far").status == 200
        assert kube(state, "DELETE", f"{path}/far").status == 200
    assert kube(state, "GET", f"{TEAM}/pods").status == 200
    assert caplog.messages == []


def test_an_event_is_counted_among_those_of_its_object_alone(state: State) -> None:
    """However many others the namespace has: nothing else is read for it."""
    cluster = cluster_of(state)
    about = kube(state, "GET", f"{TEAM}/serviceaccounts/default").body
    for number in range(12):
        for name in ("default", "default.b", "default-c"):
            of = {"metadata": about["metadata"] | {"name": name, "uid": name}}
            events.record(state, cluster, about | of, "Odd", f"{number}", warns=False, by="test")
    told = state.objects(cluster, "events", "team", prefix="default.b.")
    assert sorted(one["count"] for one in told) == [1] * 9 + [3]
    assert {one["involvedObject"]["name"] for one in told} == {"default.b"}
