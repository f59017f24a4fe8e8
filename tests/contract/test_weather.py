"""Our Azure client works through scripted weather and token buckets, and nothing happens twice."""

from decimal import Decimal

import pytest

from mnslib.azure.throttle import Limits
from mnslib.errors import ArmThrottledError, ArmUnreachableError, OperationFailedError
from mnslib.models import (
    AdoptionPolicy,
    DeletePolicy,
    ManagedNamespace,
    NetworkRule,
)
from tests.operations import finish


@pytest.fixture
def weather(sandbox):
    """Set one fault; the weather is fair and nothing limited afterwards."""

    def storm(effect, **fault):
        fault = {"name": "storm", "match": {"surface": "arm"}, "effect": effect} | fault
        sandbox.control("POST", "faults", {"faults": [fault]})

    yield storm
    sandbox.control("POST", "reset", {"clear": ["limits", "faults"]})


@pytest.fixture
def hits(sandbox):
    return lambda: sandbox.control("GET", "faults")["faults"][0]["hits"]


@pytest.fixture
def cluster(sandbox):
    return sandbox.cluster("aks-prod-weu-1")


@pytest.fixture
def namespace(cluster):
    return ManagedNamespace(
        id=cluster.namespace("weather-test"),
        location="westeurope",
        labels={},
        annotations={},
        tags={},
        quota=dict(
            cpu_request=Decimal(1),
            cpu_limit=Decimal(1),
            memory_request=Decimal(2**30),
            memory_limit=Decimal(2**30),
        ),
        ingress_policy=NetworkRule.ALLOW_SAME_NAMESPACE,
        egress_policy=NetworkRule.ALLOW_ALL,
        adoption_policy=AdoptionPolicy.NEVER,
        delete_policy=DeletePolicy.KEEP,
    )


@pytest.mark.parametrize(
    "effect",
    [
        {"status": 429, "retry_after": 3},
        {"status": 429},
        {"status": 500},
        {"status": 503, "retry_after": 1},
        {"drop": "before"},
        {"drop": "after"},
        {"hang": 0.05},
        {"slow": 0.05},
        {"token": "expires"},
    ],
)
def test_reading_works_through(azure_client, cluster, weather, hits, effect):
    weather(effect, every=2)
    assert azure_client.managed_clusters.get(cluster).id == cluster
    assert azure_client.managed_clusters.get(cluster).id == cluster
    assert hits() >= 1


@pytest.mark.parametrize("effect", [{"status": 503}, {"drop": "before"}, {"status": 429}])
def test_writing_works_through(sandbox, azure_client, namespace, weather, hits, effect):
    weather(effect, match={"method": "PUT"}, times=2)
    client = azure_client.managed_namespaces
    finish(azure_client, client.begin_create_or_update(namespace), sleep=sandbox.sleep)
    assert client.get(namespace.id).provisioning_state == "Succeeded"
    assert hits() == 2


def test_polls_work_through(sandbox, azure_client, namespace, weather, hits):
    weather({"drop": "before"}, match={"path": "/operations/"}, every=2, times=3)
    client = azure_client.managed_namespaces
    finish(azure_client, client.begin_create_or_update(namespace), sleep=sandbox.sleep)
    assert client.get(namespace.id).provisioning_state == "Succeeded"
    assert hits() >= 1


def test_weather_that_stays_is_reported(azure_client, cluster, weather):
    weather({"drop": "before"})
    with pytest.raises(ArmUnreachableError):
        azure_client.managed_clusters.get(cluster)
    weather({"status": 429, "retry_after": 3600})
    with pytest.raises(ArmThrottledError):
        azure_client.managed_clusters.get(cluster)


@pytest.mark.parametrize("end", ["fails", "cancelled"])
def test_an_operation_that_ends_badly_is_reported(sandbox, azure_client, namespace, weather, end):
    weather({"operation": end, "code": "Odd"}, match={"method": "PUT"})
    write = azure_client.managed_namespaces.begin_create_or_update(namespace)
    with pytest.raises(OperationFailedError, match="Odd"):
        finish(azure_client, write, sleep=sandbox.sleep)


def test_documented_limits_refuse_nothing_to_a_client_that_keeps_to_them(
    sandbox, make_azure_client, cluster, weather
):
    sandbox.control("POST", "limits", {"name": "documented"})
    client = make_azure_client(limits=Limits())
    client.managed_clusters.get(cluster)
    for _ in range(70):
        client.managed_namespaces.get(cluster.namespace("payments-api"))
    assert {item["status"] for item in sandbox.requests("GET")} == {200}


def test_a_client_without_limits_learns_from_what_is_refused(
    sandbox, azure_client, cluster, weather
):
    sandbox.control("POST", "limits", {"name": "documented"})
    for _ in range(80):
        azure_client.managed_namespaces.get(cluster.namespace("payments-api"))
    refused = [item for item in sandbox.requests("GET") if item["status"] == 429]
    assert 1 <= len(refused) <= 3
