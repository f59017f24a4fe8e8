"""`az aks namespace`: the whole group, as an administrator uses it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.client import Az
from tests.sandbox.client import PROD, TEST, Client, namespace_id

WEU = "-g rg-platform --cluster-name aks-prod-weu-1"
QUOTA = "--cpu-request 500m --cpu-limit 800m --memory-request 1Gi --memory-limit 2Gi"
OBJECTS = "/api/v1/namespaces/{}"


@pytest.fixture(scope="module")
def added(az: Az, sandbox: Client) -> Any:
    line = f"aks namespace add {WEU} -n whole {QUOTA} --labels a=b p=q --annotations c=d"
    return az("admin", f"{line} --tags cost=1 --ingress-policy DenyAll").json


@pytest.fixture(scope="module")
def updated(az: Az, added: Any) -> Any:
    return az("admin", f"aks namespace update {WEU} -n whole --cpu-request 600m").json


def test_add_returns_the_finished_namespace(added: Any) -> None:
    properties = added["properties"]
    assert added["id"] == namespace_id("whole")
    assert (added["location"], added["tags"]) == ("westeurope", {"cost": "1"})
    assert properties["provisioningState"] == "Succeeded"
    assert properties["labels"] == {"a": "b", "p": "q"}
    assert properties["annotations"] == {"c": "d"}
    assert properties["defaultResourceQuota"]["memoryLimit"] == "2Gi"


def test_the_cli_fills_in_what_was_not_said(added: Any) -> None:
    properties = added["properties"]
    assert properties["defaultNetworkPolicy"] == {"ingress": "DenyAll", "egress": "AllowAll"}
    assert (properties["adoptionPolicy"], properties["deletePolicy"]) == ("Never", "Keep")


def test_add_writes_to_the_cluster(added: Any, session_sandbox: Client) -> None:
    path = "/api/v1/namespaces/whole/resourcequotas/defaultresourcequota"
    hard = session_sandbox.kube("aks-prod-weu-1", "GET", path).json()["spec"]["hard"]
    assert hard["limits.cpu"] == "800m"


def test_update_keeps_what_the_cli_copies(updated: Any) -> None:
    properties = updated["properties"]
    assert properties["defaultResourceQuota"] == {
        "cpuRequest": "600m",
        "cpuLimit": "800m",
        "memoryRequest": "1Gi",
        "memoryLimit": "2Gi",
    }
    assert properties["defaultNetworkPolicy"]["ingress"] == "DenyAll"


def test_update_wipes_labels_annotations_and_tags_that_are_not_given_again(updated: Any) -> None:
    assert not {"labels", "annotations"} & {k for k, v in updated["properties"].items() if v}
    assert not updated.get("tags")


def test_show_says_what_update_said(az: Az, updated: Any) -> None:
    assert az("reader", f"aks namespace show {WEU} -n whole").json == updated


def test_update_changes_policies_and_labels(az: Az, updated: Any) -> None:
    line = f"aks namespace update {WEU} -n whole --labels x=y --delete-policy Delete"
    properties = az("admin", f"{line} --adoption-policy Always --egress-policy DenyAll").json
    properties = properties["properties"]
    assert properties["labels"] == {"x": "y"}
    assert (properties["adoptionPolicy"], properties["deletePolicy"]) == ("Always", "Delete")
    assert properties["defaultNetworkPolicy"] == {"ingress": "DenyAll", "egress": "DenyAll"}


def test_no_wait_returns_nothing_and_the_namespace_follows(az: Az, sandbox: Client) -> None:
    done = az("admin", f"aks namespace add {WEU} -n nowait {QUOTA} --no-wait")
    assert (done.rc, done.out) == (0, "")
    sandbox.finish()
    assert sandbox.get("nowait")["properties"]["provisioningState"] == "Succeeded"


def test_custom_headers_reach_the_put(az: Az, sandbox: Client) -> None:
    line = f"aks namespace update {WEU} -n payments-ledger --cpu-request 7"
    done = az("admin", f"{line}000m --aks-custom-headers If-Match=stale")
    assert (done.rc, "(PreconditionFailed)" in done.err) == (1, True)


@pytest.fixture(scope="module")
def lists(az: Az, sandbox: Client) -> dict[str, Any]:
    lines = {
        "cluster": f"aks namespace list {WEU}",
        "group": f"aks namespace list -g rg-platform --subscription {PROD}",
        "subscription": f"aks namespace list --subscription {TEST}",
        "elsewhere": "aks namespace list -g rg-platform --cluster-name aks-prod-neu-1",
    }
    return dict(zip(lines, (r.json for r in az.together("admin", lines.values())), strict=True))


def test_a_clusters_list_holds_whole_resources(lists: dict[str, Any]) -> None:
    found = {one["name"]: one for one in lists["cluster"]}
    assert {"payments-api", "payments-ledger", "search-index", "web-checkout"} <= set(found)
    assert found["web-checkout"]["properties"]["annotations"]
    assert not set(found) & {one["name"] for one in lists["elsewhere"]}


def test_wider_lists_name_cluster_and_namespace_and_tell_no_properties(
    lists: dict[str, Any],
) -> None:
    group, subscription = lists["group"], lists["subscription"]
    assert "aks-prod-weu-1/payments-api" in {one["name"] for one in group}
    assert {one["name"].split("/")[0] for one in subscription} == {"aks-test-weu-1"}
    assert not any(one.get("properties") for one in group)
    assert all(one["provisioningState"] and one["createdTime"] for one in subscription)


def test_delete_keeps_the_namespace_on_the_cluster(az: Az, sandbox: Client) -> None:
    done = az("admin", f"aks namespace delete {WEU} -n search-index")
    assert (done.rc, done.out) == (0, "")
    assert sandbox.arm("GET", namespace_id("search-index")).status_code == 404
    path = OBJECTS.format("search-index")
    assert sandbox.kube("aks-prod-weu-1", "GET", path).status_code == 200


def test_credentials_name_the_cluster_in_a_private_file(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "config"
    line = f"aks namespace get-credentials {WEU} -n payments-api -f {file}"
    assert az("admin", line).rc == 0
    again = az("admin", f"{line} --overwrite-existing --context mine")
    assert again.rc == 0, again.err
    config = yaml.safe_load(file.read_text())
    assert {one["name"] for one in config["contexts"]} == {"aks-prod-weu-1", "mine"}
    assert "namespace" not in config["contexts"][0]["context"]
    assert config["users"][0]["user"]["exec"]["command"] == "kubelogin"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


# what the CLI refuses itself, or says in words of its own


@pytest.mark.parametrize(
    ("line", "rc", "text"),
    [
        (f"add {WEU} -n payments-api {QUOTA}", 1, "already exists"),
        (f"update {WEU} -n nobody --cpu-limit 1000m", 1, "doesn't exist"),
        (f"delete {WEU} -n nobody", 1, "doesn't exist"),
        (f"show {WEU} -n nobody", 3, "ResourceNotFound"),
        ("show -g rg-platform --cluster-name nowhere -n nobody", 3, "ParentResourceNotFound"),
    ],
    ids=["add", "update", "delete", "show", "show-without-cluster"],
)
def test_wrong_names_are_told(az: Az, sandbox: Client, line: str, rc: int, text: str) -> None:
    done = az("admin", f"aks namespace {line}")
    assert done.rc == rc
    assert text in done.err
