import base64

from mnslib.models import ManagedCluster


def test_what_is_read_of_a_cluster(client, azure, cluster, wire):
    azure.answers(
        wire.reply(
            200,
            wire.cluster(
                aadProfile={"managed": True, "enableAzureRBAC": True},
                networkProfile={"networkPlugin": "azure", "networkPolicy": "cilium"},
                apiServerAccessProfile={"enablePrivateCluster": True},
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
    )


def test_blocks_left_out_mean_off(client, azure, cluster, wire):
    azure.answers(wire.reply(200, wire.cluster(networkProfile={"networkPolicy": "none"})))
    found = client.managed_clusters.get(cluster)
    assert found.network_policy_engine is None
    assert (found.has_entra_id, found.has_azure_rbac) == (False, False)


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
