"""What lies around a managed namespace: subscriptions, groups, providers, features, clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.client import Az, Result
from tests.sandbox.client import PROD, TEST, Client, cluster_id, namespace_id

SPARE = "-g rg-platform -n aks-spare"
FEATURE = "--namespace Microsoft.ContainerService"
READS = {
    "subscriptions": "account list --refresh",
    "locations": "account list-locations",
    "groups": "group list",
    "group": "group show -n rg-platform",
    "group-is": "group exists -n rg-platform",
    "group-is-not": "group exists -n rg-nowhere",
    "providers": "provider list",
    "provider": "provider show --namespace Microsoft.ContainerService",
    "features": f"feature list {FEATURE}",
    "feature-unknown": f"feature show {FEATURE} --name ManagedNamespacePreveiw",
    "clusters": "aks list",
    "clusters-of-group": f"aks list -g rg-platform --subscription {TEST}",
    "cluster": "aks show -g rg-platform -n aks-prod-weu-1",
    "resource": f"resource show --ids {namespace_id('payments-api')}",
    "resources": "resource list --resource-type Microsoft.ContainerService/managedClusters",
    "rest": f"rest --url {cluster_id()}?api-version=2026-06-01",
}


@pytest.fixture(scope="module")
def reads(az: Az, sandbox: Client) -> dict[str, Result]:
    return dict(zip(READS, az.together("admin", READS.values()), strict=True))


def test_both_subscriptions_are_seen(reads: dict[str, Result]) -> None:
    assert {one["id"] for one in reads["subscriptions"].json} == {PROD, TEST}
    assert "westeurope" in {one["name"] for one in reads["locations"].json}


def test_groups_are_shown_and_asked_for(reads: dict[str, Result]) -> None:
    assert "rg-platform" in {one["name"] for one in reads["groups"].json}
    assert reads["group"].json["location"]
    assert (reads["group-is"].json, reads["group-is-not"].json) == (True, False)


def test_the_provider_lists_the_namespaces_type(reads: dict[str, Result]) -> None:
    provider = reads["provider"].json
    assert provider["registrationState"] == "Registered"
    types = {one["resourceType"]: one["apiVersions"] for one in provider["resourceTypes"]}
    assert "2026-06-01" in types["managedClusters/managedNamespaces"]
    assert provider["namespace"] in {one["namespace"] for one in reads["providers"].json}


def test_a_feature_that_is_misspelt_is_not_found(reads: dict[str, Result]) -> None:
    names = {one["name"] for one in reads["features"].json}
    assert "Microsoft.ContainerService/ManagedNamespacePreview" in names
    assert reads["feature-unknown"].rc == 3
    assert "(FeatureNotFound)" in reads["feature-unknown"].err


def test_clusters_are_listed_where_they_are(reads: dict[str, Result]) -> None:
    assert {one["name"] for one in reads["clusters-of-group"].json} == {"aks-test-weu-1"}
    assert {"aks-prod-weu-1", "aks-prod-neu-1"} <= {one["name"] for one in reads["clusters"].json}
    assert reads["cluster"].json["networkProfile"]["networkPolicy"] == "cilium"


def test_generic_commands_say_the_same_as_the_special_ones(reads: dict[str, Result]) -> None:
    assert reads["resource"].json["properties"]["provisioningState"] == "Succeeded"
    listed = {one["name"] for one in reads["resources"].json}
    assert listed == {one["name"] for one in reads["clusters"].json}
    assert reads["rest"].json["id"] == reads["cluster"].json["id"]


# a cluster's life


@pytest.fixture(scope="module")
def spare(az: Az, sandbox: Client) -> Any:
    return az("admin", f"aks create {SPARE} --no-ssh-key --node-count 2").json


def test_a_cluster_is_created_with_the_services_choices(spare: Any) -> None:
    assert spare["provisioningState"] == "Succeeded"
    assert spare["location"] == "westeurope"
    assert spare["kubernetesVersion"]
    assert spare["agentPoolProfiles"][0]["vmSize"]
    assert spare["agentPoolProfiles"][0]["count"] == 2


def test_admin_credentials_need_no_sign_in(az: Az, spare: Any, tmp_path: Path) -> None:
    file = tmp_path / "config"
    assert az("admin", f"aks get-credentials {SPARE} --admin -f {file}").rc == 0
    config = yaml.safe_load(file.read_text())
    assert config["current-context"] == "aks-spare-admin"
    assert "exec" not in config["users"][0]["user"]


def test_admin_credentials_are_refused_where_local_accounts_are_off(
    az: Az, sandbox: Client, tmp_path: Path
) -> None:
    where = f"-g rg-platform -n aks-prod-weu-1 -f {tmp_path / 'config'}"
    assert az("admin", f"aks get-credentials {where}").rc == 0
    refused = az("admin", f"aks get-credentials {where} --admin")
    assert refused.rc == 1
    assert "local accounts" in refused.err


def test_a_deleted_cluster_is_gone(az: Az, spare: Any, sandbox: Client) -> None:
    assert az("admin", f"aks delete {SPARE} --yes").rc == 0
    assert sandbox.arm("GET", cluster_id("aks-spare")).status_code == 404


def test_a_group_goes_with_what_is_in_it(az: Az, sandbox: Client) -> None:
    assert az("admin", "group create -n rg-short -l northeurope").json["location"] == "northeurope"
    assert az("admin", "group delete -n rg-short --yes").rc == 0
    assert az("admin", "group exists -n rg-short").json is False


# what the walk-through warns of


def test_the_previews_flag_is_asked_for_if_so_switched(az: Az, sandbox: Client) -> None:
    sandbox.switch(feature_flag_required=True)
    quota = "--cpu-request 1m --cpu-limit 1m --memory-request 1Mi --memory-limit 1Mi"
    where = "-g rg-platform --cluster-name aks-prod-weu-1 -n flagged"
    done = az("admin", f"aks namespace add {where} {quota}")
    sandbox.switch(feature_flag_required=False)
    text = "Microsoft.ContainerService/ManagedNamespacePreview to be registered."
    assert done.rc == 1
    assert f"(BadRequest) Managed namespace requires feature flag {text}" in done.err


def test_a_throttled_cli_comes_back_when_it_is_told_to(az: Az, sandbox: Client) -> None:
    limits = {"limits": {"other": {"burst": 1, "per_minute": 10}}}
    answer = sandbox.control("POST", "limits", limits)
    assert answer.status_code == 200, answer.text
    assert sandbox.arm("GET", namespace_id("payments-api")).status_code == 200
    sandbox.control("DELETE", "requests")
    where = "-g rg-platform --cluster-name aks-prod-weu-1 -n payments-api"
    done = az("admin", f"aks namespace show {where}")
    seen = [one["status"] for one in sandbox.control("GET", "requests").json()["value"]]
    sandbox.control("POST", "reset", {"clear": ["limits"]})
    assert (done.rc, seen[-2:]) == (0, [429, 200])
