"""What controllers make of what is written: pods, events, conditions, and their end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.client import Client

WEU, TEAM = "aks-prod-weu-1", "team-sandbox"
CORE, APPS, BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"
SMALL = {"cpu": "100m", "memory": "64Mi"}


def template(**resources: dict[str, str]) -> dict[str, Any]:
    resources = resources or {"requests": SMALL, "limits": SMALL}
    container = {"name": "a", "image": "x", "resources": resources}
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}


NIGHTLY = {
    "schedule": "* * * * *",
    "jobTemplate": {
        "spec": {"template": {"spec": template()["spec"] | {"restartPolicy": "Never"}}}
    },
}


class Space:
    """A new namespace, written to and read from."""

    def __init__(self, client: Client, name: str = "fresh") -> None:
        self.client, self.name = client, name
        self.call("POST", f"{CORE}/namespaces", {"metadata": {"name": name}})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        answer = self.client.kube(WEU, method, path, body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def at(self, base: str, plural: str) -> str:
        return f"{base}/namespaces/{self.name}/{plural}"

    def make(self, base: str, plural: str, name: str, **spec: Any) -> Any:
        doc = {"metadata": {"name": name}, "spec": spec}
        return self.call("POST", self.at(base, plural), doc)

    def workload(self, plural: str, **spec: Any) -> Any:
        spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template()} | spec
        return self.make(APPS, plural, "w", **spec)

    def get(self, base: str, plural: str, name: str = "w") -> Any:
        return self.call("GET", f"{self.at(base, plural)}/{name}")

    def change(self, base: str, plural: str, **spec: Any) -> Any:
        return self.call("PATCH", f"{self.at(base, plural)}/w", {"spec": spec})

    def all(self, base: str, plural: str) -> list[Any]:
        return list(self.call("GET", self.at(base, plural))["items"])

    def phases(self) -> list[str]:
        return [pod["status"]["phase"] for pod in self.all(CORE, "pods")]

    def events(self, reason: str) -> list[Any]:
        return [one for one in self.all(CORE, "events") if one["reason"] == reason]


@pytest.fixture
def space(sandbox: Client) -> Space:
    return Space(sandbox)


def conditions(doc: Any) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in doc["status"]["conditions"]}


def test_a_deployment_runs_its_pods(space: Space) -> None:
    space.workload("deployments", replicas=3)
    assert space.phases() == ["Running"] * 3
    found = space.get(APPS, "deployments")
    assert found["status"]["availableReplicas"] == 3
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert conditions(found)["Progressing"] == ("True", "NewReplicaSetAvailable")
    owner = space.all(CORE, "pods")[0]["metadata"]["ownerReferences"][0]
    assert owner["kind"] == "ReplicaSet"


def test_a_rollout_replaces_every_pod_and_keeps_the_old_set(space: Space) -> None:
    space.workload("deployments", replicas=4)
    before = {pod["metadata"]["name"] for pod in space.all(CORE, "pods")}
    other = template(limits={"cpu": "50m", "memory": "32Mi"})
    space.change(APPS, "deployments", template=other)
    after = {pod["metadata"]["name"] for pod in space.all(CORE, "pods")}
    assert len(after) == 4
    assert not before & after
    assert sorted(one["spec"]["replicas"] for one in space.all(APPS, "replicasets")) == [0, 4]


def test_what_a_quota_refuses_is_told_and_made_up_for(space: Space) -> None:
    space.make(CORE, "resourcequotas", "q", hard={"pods": "2"})
    space.workload("deployments", replicas=3)
    assert len(space.phases()) == 2
    said = "is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    events = space.events("FailedCreate")
    assert all(said in one["message"] and one["type"] == "Warning" for one in events)
    assert events
    (owned,) = space.all(APPS, "replicasets")
    assert conditions(owned)["ReplicaFailure"] == ("True", "FailedCreate")
    assert "ReplicaFailure" in conditions(space.get(APPS, "deployments"))
    path = f"{space.at(CORE, 'resourcequotas')}/q"
    space.call("PATCH", path, {"spec": {"hard": {"pods": "5"}}})
    assert space.phases() == ["Running"] * 3
    assert "ReplicaFailure" not in conditions(space.get(APPS, "deployments"))


@pytest.mark.parametrize(
    ("base", "plural", "made", "spec", "reason", "begin"),
    [
        (APPS, "deployments", "replicasets.apps", {}, "ReplicaSetCreateError",
         'Failed to create new replica set "w-'),
        (BATCH, "cronjobs", "jobs.batch", NIGHTLY, "FailedCreate",
         "Error creating job: jobs.batch"),
        (APPS, "statefulsets", "controllerrevisions.apps", {}, "", ""),
        (APPS, "daemonsets", "controllerrevisions.apps", {}, "", ""),
    ],
)  # fmt: skip
def test_what_controllers_make_is_counted_and_refused(
    space: Space, base: str, plural: str, made: str, spec: Any, reason: str, begin: str
) -> None:
    key = f"count/{made}"
    space.make(CORE, "resourcequotas", "q", hard={key: "0"})
    spec = spec or {"selector": {"matchLabels": {"app": "a"}}, "template": template()}
    space.make(base, plural, "w", **spec)
    space.client.control("POST", "clock", {"seconds": 90})
    assert space.all(BATCH if "batch" in made else APPS, made.partition(".")[0]) == []
    assert space.phases() == []
    if reason:
        said = f"is forbidden: exceeded quota: q, requested: {key}=1, used: {key}=0, limited: {key}"
        events = space.events(reason)
        assert events
        assert all(one["type"] == "Warning" and said in one["message"] for one in events)
        assert events[0]["message"].startswith(begin)
    if plural == "deployments":
        found = conditions(space.get(APPS, plural))
        assert found == {"Progressing": ("False", "ReplicaSetCreateError")}
    space.call("PATCH", f"{space.at(CORE, 'resourcequotas')}/q", {"spec": {"hard": {key: "9"}}})
    space.client.control("POST", "clock", {"seconds": 90})
    assert space.phases()
    quota = space.get(CORE, "resourcequotas", "q")
    assert int(quota["status"]["used"][key]) >= 1


def test_a_taint_drives_out_what_does_not_tolerate_it(space: Space) -> None:
    node = space.call("GET", f"{CORE}/nodes")["items"][0]["metadata"]["name"]
    stays = {"key": "k", "operator": "Exists", "effect": "NoExecute"}
    own = {"goes": [], "stays": [stays], "waits": [stays | {"tolerationSeconds": 600}]}
    for name, tolerations in own.items():
        spec = template()["spec"] | {"nodeName": node, "tolerations": tolerations}
        space.make(CORE, "pods", name, **spec)

    def left() -> list[str]:
        return [one["metadata"]["name"] for one in space.all(CORE, "pods")]

    closed = {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
    space.call("PATCH", f"{CORE}/nodes/{node}", closed)
    assert left() == ["stays", "waits"]
    (said,) = space.events("TaintManagerEviction")
    assert said["message"] == "Marking for deletion Pod fresh/goes"
    assert said["source"]["component"] == "taint-eviction-controller"
    space.client.control("POST", "clock", {"seconds": 500})
    assert left() == ["stays", "waits"]
    space.client.control("POST", "clock", {"seconds": 100})
    assert left() == ["stays"]
    there = [one for one in space.call("GET", f"{CORE}/pods")["items"]
             if one["spec"].get("nodeName") == node]  # fmt: skip
    assert {one["metadata"].get("ownerReferences", [{}])[0].get("kind") for one in there} == {
        None, "DaemonSet",
    }  # fmt: skip


def test_a_stateful_set_counts_up_and_down(space: Space) -> None:
    space.workload("statefulsets", replicas=3, serviceName="w")
    names = [pod["metadata"]["name"] for pod in space.all(CORE, "pods")]
    assert names == ["w-0", "w-1", "w-2"]
    space.change(APPS, "statefulsets", replicas=1)
    assert [pod["metadata"]["name"] for pod in space.all(CORE, "pods")] == ["w-0"]


def test_a_daemon_set_runs_on_every_node_that_takes_it(space: Space) -> None:
    anywhere = template()
    anywhere["spec"]["tolerations"] = [{"operator": "Exists"}]
    space.workload("daemonsets", template=anywhere)
    nodes = {node["metadata"]["name"] for node in space.call("GET", f"{CORE}/nodes")["items"]}
    assert {pod["spec"].get("nodeName") for pod in space.all(CORE, "pods")} <= nodes | {None}
    status = space.get(APPS, "daemonsets")["status"]
    assert status["desiredNumberScheduled"] == len(nodes)


def job(**spec: Any) -> dict[str, Any]:
    pods = template()
    pods["spec"]["restartPolicy"] = "Never"
    return {"template": pods} | spec


def test_a_job_ends_when_its_pods_have(space: Space) -> None:
    space.make(BATCH, "jobs", "w", **job(completions=2, parallelism=1))
    assert space.phases() == ["Running"]
    space.client.finish(11)
    assert sorted(space.phases()) == ["Running", "Succeeded"]
    space.client.finish(11)
    found = space.get(BATCH, "jobs")
    assert found["status"]["succeeded"] == 2
    assert conditions(found)["Complete"][0] == "True"


def test_a_cron_job_starts_jobs_when_they_are_due(space: Space) -> None:
    space.make(BATCH, "cronjobs", "w", schedule="*/5 * * * *", jobTemplate={"spec": job()})
    assert not space.all(BATCH, "jobs")
    space.client.finish(301)
    (made,) = space.all(BATCH, "jobs")
    assert made["metadata"]["ownerReferences"][0]["kind"] == "CronJob"


def test_what_has_lost_its_owner_goes(space: Space) -> None:
    space.workload("deployments", replicas=2)
    space.call("DELETE", f"{space.at(APPS, 'deployments')}/w")
    assert space.all(APPS, "replicasets") == space.all(CORE, "pods") == []


def test_a_pod_that_is_deleted_is_replaced(space: Space) -> None:
    space.workload("deployments", replicas=2)
    name = space.all(CORE, "pods")[0]["metadata"]["name"]
    space.call("DELETE", f"{space.at(CORE, 'pods')}/{name}")
    names = [pod["metadata"]["name"] for pod in space.all(CORE, "pods")]
    assert len(names) == 2
    assert name not in names


def test_a_world_stays_as_it_is(space: Space) -> None:
    every = f"{CORE}/pods"
    before = space.call("GET", every)["items"]
    space.client.finish(3600)
    assert space.call("GET", every)["items"] == before


def test_events_are_gone_after_an_hour(space: Space) -> None:
    space.workload("deployments", replicas=1)
    assert space.events("ScalingReplicaSet")
    space.client.finish(3700)
    assert not space.events("ScalingReplicaSet")


def test_every_namespace_has_an_account_and_the_authority(space: Space) -> None:
    for name in (space.name, TEAM):
        home = f"{CORE}/namespaces/{name}"
        assert space.call("GET", f"{home}/serviceaccounts/default")
        assert "ca.crt" in space.call("GET", f"{home}/configmaps/kube-root-ca.crt")["data"]
    space.call("DELETE", f"{space.at(CORE, 'serviceaccounts')}/default")
    assert space.get(CORE, "serviceaccounts", "default")


def test_a_namespace_is_terminating_until_it_is_empty(space: Space) -> None:
    doc = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    space.call("POST", space.at(CORE, "configmaps"), doc)
    home = f"{CORE}/namespaces/{space.name}"
    assert space.call("DELETE", home)["status"]["phase"] == "Terminating"
    found = space.call("GET", home)
    assert "NamespaceFinalizersRemaining" in conditions(found)
    refused = space.client.kube(
        WEU, "POST", space.at(CORE, "configmaps"), {"metadata": {"name": "new"}}
    )
    assert refused.status_code == 403
    assert "because it is being terminated" in refused.json()["message"]
    path = f"{space.at(CORE, 'configmaps')}/held"
    space.call("PATCH", path, {"metadata": {"finalizers": None}})
    assert space.client.kube(WEU, "GET", home).status_code == 404
