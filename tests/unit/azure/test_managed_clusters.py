import base64
import json

import pytest

from mnslib.azure.operations import OperationKind
from mnslib.errors import ArmPreconditionError
from mnslib.models import ManagedCluster, NewCluster


def test_what_is_read_of_a_cluster(client, azure, cluster, wire):
    azure.answers(
        wire.reply(
            200,
            wire.cluster(
                aadProfile={"managed": True, "enableAzureRBAC": True},
                networkProfile={"networkPlugin": "azure", "networkPolicy": "cilium"},
                apiServerAccessProfile={"enablePrivateCluster": True},
                azureMonitorProfile={"metrics": {"enabled": True}},
                agentPoolProfiles=[
                    {"name": "system", "count": 2, "enableAutoScaling": False, "maxCount": 5},
                    {"name": "user", "count": 2, "enableAutoScaling": True, "maxCount": 9},
                ],
            ),
        )
    )
    assert client.managed_clusters.get(cluster) == ManagedCluster(
        id=cluster,
        location="westeurope",
        kubernetes_version="1.32.7",
        provisioning_state="Succeeded",
        power_state="Running",
        has_entra_id=True,
        has_azure_rbac=True,
        network_policy_engine="cilium",
        most_nodes={"user": 9},
        is_private=True,
        has_metrics=True,
    )


def test_blocks_left_out_mean_off(client, azure, cluster, wire):
    azure.answers(wire.reply(200, wire.cluster(networkProfile={"networkPolicy": "none"})))
    found = client.managed_clusters.get(cluster)
    assert found.network_policy_engine is None
    assert (found.has_entra_id, found.has_azure_rbac) == (False, False)
    assert (found.is_private, found.has_metrics) == (False, False)


def test_a_new_cluster_is_sent_with_entra_id_azure_rbac_and_its_engine(
    client, azure, cluster, wire
):
    azure.answers(wire.reply(201, wire.cluster(), Location="https://management.azure.com/op"))
    wanted = NewCluster(
        id=cluster,
        location="westeurope",
        kubernetes_version="1.33",
        node_size="Standard_D4s_v5",
        node_count=3,
        network_policy="cilium",
    )
    operation = client.managed_clusters.begin_create(wanted)
    assert operation.kind is OperationKind.CREATE
    (put,) = azure.received
    assert (put.method, put.headers["If-None-Match"]) == ("PUT", "*")
    sent = json.loads(put.body)
    assert sent["identity"] == {"type": "SystemAssigned"}
    properties = sent["properties"]
    assert properties["aadProfile"] == {"managed": True, "enableAzureRBAC": True}
    assert properties["networkProfile"]["networkPolicy"] == "cilium"
    assert properties["networkProfile"]["networkDataplane"] == "cilium"
    assert properties["kubernetesVersion"] == "1.33"
    (pool,) = properties["agentPoolProfiles"]
    assert (pool["count"], pool["vmSize"]) == (3, "Standard_D4s_v5")


def test_azure_rbac_is_turned_on_over_what_was_read_and_nothing_else_changes(
    client, azure, cluster, wire
):
    there = wire.cluster(
        aadProfile={"managed": True, "adminGroupObjectIDs": ["g"]}, dnsPrefix="mine"
    ) | {"eTag": "one", "tags": {"cost": "1"}}
    azure.answers(wire.reply(200, there), wire.reply(200, there))
    client.managed_clusters.begin_enable_azure_rbac(cluster, if_match="one")
    put = azure.received[1]
    assert (put.method, put.headers["If-Match"]) == ("PUT", "one")
    sent = json.loads(put.body)
    assert sent["tags"] == {"cost": "1"}
    assert sent["properties"]["dnsPrefix"] == "mine"
    assert sent["properties"]["aadProfile"] == {
        "managed": True, "adminGroupObjectIDs": ["g"], "enableAzureRBAC": True,
    }  # fmt: skip
    assert "provisioningState" not in sent["properties"]  # which is only read


def test_a_cluster_that_was_changed_since_is_not_written(client, azure, cluster, wire):
    azure.answers(wire.reply(200, wire.cluster() | {"eTag": "two"}))
    with pytest.raises(ArmPreconditionError, match="was changed after it was read"):
        client.managed_clusters.begin_enable_azure_rbac(cluster, if_match="one")
    assert [sent.method for sent in azure.received] == ["GET"]


def test_a_provider_is_registered_and_looked_at(client, azure, wire):
    azure.answers(
        wire.reply(200, {"registrationState": "Registering"}),
        wire.reply(200, {"registrationState": "Registered"}),
    )
    assert client.providers.register("sub-1") == "Registering"
    assert client.providers.state("sub-1") == "Registered"
    assert [(sent.method, sent.url.partition("?")[0]) for sent in azure.received] == [
        ("POST", "https://management.azure.com/subscriptions/sub-1/providers"
                 "/Microsoft.ContainerService/register"),
        ("GET", "https://management.azure.com/subscriptions/sub-1/providers"
                "/Microsoft.ContainerService"),
    ]  # fmt: skip


def test_deployment_safeguards_are_off_unless_they_are_enforced(client, azure, cluster, wire):
    named = {"excludedNamespaces": ["own"], "systemExcludedNamespaces": ["kube-system"]}
    azure.answers(
        wire.reply(200, {"properties": {"level": "Enforce"} | named}),
        wire.reply(200, {"properties": {"level": "Warn"} | named}),
        wire.reply(404, {"error": {"code": "ResourceNotFound", "message": "not found"}}),
    )
    found = [client.managed_clusters.guarded_except(cluster) for _ in range(3)]
    assert found == [["kube-system", "own"], None, None]


def test_clusters_of_a_subscription_are_listed_to_the_last_page(client, azure, wire):
    link = "https://management.azure.com/subscriptions/sub-1/more?$skiptoken=x"
    azure.answers(
        wire.reply(200, {"value": [wire.cluster("a")], "nextLink": link}),
        wire.reply(200, {"value": [wire.cluster("b")]}),
    )
    found = client.managed_clusters.list("sub-1")
    assert [item.id.cluster_name for item in found] == ["a", "b"]


def test_the_user_kubeconfig_comes_as_text(client, azure, cluster, wire):
    value = base64.b64encode(b"kind: Config\n").decode()
    azure.answers(wire.reply(200, {"kubeconfigs": [{"name": "clusterUser", "value": value}]}))
    assert client.managed_clusters.list_cluster_user_credential(cluster) == "kind: Config\n"


def test_a_known_region_paces_its_writes(make_client, azure, clock, cluster, wire):
    client = make_client()
    azure.answers(wire.reply(200, wire.cluster()), wire.reply(204))
    client.managed_clusters.get(cluster)
    started = clock.now
    for number in range(70):
        client.managed_namespaces.begin_delete(cluster.namespace(f"n{number}"))
    assert round(clock.now - started) == 11  # 59 at once, then one a second
