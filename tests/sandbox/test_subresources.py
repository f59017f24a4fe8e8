"""What lies under an object's path: status, scale, eviction, resize, binding, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.client import Client, make_pod
from tests.sandbox.test_controllers import APPS, CORE, SMALL, WEU, Space, conditions

POLICY = "/apis/policy/v1"


@pytest.fixture
def space(sandbox: Client) -> Space:
    return Space(sandbox)


def refusal(space: Space, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = space.client.kube(WEU, method, path, body)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["message"]


def test_scale_tells_and_changes_how_many(space: Space) -> None:
    space.workload("deployments", replicas=1)
    path = f"{space.at(APPS, 'deployments')}/w/scale"
    found = space.call("GET", path)
    assert (found["kind"], found["spec"]["replicas"]) == ("Scale", 1)
    assert found["status"] == {"replicas": 1, "selector": "app=a"}
    assert space.call("PATCH", path, {"spec": {"replicas": 3}})["spec"]["replicas"] == 3
    assert len(space.phases()) == 3
    found["spec"]["replicas"] = 2
    assert refusal(space, "PUT", path, found)[0] == 409


def test_status_changes_nothing_else(space: Space) -> None:
    doc = space.workload("deployments", replicas=1, paused=True)
    doc = space.get(APPS, "deployments")
    doc["spec"]["replicas"], doc["status"]["collisionCount"] = 9, 4
    changed = space.call("PUT", f"{space.at(APPS, 'deployments')}/w/status", doc)
    assert (changed["spec"]["replicas"], changed["status"]["collisionCount"]) == (1, 4)


def test_an_eviction_keeps_to_the_budget(space: Space) -> None:
    space.workload("deployments", replicas=2)
    selector = {"matchLabels": {"app": "a"}}
    space.make(POLICY, "poddisruptionbudgets", "b", selector=selector, minAvailable=2)
    name = space.all(CORE, "pods")[0]["metadata"]["name"]
    path = f"{space.at(CORE, 'pods')}/{name}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    status, text = refusal(space, "POST", path, body)
    assert status == 429
    assert text == "Cannot evict pod as it would violate the pod's disruption budget."
    budget = space.get(POLICY, "poddisruptionbudgets", "b")
    assert budget["status"]["disruptionsAllowed"] == 0
    assert conditions(budget)["DisruptionAllowed"] == ("False", "InsufficientPods")
    budget_path = f"{space.at(POLICY, 'poddisruptionbudgets')}/b"
    space.call("PATCH", budget_path, {"spec": {"minAvailable": 1}})
    assert space.call("POST", path, body)["status"] == "Success"
    assert name not in [pod["metadata"]["name"] for pod in space.all(CORE, "pods")]


def test_a_resize_passes_the_quota(space: Space) -> None:
    space.make(CORE, "resourcequotas", "q", hard={"requests.cpu": "300m"})
    pod = make_pod("p", limits=SMALL)
    space.call("POST", space.at(CORE, "pods"), pod)
    path = f"{space.at(CORE, 'pods')}/p/resize"

    def wanted(cpu: str) -> dict[str, Any]:
        name = pod["spec"]["containers"][0]["name"]
        amounts = {"cpu": cpu, "memory": "64Mi"}
        resources = {"requests": amounts, "limits": amounts}
        found = space.get(CORE, "pods", "p")
        for one in found["spec"]["containers"]:
            if one["name"] == name:
                one["resources"] = resources
        return dict(found)

    assert space.call("PUT", path, wanted("200m"))
    found = space.get(CORE, "pods", "p")
    assert found["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] == "200m"
    assert space.get(CORE, "resourcequotas", "q")["status"]["used"] == {"requests.cpu": "200m"}
    status, text = refusal(space, "PUT", path, wanted("400m"))
    assert status == 403
    assert "exceeded quota: q, requested: requests.cpu=200m" in text


def test_a_pod_is_bound_by_another_scheduler(space: Space) -> None:
    pod = make_pod("p", limits=SMALL)
    pod["spec"]["schedulerName"] = "ours"
    space.call("POST", space.at(CORE, "pods"), pod)
    assert space.phases() == ["Pending"]
    node = space.call("GET", f"{CORE}/nodes")["items"][0]["metadata"]["name"]
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"metadata": {"name": "p"}, "target": target}
    path = f"{space.at(CORE, 'pods')}/p/binding"
    assert space.call("POST", path, body)["status"] == "Success"
    assert space.phases() == ["Running"]
    status, text = refusal(space, "POST", path, body)
    assert status == 409
    assert text.endswith(f'pod p is already assigned to node "{node}"')


@pytest.mark.parametrize("word", ["log", "exec", "attach", "portforward"])
def test_what_a_kubelet_would_answer_is_refused(space: Space, word: str) -> None:
    space.call("POST", space.at(CORE, "pods"), make_pod("p", limits=SMALL))
    found = refusal(space, "GET", f"{space.at(CORE, 'pods')}/p/{word}")
    assert found == (500, "no preferred addresses found; known addresses: []")


def test_what_a_kind_does_not_have_is_not_found(space: Space) -> None:
    space.workload("daemonsets")
    assert refusal(space, "GET", f"{space.at(APPS, 'daemonsets')}/w/scale")[0] == 404
    assert refusal(space, "GET", f"{space.at(APPS, 'deployments')}/none/scale")[0] == 404
    assert refusal(space, "DELETE", f"{space.at(APPS, 'daemonsets')}/w/status")[0] == 405
