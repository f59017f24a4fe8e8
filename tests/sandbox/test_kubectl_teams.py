"""Two people with a real kubectl on one cluster: the admin, and somebody of one team."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnslib.sandbox.roles import built_in_roles
from tests.sandbox.client import Client, cluster_id, make_body
from tests.sandbox.kubectl import Kubectl, missing
from tests.sandbox.second_half import DENIED, check

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
WEU, NAME, OTHERS = "aks-prod-weu-1", "team-walk", "web-checkout"
ROLES = {role["name"]: guid for guid, role in built_in_roles().items()}
QUOTA = {"cpuRequest": "1000m", "cpuLimit": "2000m"}
QUOTA |= {"memoryRequest": "512Mi", "memoryLimit": "1Gi"}


@pytest.fixture
def kubectl(sandbox: Client, tmp_path: Path) -> dict[str, Kubectl]:
    """What each of them types into; the team has a namespace with a quota, three roles on it."""
    assert sandbox.put(NAME, make_body(defaultResourceQuota=QUOTA)).status_code == 201
    scope = f"{cluster_id()}/managedNamespaces/{NAME}"
    for role in ("Namespace Contributor", "Namespace User", "RBAC Writer"):
        sandbox.grant(scope, ROLES[f"Azure Kubernetes Service {role}"])
    return {
        who: Kubectl.of(sandbox.another(who), tmp_path / who) for who in ("admin", "namespace_user")
    }


def test_the_team_sees_its_namespace_and_no_other(
    kubectl: dict[str, Kubectl], sandbox: Client
) -> None:
    user = sandbox.connection["identities"]["namespace_user"]["object_id"]
    assert NAME in kubectl["admin"]("kubectl get ns").out
    mine = kubectl["namespace_user"]
    assert mine(f"kubectl get ns {NAME}").rc == 0
    listed = mine("kubectl get ns")
    assert (listed.rc, listed.err.strip()) == (
        1,
        f'Error from server (Forbidden): namespaces is forbidden: User "{user}" cannot list '
        f'resource "namespaces" in API group "" at the cluster scope: {DENIED}',
    )
    other = mine(f"kubectl get pods -n {OTHERS}")
    assert (other.rc, other.err.strip()) == (
        1,
        f'Error from server (Forbidden): pods is forbidden: User "{user}" cannot list resource '
        f'"pods" in API group "" in the namespace "{OTHERS}": {DENIED}',
    )
    assert mine(f"kubectl auth can-i create deployments -n {NAME}").out == "yes\n"
    denied = mine(f"kubectl auth can-i delete resourcequotas -n {NAME}")
    assert (denied.rc, denied.out.split(" - ")[0].strip()) == (1, "no")
    told = mine(f"kubectl auth can-i --list -n {NAME}")
    assert "the list may be incomplete" in told.err


def test_the_walk_through_to_its_end(kubectl: dict[str, Kubectl], sandbox: Client) -> None:
    user = sandbox.connection["identities"]["namespace_user"]["object_id"]
    check(kubectl["admin"], kubectl["namespace_user"], NAME, OTHERS, user)


def test_what_arm_manages_is_not_changed_here(kubectl: dict[str, Kubectl]) -> None:
    admin = kubectl["admin"]
    done = admin(f"kubectl label ns {NAME} team=other --overwrite")
    assert done.rc == 1
    assert "aks-namespace-validating-webhook.azmk8s.io" in done.err
    done = admin(f"kubectl delete quota defaultresourcequota -n {NAME}")
    assert done.rc == 1
    assert "is not allowed because it is managed by ARM" in done.err


def test_kubectl_and_lightkube_see_the_same_objects(
    kubectl: dict[str, Kubectl], sandbox: Client
) -> None:
    import lightkube
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
    from lightkube.resources.core_v1 import ConfigMap, Event, LimitRange, Node, Pod, ResourceQuota

    admin = kubectl["admin"]
    client = lightkube.Client(config=KubeConfig.from_file(admin.config), trust_env=False)
    made = admin(f"kubectl create configmap made --from-literal=a=b -n {NAME}")
    assert made.rc == 0, made.err
    for resource, word in (
        (Pod, "pods"),
        (Deployment, "deployments"),
        (HorizontalPodAutoscaler, "hpa"),
        (ConfigMap, "configmaps"),
        (LimitRange, "limitranges"),
        (ResourceQuota, "resourcequotas"),
        (Event, "events"),
    ):
        theirs = admin.json(f"kubectl get {word} -A")["items"]
        ours = [one.to_dict() for one in client.list(resource, namespace="*")]
        assert {facts(one) for one in ours} == {facts(one) for one in theirs}, word
        assert theirs or word == "limitranges"
    nodes = {one.metadata.name for one in client.list(Node)}
    assert nodes == {one["metadata"]["name"] for one in admin.json("kubectl get nodes")["items"]}
    config = ConfigMap.from_dict(
        {"metadata": {"name": "ours", "namespace": NAME}, "data": {"c": "d"}}
    )
    client.create(config)
    client.close()
    assert admin.json(f"kubectl get cm ours -n {NAME}")["data"] == {"c": "d"}


def facts(doc: dict) -> tuple[str, ...]:
    """What makes two objects the same one in the same state."""
    of = doc["metadata"]
    return of["namespace"], of["name"], of["uid"], of["resourceVersion"]
