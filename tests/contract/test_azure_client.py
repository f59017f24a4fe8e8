"""What the Azure door promises, against the sandbox as from outside."""

import copy
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import KUBERNETES_SCOPE, sandbox_cloud
from mnslib.azure.credentials import Tokens, sandbox_credential
from mnslib.errors import (
    ArmError,
    ArmNotFoundError,
    ArmPreconditionError,
    ArmUnreachableError,
    AuthError,
    OperationFailedError,
)
from mnslib.models import (
    AccessGrant,
    AdoptionPolicy,
    DeletePolicy,
    ManagedNamespace,
    NetworkRule,
    PrincipalType,
)
from tests.operations import finish

GROUP = "00000000-0000-4000-9000-000000000001"


@pytest.fixture
def prod(sandbox):
    return sandbox.cluster("aks-prod-weu-1")


@pytest.fixture
def make_namespace(prod):
    def make(name="contract-test", cluster=prod, **more):
        values = {
            "id": cluster.namespace(name),
            "location": "westeurope",
            "labels": {"owner": "contract"},
            "annotations": {"contact": "contract@example.com"},
            "tags": {"cost-center": "42"},
            "quota": dict(
                cpu_request=Decimal("0.5"),
                cpu_limit=Decimal(1),
                memory_request=Decimal(2**30),
                memory_limit=Decimal(2**31),
            ),
            "ingress_policy": NetworkRule.ALLOW_SAME_NAMESPACE,
            "egress_policy": NetworkRule.ALLOW_ALL,
            "adoption_policy": AdoptionPolicy.NEVER,
            "delete_policy": DeletePolicy.KEEP,
        }
        return ManagedNamespace(**values | more)

    return make


@pytest.fixture
def created(sandbox, azure_client, make_namespace):
    namespace = make_namespace()
    finish(
        azure_client,
        azure_client.managed_namespaces.begin_create_or_update(namespace),
        sleep=sandbox.sleep,
    )
    return azure_client.managed_namespaces.get(namespace.id)


def test_24_cold_threads_make_one_token_call(sandbox, azure_client, prod):
    barrier = threading.Barrier(24)

    def ask(_):
        barrier.wait()
        return azure_client.managed_clusters.get(prod).id

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(ask, range(24))) == {prod}
    assert len(sandbox.requests("POST", containing="/oauth2/v2.0/token")) == 1


@pytest.mark.parametrize("identity", ["admin", "contributor", "namespace_user", "reader"])
def test_every_identity_gets_a_token(make_azure_client, identity):
    client = make_azure_client(identity=identity)
    assert client.access_token(client.cloud.arm_scope).token
    assert client.access_token(client.cloud.kubernetes_scope).expires_on > 0


def test_a_wrong_secret_is_an_auth_error(sandbox):
    connection = copy.deepcopy(sandbox.connection)
    connection["identities"]["admin"]["client_secret"] = "wrong-secret"
    with AzureClient(sandbox_cloud(connection), sandbox_credential(connection)) as client:
        with pytest.raises(AuthError, match="AADSTS7000215") as caught:
            client.managed_clusters.list(connection["subscription_ids"][0])
        assert "wrong-secret" not in str(caught.value)


def test_a_refused_token_is_renewed_once_past_the_credentials_cache(sandbox, prod):
    credential = sandbox_credential(sandbox.connection)

    class Stale:
        """Hands out, at first, a token for somebody else."""

        def get_token(self, scope, *, claims=None):
            return credential.get_token(scope if claims else KUBERNETES_SCOPE, claims=claims)

    with AzureClient(sandbox_cloud(sandbox.connection), Stale()) as client:
        client.managed_clusters.get(prod)
        client.managed_clusters.get(prod)
    reads = sandbox.requests("GET", containing="/managedclusters/")
    assert [item["status"] for item in reads] == [401, 200, 200]


def test_a_renewed_token_does_not_come_from_the_credentials_cache(sandbox, azure_client):
    scope = azure_client.cloud.arm_scope
    tokens = Tokens(sandbox_credential(sandbox.connection), authority_host="")
    tokens.renew(scope, refused=tokens.get(scope).token, claims=None)
    assert len(sandbox.requests("POST", containing="/oauth2/v2.0/token")) == 2


def test_a_namespace_comes_back_as_it_was_sent(created, make_namespace):
    assert created == replace(make_namespace(), etag=created.etag, provisioning_state="Succeeded")
    assert created.etag


def test_it_is_in_the_list_which_ends_with_an_empty_page(sandbox, azure_client, created):
    sandbox.control("DELETE", "requests")
    found = azure_client.managed_namespaces.list_by_managed_cluster(created.id.cluster)
    assert created in found
    assert len(sandbox.requests("GET")) == 2


def test_creations_cost_one_call_each_besides_polls(sandbox, azure_client, make_namespace):
    namespaces = [make_namespace(f"bulk-{number}") for number in range(5)]
    begin = azure_client.managed_namespaces.begin_create_or_update
    finished = finish(
        azure_client, *[begin(namespace) for namespace in namespaces], sleep=sandbox.sleep
    )
    assert {operation.id for operation in finished} == {str(item.id) for item in namespaces}
    assert len(sandbox.requests("PUT")) == 5
    others = [item for item in sandbox.requests("GET") if "/operations/" not in item["path"]]
    assert [item["path"] for item in others if "/entra/" not in item["path"]] == []


def test_if_match_reaches_the_service(sandbox, azure_client, created):
    newer = replace(created, labels={"owner": "other"})
    namespaces = azure_client.managed_namespaces
    finish(
        azure_client,
        namespaces.begin_create_or_update(newer, if_match=created.etag),
        sleep=sandbox.sleep,
    )
    with pytest.raises(ArmPreconditionError, match="plan again") as caught:
        namespaces.begin_create_or_update(created, if_match=created.etag)
    assert caught.value.status == 412
    with pytest.raises(ArmPreconditionError):
        namespaces.begin_delete(created.id, if_match=created.etag)
    assert namespaces.get(created.id).labels == {"owner": "other"}


def test_a_service_that_ignores_if_match_still_takes_the_write(sandbox, azure_client, created):
    sandbox.control("POST", "switches", {"if_match": "ignored"})
    operation = azure_client.managed_namespaces.begin_create_or_update(created, if_match="stale")
    finish(azure_client, operation, sleep=sandbox.sleep)
    assert operation.kind == "update"


def test_the_etag_moves_with_each_write(sandbox, azure_client, created):
    namespaces = azure_client.managed_namespaces
    finish(
        azure_client,
        namespaces.begin_create_or_update(created, if_match=created.etag),
        sleep=sandbox.sleep,
    )
    assert azure_client.managed_namespaces.get(created.id).etag != created.etag


def test_a_deleted_namespace_is_gone_and_may_be_deleted_again(sandbox, azure_client, created):
    operation = azure_client.managed_namespaces.begin_delete(created.id, if_match=created.etag)
    assert operation is not None
    finish(azure_client, operation, sleep=sandbox.sleep)
    with pytest.raises(ArmNotFoundError, match="contract-test"):
        azure_client.managed_namespaces.get(created.id)
    assert azure_client.managed_namespaces.begin_delete(created.id) is None


@pytest.mark.parametrize("refusal", ["operation", "request"])
def test_a_refused_adoption_is_an_error_wherever_it_comes(
    sandbox, azure_client, make_namespace, refusal
):
    sandbox.control("POST", "switches", {"adoption_refusal": refusal})
    namespaces = azure_client.managed_namespaces
    with pytest.raises(ArmError, match="legacy-crm") as caught:
        finish(
            azure_client,
            namespaces.begin_create_or_update(make_namespace("legacy-crm")),
            sleep=sandbox.sleep,
        )
    assert isinstance(caught.value, OperationFailedError) == (refusal == "operation")


def test_a_failed_operation_carries_the_services_code(sandbox, azure_client):
    sandbox.control("POST", "switches", {"private_cluster_updates_fail": True})
    cluster = sandbox.cluster("aks-prod-weu-2")
    existing = azure_client.managed_namespaces.list_by_managed_cluster(cluster)[0]
    operation = azure_client.managed_namespaces.begin_create_or_update(existing)
    with pytest.raises(OperationFailedError, match="InternalError") as caught:
        finish(azure_client, operation, sleep=sandbox.sleep)
    assert caught.value.code == "InternalError"
    assert str(existing.id) in str(caught.value)


def test_the_services_delay_is_obeyed_before_the_first_poll(sandbox, azure_client, created):
    sandbox.control("POST", "switches", {"retry_after_seconds": 7})
    operation = azure_client.managed_namespaces.begin_create_or_update(created)
    finish(azure_client, operation, sleep=sandbox.sleep)
    assert sandbox.clock() - operation.started == pytest.approx(7)


def test_every_cluster_is_read_with_what_matters(sandbox, azure_client):
    subscriptions = sandbox.connection["subscription_ids"]
    found = {
        item.id.cluster_name: item
        for subscription in subscriptions
        for item in azure_client.managed_clusters.list(subscription)
    }
    assert {name: item.network_policy_engine for name, item in found.items()} == {
        "aks-prod-weu-1": "cilium",
        "aks-prod-weu-2": "azure",
        "aks-prod-neu-1": "calico",
        "aks-test-weu-1": None,
    }
    assert [name for name, item in found.items() if not item.has_azure_rbac] == ["aks-prod-neu-1"]
    assert all(item.has_entra_id and item.power_state == "Running" for item in found.values())


def test_kubeconfigs_lead_to_the_cluster(azure_client, created):
    for text in (
        azure_client.managed_clusters.list_cluster_user_credential(created.id.cluster),
        azure_client.managed_namespaces.list_credential(created.id),
    ):
        assert "kind: Config" in text or '"Config"' in text
        assert "aks-prod-weu-1" in text


@pytest.mark.parametrize("status", [200, 201])
def test_a_role_is_assigned_once_however_often_it_is_asked(sandbox, azure_client, created, status):
    sandbox.control("POST", "switches", {"repeated_assignment_status": status})
    subscription, scope = created.id.cluster.subscription_id, str(created.id)
    grant = AccessGrant(
        principal_type=PrincipalType.GROUP,
        principal_id=GROUP,
        role="Azure Kubernetes Service RBAC Reader",
        role_guid="7f6c6a51-bcf8-42ba-9220-52d62157d7db",
    )
    azure_client.role_assignments.create(scope, grant, subscription_id=subscription)
    azure_client.role_assignments.create(scope, grant, subscription_id=subscription)
    found = [
        item
        for item in azure_client.role_assignments.list_for_subscription(subscription)
        if item.scope.lower() == scope.lower()
    ]
    assert [(item.principal_id, item.role_guid) for item in found] == [(GROUP, grant.role_guid)]


def test_usage_comes_as_series(sandbox, azure_client):
    end = datetime.fromtimestamp(sandbox.control("GET", "health")["now"], tz=UTC)
    prometheus = azure_client.prometheus(sandbox.connection["prometheus_endpoint"])
    series = prometheus.query_range(
        "max by (namespace, resourcequota, resource) (max_over_time("
        'kube_resourcequota{cluster="aks-prod-weu-1",type="used"}[3600s]))',
        start=end - timedelta(days=2),
        end=end,
        step_seconds=3600,
    )
    assert {"payments-api", "web-checkout"} <= {item.labels["namespace"] for item in series}
    assert all(item.labels["resourcequota"] for item in series)
    assert max(len(item.points) for item in series) >= 40


def test_many_threads_share_the_connection_pool(make_azure_client, prod, caplog):
    client = make_azure_client()
    with caplog.at_level(logging.WARNING, logger="urllib3"), ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda _: client.managed_clusters.get(prod), range(100)))
    assert "pool is full" not in caplog.text


def test_an_untrusted_certificate_is_said_to_be_one(sandbox, make_azure_client, prod):
    client = make_azure_client()
    client.access_token(client.cloud.arm_scope)
    stranger = replace(client.cloud, ca_file=None)
    with (
        AzureClient(
            stranger,
            sandbox_credential(sandbox.connection),
            clock=sandbox.clock,
            sleep=sandbox.sleep,
        ) as other,
        pytest.raises(ArmUnreachableError, match="certificate is not trusted"),
    ):
        other.managed_clusters.get(prod)


def test_no_token_or_secret_is_in_any_log_record(sandbox, azure_client, created, caplog):
    with caplog.at_level(logging.DEBUG):
        azure_client.managed_namespaces.get(created.id)
        azure_client.managed_namespaces.list_credential(created.id)
    assert azure_client.access_token(azure_client.cloud.arm_scope).token not in caplog.text
    assert sandbox.connection["identities"]["admin"]["client_secret"] not in caplog.text
    assert "kubelogin" not in caplog.text
