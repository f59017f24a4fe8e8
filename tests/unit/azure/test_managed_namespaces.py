import base64
import json
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from mnslib.errors import ArmError, ArmNotFoundError
from mnslib.models import (
    AdoptionPolicy,
    DeletePolicy,
    ManagedNamespace,
    NetworkRule,
)

STATUS = "https://management.azure.com/subscriptions/sub-1/providers/Microsoft.X/operations/1"


@pytest.fixture
def namespace(cluster):
    return ManagedNamespace(
        id=cluster.namespace("payments"),
        location="westeurope",
        labels={"owner": "payments"},
        annotations={"contact": "x@example.com"},
        tags={"cost-center": "7"},
        quota=dict(cpu_request=Decimal("0.5"), cpu_limit=Decimal(2), memory_request=Decimal(2**30)),
        ingress_policy=NetworkRule.ALLOW_ALL,
        adoption_policy=AdoptionPolicy.NEVER,
        delete_policy=DeletePolicy.KEEP,
    )


def test_the_whole_value_is_sent_and_nothing_that_is_not_set(client, azure, namespace, wire):
    azure.answers(wire.reply(201, wire.namespace(), Azure_AsyncOperation=STATUS))
    client.managed_namespaces.begin_create_or_update(namespace)
    assert json.loads(azure.received[0].body) == {
        "location": "westeurope",
        "tags": {"cost-center": "7"},
        "properties": {
            "labels": {"owner": "payments"},
            "annotations": {"contact": "x@example.com"},
            "defaultResourceQuota": {
                "cpuRequest": "500m",
                "cpuLimit": "2000m",
                "memoryRequest": "1Gi",
            },
            "defaultNetworkPolicy": {"ingress": "AllowAll"},
            "adoptionPolicy": "Never",
            "deletePolicy": "Keep",
        },
    }
    assert azure.received[0].path == str(namespace.id)


def test_what_was_read_can_be_sent_back_unchanged(client, azure, namespace, wire):
    body = {
        "labels": {"owner": "payments", "kubernetes.io/metadata.name": "payments"},
        "annotations": {"contact": "x"},
        "defaultResourceQuota": {"cpuRequest": "0.5", "memoryLimit": "1024Mi"},
        "defaultNetworkPolicy": {"ingress": "denyall", "egress": "AllowAll"},
        "adoptionPolicy": "always",
        "deletePolicy": "Keep",
    }
    azure.answers(
        wire.reply(200, wire.namespace(etag="e-9", **body) | {"tags": {"a": "b"}}),
        wire.reply(200, wire.namespace(), Azure_AsyncOperation=STATUS),
    )
    read = client.managed_namespaces.get(namespace.id)
    assert read.id == namespace.id  # the answer spells subscription and group differently
    assert read.etag == "e-9"
    assert read.labels == {"owner": "payments"}
    operation = client.managed_namespaces.begin_create_or_update(read, if_match=read.etag)
    assert operation.kind == "update"
    sent = json.loads(azure.received[1].body)
    assert azure.received[1].headers["If-Match"] == "e-9"
    assert sent["tags"] == {"a": "b"}
    assert sent["properties"] == body | {
        "labels": {"owner": "payments"},
        "defaultResourceQuota": {"cpuRequest": "500m", "memoryLimit": "1Gi"},
        "defaultNetworkPolicy": {"ingress": "DenyAll", "egress": "AllowAll"},
        "adoptionPolicy": "Always",
    }


def test_null_and_missing_mean_nothing_is_set(client, azure, namespace, wire):
    azure.answers(wire.reply(200, wire.namespace(labels=None, annotations=None) | {"tags": None}))
    read = client.managed_namespaces.get(namespace.id)
    assert (read.labels, read.annotations, read.tags) == ({}, {}, {})
    assert read.quota == {}
    assert read.adoption_policy is None


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"defaultResourceQuota": {"cpuRequest": "much"}}, r"cpu_request.*'much'"),
        ({"defaultNetworkPolicy": {"egress": "AllowSome"}}, r"egress.*'AllowSome'"),
        ({"deletePolicy": "Shred"}, r"deletePolicy.*'Shred'"),
    ],
)
def test_what_cannot_be_understood_is_named(client, azure, namespace, wire, properties, field):
    azure.answers(wire.reply(200, wire.namespace(**properties)))
    with pytest.raises(ArmError, match=field):
        client.managed_namespaces.get(namespace.id)


def test_an_answer_without_properties_is_not_taken_for_an_empty_namespace(
    client, azure, namespace, wire
):
    answer = wire.namespace()
    del answer["properties"]
    azure.answers(wire.reply(200, answer))
    with pytest.raises(ArmError, match="without id or properties"):
        client.managed_namespaces.get(namespace.id)


@pytest.mark.parametrize(
    "item",
    [None, "crm", [], {"id": "crm", "properties": {}}, {"id": 7, "properties": {"labels": []}}],
    ids=str,
)
def test_an_odd_item_of_a_list_is_an_error_of_ours(client, azure, cluster, wire, item):
    azure.answers(wire.reply(200, {"value": [wire.namespace("a"), item]}))
    with pytest.raises(ArmError, match=r"cannot be read|without id"):
        client.managed_namespaces.list_by_managed_cluster(cluster)


@pytest.mark.parametrize(
    "odd", [{"labels": ["a"]}, {"defaultResourceQuota": 5}, {"adoptionPolicy": ["Never"]}], ids=str
)
def test_an_odd_field_of_an_item_is_an_error_of_ours(client, azure, cluster, wire, odd):
    azure.answers(wire.reply(200, {"value": [wire.namespace("a", **odd)]}))
    with pytest.raises(ArmError, match=r"managedNamespaces/a|adoptionPolicy"):
        client.managed_namespaces.list_by_managed_cluster(cluster)


def test_a_quantity_that_arm_cannot_hold_is_refused_before_it_is_sent(client, azure, cluster):
    odd = ManagedNamespace(
        id=cluster.namespace("payments"),
        location="westeurope",
        quota=dict(memory_limit=Decimal(10**9)),
    )
    with pytest.raises(ArmError, match=r"memory_limit of .*payments"):
        client.managed_namespaces.begin_create_or_update(odd)
    assert azure.received == []


def test_a_list_is_read_to_its_last_page_even_past_an_empty_one(client, azure, cluster, wire):
    pages = "https://management.azure.com/subscriptions/sub-1/pages?$skiptoken="
    azure.answers(
        wire.reply(200, {"value": [], "nextLink": pages + "1"}),
        wire.reply(200, {"value": [wire.namespace("a")], "nextLink": pages + "2"}),
        wire.reply(200, {"value": [], "nextLink": pages + "3"}),
        wire.reply(200, {"value": [wire.namespace("b")], "nextLink": pages + "4"}),
        wire.reply(200, {"value": []}),
    )
    found = client.managed_namespaces.list_by_managed_cluster(cluster)
    assert [item.id.namespace_name for item in found] == ["a", "b"]
    assert len(azure.received) == 5


def test_a_list_asks_for_the_version_that_the_sdk_asks_for_by_default(client, azure, cluster, wire):
    from azure.mgmt.containerservice import ContainerServiceClient

    azure.answers(wire.reply(200, {"value": []}), wire.reply(200, wire.namespace("a")))
    client.managed_namespaces.list_by_managed_cluster(cluster)
    client.managed_namespaces.get(cluster.namespace("a"))
    listed, one = (parse_qs(urlsplit(sent.url).query) for sent in azure.received)
    default = ContainerServiceClient(object(), "sub-1", policies=[])._config.api_version
    assert listed["api-version"] == one["api-version"] == [default]


def test_a_list_whose_pages_go_in_a_circle_ends(client, azure, cluster, wire):
    page = "https://management.azure.com/subscriptions/sub-1/pages?$skiptoken=1"
    azure.answers(wire.reply(200, {"value": [], "nextLink": page}))
    with pytest.raises(ArmError, match="pages that do not end"):
        client.managed_namespaces.list_by_managed_cluster(cluster)


def test_a_list_that_holds_no_values_is_no_empty_list(client, azure, cluster, wire):
    azure.answers(wire.reply(200, {"note": "from a proxy"}))
    with pytest.raises(ArmError, match="without a list"):
        client.managed_namespaces.list_by_managed_cluster(cluster)


def test_delete_follows_an_operation_or_finds_it_gone(client, azure, namespace, wire):
    azure.answers(wire.reply(202, Azure_AsyncOperation=STATUS), wire.reply(204))
    operation = client.managed_namespaces.begin_delete(namespace.id, if_match="e-1")
    assert operation is not None
    assert (operation.kind, operation.url) == ("delete", STATUS)
    assert azure.received[0].headers["If-Match"] == "e-1"
    assert client.managed_namespaces.begin_delete(namespace.id) is None
    assert "If-Match" not in azure.received[1].headers


def test_the_kubeconfig_comes_as_text(client, azure, namespace, wire):
    value = base64.b64encode(b"apiVersion: v1\n").decode()
    azure.answers(wire.reply(200, {"kubeconfigs": [{"name": "clusterUser", "value": value}]}))
    assert client.managed_namespaces.list_credential(namespace.id) == "apiVersion: v1\n"
    assert azure.received[0].path == f"{namespace.id}/listCredential"


def test_no_kubeconfig_is_an_error(client, azure, namespace, wire):
    azure.answers(wire.reply(200, {"kubeconfigs": []}))
    with pytest.raises(ArmError, match="no kubeconfig"):
        client.managed_namespaces.list_credential(namespace.id)


def test_a_missing_namespace_says_where_and_what_to_do(client, azure, namespace, wire):
    azure.answers(wire.error(404, "ResourceNotFound", "The Resource was not found."))
    with pytest.raises(ArmNotFoundError) as caught:
        client.managed_namespaces.get(namespace.id)
    assert str(caught.value) == (
        f"Could not read {namespace.id}: 404 ResourceNotFound. The Resource was not found."
        " Check subscription, group and names; it may be gone meanwhile."
    )
