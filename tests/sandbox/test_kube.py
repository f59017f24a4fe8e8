"""The Kubernetes side: reads, quota admission, the webhook; kubectl and lightkube as clients."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.client import AKS_SERVER_ID, Client, cluster_id, make_body, make_pod

WEU = "aks-prod-weu-1"
LEDGER = "/api/v1/namespaces/payments-ledger"
SMALL = {"cpu": "100m", "memory": "64Mi"}


def message(answer: Any) -> str:
    assert answer.json()["kind"] == "Status"
    return str(answer.json()["message"])


def test_lists_by_namespace_cluster_and_page(sandbox: Client) -> None:
    everything = sandbox.kube(WEU, "GET", "/api/v1/pods").json()["items"]
    pages: list[dict[str, Any]] = []
    token = ""
    while True:
        query = {"limit": "40", "continue": token}
        body = sandbox.kube(WEU, "GET", "/api/v1/pods", params=query).json()
        pages += body["items"]
        token = body["metadata"].get("continue", "")
        if not token:
            break
        assert body["metadata"]["remainingItemCount"] == len(everything) - len(pages)
    assert pages == everything
    own = sandbox.kube(WEU, "GET", f"{LEDGER}/pods").json()["items"]
    assert own == [pod for pod in everything if pod["metadata"]["namespace"] == "payments-ledger"]
    assert len(own) == 9


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"labelSelector": "app=ledger"}, 7),
        ({"labelSelector": "app!=ledger"}, 2),
        ({"labelSelector": "app in (ledger, postings)"}, 9),
        ({"labelSelector": "app notin (ledger)"}, 2),
        ({"labelSelector": "app,!other"}, 9),
        ({"fieldSelector": "metadata.name=ledger-00000"}, 1),
        ({"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}, 9),
        ({"fieldSelector": "spec.nodeName=nowhere"}, 0),
    ],
)
def test_selectors(sandbox: Client, query: dict[str, str], count: int) -> None:
    items = sandbox.kube(WEU, "GET", f"{LEDGER}/pods", params=query).json()["items"]
    assert len(items) == count


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/api/v1/pods", {"fieldSelector": "spec.color=red"}, 400),
        ("/api/v1/pods", {"labelSelector": "a=b=c d"}, 400),
        ("/api/v1/pods", {"continue": "nonsense"}, 400),
        ("/api/v1/colors", {}, 404),
        ("/api/v1/networkpolicies", {}, 404),
        ("/api/v1/namespaces/nobody", {}, 404),
        ("/apis/batch/v2", {}, 404),
        ("/api/v1/deployments", {}, 404),
        ("/apis/apps/v1/deployments", {"fieldSelector": "reason=FailedCreate"}, 400),
    ],
)
def test_reads_that_are_refused(
    sandbox: Client, path: str, query: dict[str, str], status: int
) -> None:
    answer = sandbox.kube(WEU, "GET", path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert answer.json()["kind"] == "Status"


def test_pod_without_amounts_is_refused_with_the_seen_text(sandbox: Client) -> None:
    answer = sandbox.kube(WEU, "POST", "/api/v1/namespaces/payments-api/pods", make_pod("x"))
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert message(answer) == (
        'pods "x" is forbidden: failed quota: defaultresourcequota: must specify limits.cpu for: x;'
        " limits.memory for: x; requests.cpu for: x; requests.memory for: x"
    )


def test_pod_over_quota_is_refused_with_the_figures(sandbox: Client) -> None:
    big = {"cpu": "2", "memory": "64Mi"}
    pod = make_pod("x", requests=big, limits={"cpu": "6", "memory": "64Mi"})
    answer = sandbox.kube(WEU, "POST", f"{LEDGER}/pods", pod)
    assert answer.status_code == 403
    assert message(answer) == (
        'pods "x" is forbidden: exceeded quota: defaultresourcequota, requested: limits.cpu=6,'
        "requests.cpu=2, used: limits.cpu=12500m,requests.cpu=6250m, limited: limits.cpu=16,"
        "requests.cpu=8"
    )


def test_used_follows_pods(sandbox: Client) -> None:
    def used() -> Any:
        path = f"{LEDGER}/resourcequotas/defaultresourcequota"
        return sandbox.kube(WEU, "GET", path).json()["status"]["used"]["requests.cpu"]

    assert used() == "6250m"
    created = sandbox.kube(WEU, "POST", f"{LEDGER}/pods", make_pod("x", limits=SMALL))
    assert created.status_code == 201
    requests = created.json()["spec"]["containers"][0]["resources"]["requests"]
    assert requests == SMALL  # defaulted from limits
    assert created.json()["status"]["phase"] == "Pending"
    found = sandbox.kube(WEU, "GET", f"{LEDGER}/pods/x").json()
    assert found["status"]["phase"] == "Running"
    assert found["spec"]["nodeName"]
    assert used() == "6350m"
    again = sandbox.kube(WEU, "POST", f"{LEDGER}/pods", make_pod("x", limits=SMALL))
    assert again.json()["reason"] == "AlreadyExists"
    assert sandbox.kube(WEU, "DELETE", f"{LEDGER}/pods/x").status_code == 200
    assert used() == "6250m"


def test_all_quotas_must_be_satisfied(sandbox: Client) -> None:
    quota = {"metadata": {"name": "extra"}, "spec": {"hard": {"pods": "9", "limits.cpu": "99000m"}}}
    created = sandbox.kube(WEU, "POST", f"{LEDGER}/resourcequotas", quota)
    hard = {"pods": "9", "limits.cpu": "99"}
    assert created.json()["status"] == {"hard": hard, "used": {"pods": "9", "limits.cpu": "12500m"}}
    answer = sandbox.kube(WEU, "POST", f"{LEDGER}/pods", make_pod("x", limits=SMALL))
    wanted = "exceeded quota: extra, requested: pods=1, used: pods=9, limited: pods=9"
    assert message(answer) == f'pods "x" is forbidden: {wanted}'


def test_dry_run_leaves_nothing(sandbox: Client) -> None:
    path = f"{LEDGER}/pods?dryRun=All"
    assert sandbox.kube(WEU, "POST", path, make_pod("x", limits=SMALL)).status_code == 201
    assert sandbox.kube(WEU, "GET", f"{LEDGER}/pods/x").status_code == 404


def test_a_pod_that_fits_no_node_is_pending(sandbox: Client) -> None:
    path = "/api/v1/namespaces/team-sandbox/pods"
    pod = make_pod("x", requests={"cpu": "8", "memory": "1Gi"})
    sandbox.kube(WEU, "POST", path, pod)
    found = sandbox.kube(WEU, "GET", f"{path}/x").json()
    assert found["status"]["phase"] == "Pending"
    assert "nodeName" not in found["spec"]
    said = found["status"]["conditions"][0]["message"]
    assert re.match(r"0/[0-9]+ nodes are available: .*[0-9]+ Insufficient cpu", said)


WEBHOOK = 'admission webhook "aks-namespace-validating-webhook.azmk8s.io" denied the request: '
NAMESPACE = "Updating/deleting namespace payments-ledger {} is not allowed because it is managed by"
MANAGED = [
    ("PATCH", "", {"metadata": {"labels": {"a": "b"}}}, NAMESPACE.format("labels")),
    ("PATCH", "", {"metadata": {"labels": {"owner": None}}}, NAMESPACE.format("labels")),
    ("PATCH", "", {"metadata": {"annotations": {"a": "b"}}}, NAMESPACE.format("annotations")),
    ("DELETE", "", None, "Deleting namespace payments-ledger is not allowed because it is managed"),
    (
        "PATCH",
        "/resourcequotas/defaultresourcequota",
        {"spec": {"hard": {"requests.cpu": "99"}}},
        "Updating resource quota defaultresourcequota is not allowed because it is managed by ARM. "
        "Please update this resource quota though ARM api.",
    ),
    (
        "DELETE",
        "/resourcequotas/defaultresourcequota",
        None,
        "Deleting resource quota defaultresourcequota is not allowed because it is managed by ARM.",
    ),
    (
        "PATCH",
        "networkpolicies/defaultnetworkpolicy",
        {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
        "Updating default network policy defaultnetworkpolicy is not allowed because it is managed "
        "by ARM. Please update this network policy though ARM api.",
    ),
    (
        "DELETE",
        "networkpolicies/defaultnetworkpolicy",
        None,
        "Deleting default network policy defaultnetworkpolicy is not allowed because it is managed",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "text"), MANAGED)
def test_webhook_guards_what_arm_manages(
    sandbox: Client, method: str, path: str, body: Any, text: str
) -> None:
    networking = "/apis/networking.k8s.io/v1/namespaces/payments-ledger/"
    url = networking + path if path.startswith("network") else LEDGER + path
    headers = {"Content-Type": "application/merge-patch+json"} if body else {}
    answer = sandbox.kube(WEU, method, url, body, headers=headers)
    assert (answer.status_code, answer.json().get("reason")) == (400, None)
    assert message(answer).startswith(WEBHOOK + text)


def test_what_arm_does_not_manage_stays_free(sandbox: Client) -> None:
    patch = {"Content-Type": "application/strategic-merge-patch+json"}
    path = "/api/v1/namespaces/legacy-crm"
    labels = {"metadata": {"labels": {"a": "b", "owner": None}}}
    changed = sandbox.kube(WEU, "PATCH", path, labels, headers=patch).json()
    assert changed["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "legacy-crm"}
    policies = "/apis/networking.k8s.io/v1/namespaces/payments-ledger/networkpolicies"
    policy = {"metadata": {"name": "own"}, "spec": {"podSelector": {}}}
    assert sandbox.kube(WEU, "POST", policies, policy).status_code == 201
    own = sandbox.kube(WEU, "GET", f"{policies}/own").json()
    own["spec"]["policyTypes"] = ["Egress"]
    replaced = sandbox.kube(WEU, "PUT", f"{policies}/own", own)
    assert replaced.json()["spec"]["policyTypes"] == ["Egress"]
    stale = sandbox.kube(WEU, "PUT", f"{policies}/own", own)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert sandbox.kube(WEU, "DELETE", f"{policies}/own").json()["status"] == "Success"
    assert sandbox.kube(WEU, "DELETE", path).status_code == 200
    assert sandbox.kube(WEU, "GET", f"{path}/pods").json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "Bad Name"}}, 422),
        ("POST", "/api/v1/namespaces", {"kind": "Pod", "metadata": {"name": "a"}}, 400),
        ("POST", "/api/v1/namespaces", {}, 422),
        ("POST", "/api/v1/namespaces/nobody/pods", make_pod(), 404),
        ("POST", "/api/v1/pods", make_pod(), 404),
        ("POST", "/api/v1/namespaces/docs-site/pods", {"metadata": {"name": "a"}}, 422),
        ("POST", "/api/v1/namespaces/docs-site/pods", make_pod(limits={"cpu": "much"}), 400),
        (
            "POST",
            "/api/v1/namespaces/docs-site/resourcequotas",
            {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "many"}}},
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/docs-site/resourcequotas",
            {"metadata": {"name": "q"}, "spec": {"scopes": ["Best"]}},
            422,
        ),
        ("PATCH", "/api/v1/namespaces/docs-site", {}, 415),
        ("DELETE", "/api/v1/nodes/x", None, 404),
        ("DELETE", "/api/v1/namespaces", None, 405),
        ("DELETE", "/api/v1/namespaces/kube-system", None, 403),
    ],
)
def test_writes_that_are_refused(
    sandbox: Client, method: str, path: str, body: Any, status: int
) -> None:
    assert sandbox.kube(WEU, method, path, body).status_code == status


@pytest.fixture
def lightkube_client(sandbox: Client) -> Iterator[Any]:
    import httpx2
    import lightkube
    from lightkube.config.kubeconfig import KubeConfig

    endpoint = next(c for c in sandbox.connection["clusters"] if c["name"] == WEU)
    context = ssl.create_default_context(cafile=sandbox.connection["ca_file"])
    token = sandbox.token(AKS_SERVER_ID)
    server = {"server": endpoint["kubernetes_endpoint"]}
    config = {
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": server}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {"token": token}}],
    }
    with httpx2.HTTPTransport(verify=context) as transport:
        yield lightkube.Client(KubeConfig.from_dict(config), transport=transport)


def test_lightkube_reads_and_writes(lightkube_client: Any) -> None:
    import lightkube
    from lightkube.resources.core_v1 import Namespace, Node, Pod, ResourceQuota

    client = lightkube_client
    assert len(list(client.list(Node))) == 5
    assert len(list(client.list(Pod, namespace="*", chunk_size=20))) == 96
    quota = client.get(ResourceQuota, "defaultresourcequota", namespace="payments-api")
    assert quota.status is not None
    assert quota.status.used == {
        "requests.cpu": "12",
        "limits.cpu": "22",
        "requests.memory": "22Gi",
        "limits.memory": "44Gi",
    }
    with pytest.raises(lightkube.ApiError, match="managed by ARM"):
        client.delete(Namespace, "payments-api")


def test_kubectl_gets_describes_and_applies(sandbox: Client, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    endpoint = next(c for c in sandbox.connection["clusters"] if c["name"] == WEU)
    server = {
        "server": endpoint["kubernetes_endpoint"],
        "certificate-authority": sandbox.connection["ca_file"],
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": server}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {"token": sandbox.token(AKS_SERVER_ID)}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))

    def run(*words: str, given: str | None = None) -> tuple[int, str]:
        command = [kubectl, "--kubeconfig", str(tmp_path / "config"), "--cache-dir", str(tmp_path)]
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, input=given, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    assert "payments-api" in run("get", "namespaces")[1]
    assert "requests.cpu     12    12" in run("describe", "namespace", "payments-api")[1]
    code, text = run("label", "namespace", "payments-api", "a=b")
    assert (code, "Error from server: admission webhook" in text) == (1, True)
    code, text = run("run", "x", "--image=a", "-n", "payments-api", "--restart=Never")
    assert "must specify limits.cpu for: x; limits.memory for: x" in text
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "extra", "namespace": "legacy-crm"},
        "spec": {"hard": {"requests.cpu": "9"}},
    }
    assert run("apply", "-f", "-", given=json.dumps(quota))[0] == 0
    assert "requests.cpu  1500m  9" in run("describe", "quota", "extra", "-n", "legacy-crm")[1]


def test_new_managed_namespace_takes_pods_up_to_its_quota(sandbox: Client) -> None:
    sandbox.put("new-team", make_body())
    path = "/api/v1/namespaces/new-team/pods"
    half = {"cpu": "250m", "memory": "512Mi"}
    for name, status in (("a", 201), ("b", 201), ("c", 403)):
        pod = make_pod(name, requests=half, limits={"cpu": "400m", "memory": "1Gi"})
        assert sandbox.kube(WEU, "POST", path, pod).status_code == status


@pytest.mark.parametrize("options", [{"params": {"dryRun": "All"}}, {"body": {"dryRun": ["All"]}}])
def test_a_delete_under_dry_run_deletes_nothing(sandbox: Client, options: dict[str, Any]) -> None:
    pod = f"{LEDGER}/pods/ledger-00000"  # kubectl says it in the body
    assert sandbox.kube(WEU, "DELETE", pod, **options).status_code == 200
    assert sandbox.kube(WEU, "GET", pod).status_code == 200


def test_a_dry_run_of_another_word_is_refused_and_writes_nothing(sandbox: Client) -> None:
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    path = f"{LEDGER}/resourcequotas"
    assert sandbox.kube(WEU, "POST", f"{path}?dryRun=all", body).status_code == 422
    assert sandbox.kube(WEU, "GET", f"{path}/q").status_code == 404


@pytest.mark.parametrize("key", ["uid", "resourceVersion"])
def test_a_delete_meant_for_another_object_is_refused(sandbox: Client, key: str) -> None:
    pod = f"{LEDGER}/pods/ledger-00000"
    right = sandbox.kube(WEU, "GET", pod).json()["metadata"][key]
    answer = sandbox.kube(WEU, "DELETE", pod, {"preconditions": {key: "other"}})
    assert answer.status_code == 409
    assert "Precondition failed" in message(answer)
    assert sandbox.kube(WEU, "DELETE", pod, {"preconditions": {key: right}}).status_code == 200


def test_a_body_must_say_what_its_address_says(sandbox: Client) -> None:
    path = f"{LEDGER}/resourcequotas"
    wanted = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    elsewhere = wanted | {"metadata": {"name": "q", "namespace": "payments-api"}}
    answer = sandbox.kube(WEU, "POST", path, elsewhere)
    assert answer.status_code == 400
    assert message(answer).startswith("the namespace of the provided object does not match")
    assert sandbox.kube(WEU, "POST", path, wanted).status_code == 201
    answer = sandbox.kube(WEU, "PUT", f"{path}/q", wanted | {"metadata": {"name": "r"}})
    assert answer.status_code == 400
    assert message(answer) == "the name of the object (r) does not match the name on the URL (q)"


@pytest.mark.parametrize("name", ["a.b", "a" * 64])
def test_a_namespace_is_named_as_a_dns_label(sandbox: Client, name: str) -> None:
    answer = sandbox.kube(WEU, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status_code == 422


@pytest.mark.parametrize("word", ["True", "t", ""])
def test_a_watch_is_never_answered_as_a_list(sandbox: Client, word: str) -> None:
    query = {"watch": word, "timeoutSeconds": "1"}
    answer = sandbox.kube(WEU, "GET", f"{LEDGER}/pods", params=query)
    assert {json.loads(line)["type"] for line in answer.iter_lines()} == {"ADDED"}
    listed = sandbox.kube(WEU, "GET", f"{LEDGER}/pods", params={"watch": "false"})
    assert listed.json()["kind"] == "PodList"


@pytest.mark.parametrize("token", ["NQ==", "bnVsbA==", "W10="])
def test_a_continue_token_that_is_none_is_refused(sandbox: Client, token: str) -> None:
    answer = sandbox.kube(WEU, "GET", "/api/v1/pods", params={"continue": token})
    refusal = "invalid continue token: continue key is not valid"
    assert (answer.status_code, message(answer)) == (400, refusal)


def test_nodes_name_their_pool_and_a_pool_its_autoscaler(sandbox: Client) -> None:
    nodes = sandbox.kube("aks-prod-weu-1", "GET", "/api/v1/nodes").json()["items"]
    label = "kubernetes.azure.com/agentpool"
    assert {one["metadata"]["labels"][label] for one in nodes} == {"pool1"}
    (pool,) = sandbox.arm("GET", cluster_id()).json()["properties"]["agentPoolProfiles"]
    limits = (pool["enableAutoScaling"], pool["minCount"], pool["maxCount"])
    assert limits == (True, 3, 8)


def test_a_quota_below_zero_is_refused(sandbox: Client) -> None:
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1", "requests.cpu": "-500m"}}}
    answer = sandbox.kube(WEU, "POST", f"{LEDGER}/resourcequotas", body)
    assert answer.status_code == 422
    assert "must be greater than or equal to 0" in message(answer)


def test_the_managed_label_by_itself_lets_nobody_adopt(sandbox: Client) -> None:
    metadata = {"name": "fake", "labels": {"kubernetes.azure.com/managedByArm": "true"}}
    sandbox.kube(WEU, "POST", "/api/v1/namespaces", {"metadata": metadata})
    answer = sandbox.put("fake", make_body(adoptionPolicy="Never"))
    assert sandbox.operation(answer)["status"] == "Failed"


POLICY = "networkpolicies", {"policyTypes": ["Ingress"]}
WRONG = [
    ({"labels": {"a b": "x"}}, *POLICY, "metadata.labels: Invalid value"),
    ({"labels": {"a": "-x"}}, "resourcequotas", {}, "metadata.labels: Invalid value"),
    ({"annotations": {"": "x"}}, "resourcequotas", {}, "metadata.annotations: Invalid value"),
    ({}, "networkpolicies", {"policyTypes": ["Inwards"]}, "spec.policyTypes[0]: Unsupported value"),
    (
        {},
        "networkpolicies",
        {"egress": [{"ports": [{"protocol": "ICMP"}]}]},
        "spec.egress[0].ports[0].protocol: Unsupported value",
    ),
    ({}, "resourcequotas", {"hard": {"colour": "1"}}, "must be a standard resource for quotas"),
]


@pytest.mark.parametrize(("metadata", "plural", "spec", "text"), WRONG)
def test_what_kubernetes_does_not_take_is_refused_new_or_patched(
    sandbox: Client, metadata: dict[str, Any], plural: str, spec: dict[str, Any], text: str
) -> None:
    group = "/apis/networking.k8s.io/v1" if plural == "networkpolicies" else "/api/v1"
    path = f"{group}/namespaces/docs-site/{plural}"
    wrong = {"metadata": metadata, "spec": spec}
    media = {"headers": {"Content-Type": "application/merge-patch+json"}}
    good = {"metadata": {"name": "own"}, "spec": {}}
    assert sandbox.kube(WEU, "POST", path, good).status_code == 201
    for method, where, body, options in (
        ("POST", path, wrong | {"metadata": metadata | {"name": "bad"}}, {}),
        ("PATCH", f"{path}/own", wrong, media),
    ):
        answer = sandbox.kube(WEU, method, where, body, **options)
        assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid"), answer.text
        assert text in message(answer)


@pytest.mark.parametrize(
    "key", ["requests.cpu", "count/pods", "requests.nvidia.com/gpu", "secrets"]
)
def test_what_a_quota_may_count_is_taken(sandbox: Client, key: str) -> None:
    body = {"metadata": {"name": "own"}, "spec": {"hard": {key: "2"}}}
    path = "/api/v1/namespaces/docs-site/resourcequotas"
    assert sandbox.kube(WEU, "POST", path, body).status_code == 201
