"""The probes as first tests: what a request does when the answer is not 200."""

import base64
import itertools
import logging
import subprocess
import sys
import threading

import pytest
from requests.exceptions import ConnectionError as Dropped
from urllib3.exceptions import ProtocolError

from mnslib.azure.pipeline import MOST_PAGES
from mnslib.errors import (
    ArmConflictError,
    ArmError,
    ArmForbiddenError,
    ArmNotFoundError,
    ArmPreconditionError,
    ArmServerError,
    ArmThrottledError,
    ArmUnreachableError,
    AuthError,
)
from mnslib.models import ManagedNamespace

OPERATION = "https://management.azure.com/subscriptions/sub-1/providers/Microsoft.ContainerService"


@pytest.fixture
def dropped():
    return Dropped(ProtocolError("Connection aborted.", "Remote end closed connection"))


@pytest.fixture
def namespace(cluster):
    return ManagedNamespace(id=cluster.namespace("payments"), location="westeurope")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_is_transient_is_repeated_after_a_growing_wait(client, azure, clock, wire, status):
    azure.answers(*[wire.error(status, "Oops")] * 3, wire.reply(200, {"value": []}))
    assert client.managed_clusters.list("sub-1") == []
    assert len(azure.received) == 4
    assert 0.25 <= clock.sleeps[0] <= 0.5
    assert 1.0 <= clock.sleeps[2] <= 2.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ArmError),
        (403, ArmForbiddenError),
        (404, ArmNotFoundError),
        (409, ArmConflictError),
        (412, ArmPreconditionError),
    ],
)
def test_what_the_service_means_is_never_repeated(
    client, azure, clock, cluster, wire, status, kind
):
    azure.answers(wire.error(status, "SomeCode", "some reason"))
    with pytest.raises(kind, match="SomeCode") as caught:
        client.managed_namespaces.get(cluster.namespace("payments"))
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert "payments" in str(caught.value)
    assert len(azure.received) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "17"}, 17),
        ({"x_ms_retry_after_ms": "2500"}, 2.5),
        ({"retry_after_ms": "1500"}, 1.5),
        (
            {
                "Date": "Wed, 05 Nov 2025 17:32:00 GMT",
                "Retry_After": "Wed, 05 Nov 2025 17:32:09 GMT",
            },
            9,
        ),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_delay_wins(client, azure, clock, wire, headers, seconds, status):
    azure.answers(wire.error(status, "Throttled", **headers), wire.reply(200, {"value": []}))
    client.managed_clusters.list("sub-1")
    assert azure.received[1].at - azure.received[0].at == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "1e999", "soon", "0.001"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_delay_that_is_none_is_a_growing_one(client, azure, clock, wire, status, text):
    azure.answers(wire.error(status, "Oops", Retry_After=text))
    started = clock.now
    with pytest.raises((ArmThrottledError, ArmServerError)):
        client.managed_clusters.list("sub-1")
    assert len(azure.received) == 6
    waits = [b.at - a.at for a, b in itertools.pairwise(azure.received)]
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n + 1e-9 for n, wait in enumerate(waits))
    assert clock.now - started < 20


def test_a_wait_that_is_cut_short_was_the_last(azure, make_client, wire):
    client = make_client(sleep=lambda seconds: True)
    azure.answers(wire.error(503, "Down"))
    with pytest.raises(ArmServerError):
        client.managed_clusters.list("sub-1")
    assert len(azure.received) == 1


def test_repeating_is_bounded_in_attempts(client, azure, wire):
    azure.answers(wire.error(503, "Down", x_ms_request_id="req-7"))
    with pytest.raises(ArmServerError, match="req-7") as caught:
        client.managed_clusters.list("sub-1")
    assert len(azure.received) == 6
    assert caught.value.request_id == "req-7"


def test_repeating_is_bounded_in_total_time(client, azure, clock, wire):
    azure.answers(wire.error(429, "Throttled", Retry_After="110"))
    started = clock.now
    with pytest.raises(ArmThrottledError):
        client.managed_clusters.list("sub-1")
    assert clock.now - started <= 300
    assert len(azure.received) == 3


def test_a_request_that_the_machine_slept_through_is_sent_again(
    client, azure, clock, dropped, wire
):
    def asleep(seen):
        clock.now += 7200
        return dropped

    azure.answers(asleep, wire.reply(200, {"value": []}))
    assert client.managed_clusters.list("sub-1") == []
    assert len(azure.received) == 2


def test_a_delay_longer_than_the_longest_wait_is_handed_on(client, azure, clock, wire):
    azure.answers(wire.error(429, "Throttled", Retry_After="900"))
    with pytest.raises(ArmThrottledError, match="900 s") as caught:
        client.managed_clusters.list("sub-1")
    assert caught.value.retry_after_seconds == 900
    assert len(azure.received) == 1
    assert clock.sleeps == []


def test_one_429_pauses_every_worker_on_that_bucket(client, azure, clock, cluster, wire):
    azure.answers(wire.error(429, "Throttled", Retry_After="30"), wire.reply(200, wire.namespace()))
    first = threading.Thread(target=client.managed_namespaces.get, args=[cluster.namespace("a")])
    first.start()
    first.join()
    refused_at = azure.received[0].at
    threads = [
        threading.Thread(target=client.managed_namespaces.get, args=[cluster.namespace(f"n{n}")])
        for n in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(azure.received) == 26
    assert all(seen.at >= refused_at + 30 for seen in azure.received[1:])


def test_a_429_storm_stays_within_bounds(client, azure, clock, cluster, wire):
    azure.answers(wire.error(429, "Throttled", Retry_After="1"))
    failures = []

    def ask(number):
        try:
            client.managed_namespaces.get(cluster.namespace(f"n{number}"))
        except ArmThrottledError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 24
    assert len(azure.received) <= 24 * 6


def test_a_429_of_the_aks_provider_does_not_pause_role_assignments(client, azure, cluster, wire):
    azure.answers(wire.error(429, "Throttled", Retry_After="900"), wire.reply(200, {"value": []}))
    with pytest.raises(ArmThrottledError):
        client.managed_namespaces.get(cluster.namespace("payments"))
    assert client.role_assignments.list_for_subscription("sub-1") == []


def test_a_429_of_arms_gateway_pauses_all_of_that_kind(client, azure, cluster, wire):
    azure.answers(
        wire.error(429, "TooMany", Retry_After="900", x_ms_failure_cause="gateway"),
        wire.reply(200, {"value": []}),
    )
    with pytest.raises(ArmThrottledError):
        client.managed_namespaces.get(cluster.namespace("payments"))
    with pytest.raises(ArmThrottledError, match="reads"):
        client.role_assignments.list_for_subscription("sub-1")
    assert len(azure.received) == 1


def test_a_put_is_repeated_after_a_dropped_connection(client, azure, namespace, wire, dropped):
    azure.answers(
        dropped,
        wire.reply(
            201, wire.namespace(), Azure_AsyncOperation=f"{OPERATION}/locations/x/operations/1"
        ),
    )
    operation = client.managed_namespaces.begin_create_or_update(namespace)
    assert operation.kind == "create"
    first, second = azure.received
    assert (first.method, first.url, first.body) == (second.method, second.url, second.body)


def test_a_412_after_a_dropped_put_says_that_it_may_have_been_ours(
    client, azure, namespace, wire, dropped
):
    azure.answers(dropped, wire.error(412, "PreconditionFailed"))
    with pytest.raises(ArmPreconditionError, match="may have been accepted"):
        client.managed_namespaces.begin_create_or_update(namespace, if_match="old")


def test_no_answer_and_a_refusal_are_different_errors(client, azure, cluster, dropped):
    azure.answers(dropped)
    with pytest.raises(ArmUnreachableError, match="dropped before an answer") as caught:
        client.managed_namespaces.get(cluster.namespace("payments"))
    assert caught.value.status is None
    assert "management.azure.com" in str(caught.value)
    assert len(azure.received) == 6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Failed to resolve 'x' ([Errno -2] Name or service not known)", "could not be resolved"),
        ("[Errno 111] Connection refused", "was refused"),
        ("certificate verify failed: unable to get local issuer", "certificate is not trusted"),
    ],
)
def test_an_unreachable_service_says_why(client, azure, cluster, text, reason):
    azure.answers(Dropped(text))
    with pytest.raises(ArmUnreachableError, match=reason) as caught:
        client.managed_clusters.get(cluster)
    assert "may have been accepted" not in str(caught.value)  # it was never sent


def test_a_refused_token_is_renewed_once(client, azure, credential, wire):
    azure.answers(wire.error(401, "ExpiredAuthenticationToken"), wire.reply(200, {"value": []}))
    assert client.managed_clusters.list("sub-1") == []
    first, second = (seen.headers["Authorization"] for seen in azure.received)
    assert first != second
    assert len(credential.calls) == 2


def test_a_claims_challenge_is_answered_with_its_claims(client, azure, credential, wire):
    encoded = base64.urlsafe_b64encode(b'{"access_token":{}}').decode()
    challenge = f'Bearer error="insufficient_claims", claims="{encoded}"'
    azure.answers(
        wire.error(401, "Revoked", WWW_Authenticate=challenge), wire.reply(200, {"value": []})
    )
    client.managed_clusters.list("sub-1")
    assert credential.calls[1][1] == '{"access_token":{}}'


def test_a_token_refused_twice_is_an_auth_error(client, azure, wire):
    azure.answers(wire.error(401, "InvalidAuthenticationTokenTenant", "wrong issuer"))
    with pytest.raises(AuthError, match=r"FakeCredential.*wrong issuer.*`credential`"):
        client.managed_clusters.list("sub-1")
    assert len(azure.received) == 2


def test_403_names_action_and_scope(client, azure, cluster, wire):
    scope = str(cluster.namespace("payments"))
    azure.answers(
        wire.error(
            403,
            "AuthorizationFailed",
            "The client 'x' does not have authorization to perform action"
            f" 'Microsoft.ContainerService/managedClusters/managedNamespaces/read' over scope"
            f" '{scope}' or the scope is invalid.",
        )
    )
    with pytest.raises(ArmForbiddenError) as caught:
        client.managed_namespaces.get(cluster.namespace("payments"))
    assert "Microsoft.ContainerService/managedClusters/managedNamespaces/read" in str(caught.value)
    assert scope in str(caught.value)
    assert caught.value.code == "AuthorizationFailed"


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (
            lambda client, id: client.managed_namespaces.list_credential(id),
            "Microsoft.ContainerService/managedClusters/managedNamespaces/listCredential/action",
        ),
        (
            lambda client, id: client.managed_namespaces.begin_delete(id),
            "Microsoft.ContainerService/managedClusters/managedNamespaces/delete",
        ),
        (
            lambda client, id: client.managed_clusters.list("sub-1"),
            "Microsoft.ContainerService/managedClusters/read",
        ),
        (
            lambda client, id: client.role_assignments.list_for_subscription("sub-1"),
            "Microsoft.Authorization/roleAssignments/read",
        ),
    ],
)
def test_403_without_a_text_still_names_the_action(client, azure, cluster, wire, call, action):
    azure.answers(wire.reply(403, "denied by a gateway", Content_Type="text/plain"))
    with pytest.raises(ArmForbiddenError, match=action):
        call(client, cluster.namespace("payments"))


def test_an_html_page_instead_of_json_is_said_to_be_one(client, azure, cluster, wire):
    azure.answers(wire.reply(200, "<html>Please sign in</html>", Content_Type="text/html"))
    with pytest.raises(ArmError, match="not in JSON; a proxy"):
        client.managed_namespaces.get(cluster.namespace("payments"))


@pytest.mark.parametrize(
    "call",
    [
        lambda client, cluster: client.managed_clusters.get(cluster),
        lambda client, cluster: client.role_assignments.list_for_subscription("sub-1"),
    ],
)
def test_what_only_says_that_it_is_json_is_said_to_be_none(client, azure, cluster, wire, call):
    azure.answers(wire.reply(200, "{welcome"))
    with pytest.raises(ArmError, match="not in JSON; a proxy"):
        call(client, cluster)


def test_what_nests_too_deeply_to_be_read_is_an_error_of_azures(client, azure, cluster, wire):
    azure.answers(wire.reply(200, "[" * 100_000), wire.reply(400, "[" * 100_000))
    with pytest.raises(ArmError, match="not in JSON; a proxy"):
        client.managed_clusters.get(cluster)
    with pytest.raises(ArmError, match=r"Could not read .*: 400"):
        client.managed_clusters.get(cluster)


def test_no_token_leaves_the_clouds_own_hosts(client, azure, wire):
    azure.answers(
        wire.reply(200, {"value": [], "nextLink": "https://evil.example/subscriptions/sub-1"})
    )
    with pytest.raises(ArmError, match=r"Refused to send a token to https://evil\.example"):
        client.managed_clusters.list("sub-1")
    assert len(azure.received) == 1


@pytest.mark.parametrize("link", [7, ["x"], {"x": 1}, "soon", "https://[", "https://[x", "//x/y"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.managed_clusters.list("sub-1"),
        lambda client: client.role_assignments.list_for_subscription("sub-1"),
    ],
)
def test_a_next_page_that_is_no_address_is_an_error_of_azures(client, azure, wire, call, link):
    azure.answers(wire.reply(200, {"value": [], "nextLink": link}))
    with pytest.raises(ArmError, match=r"/subscriptions/sub-1/.* a nextLink that is no address"):
        call(client)
    assert len(azure.received) == 1


def test_a_list_that_never_ends_is_read_to_a_bound(client, azure, wire):
    pages = itertools.count()

    def page(seen):
        link = f"https://management.azure.com/subscriptions/sub-1/x?page={next(pages)}"
        return wire.reply(200, {"value": [], "nextLink": link})

    azure.answers(page)
    with pytest.raises(ArmError, match="pages that do not end"):
        client.role_assignments.list_for_subscription("sub-1")
    assert len(azure.received) == MOST_PAGES


@pytest.mark.parametrize("item", [7, None, "x", [], {}, {"id": "x"}, {"id": 7, "properties": 7}])
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.managed_clusters.list("sub-1"),
        lambda client: client.role_assignments.list_for_subscription("sub-1"),
    ],
)
def test_an_item_of_another_form_is_an_error_of_azures(client, azure, wire, call, item):
    azure.answers(wire.reply(200, {"value": [item]}))
    with pytest.raises(ArmError, match="cannot be read as a") as caught:
        call(client)
    assert "object" not in str(caught.value)


@pytest.mark.parametrize("host", ["evil.example\\", "evil.example\\@", "user:word@evil.example\\"])
def test_no_token_leaves_for_a_host_that_reads_differently_to_whoever_connects(
    client, azure, wire, host
):
    page = {"value": [], "nextLink": f"https://{host}.management.azure.com/subscriptions/sub-1"}
    azure.answers(wire.reply(200, page))
    with pytest.raises(ArmError, match="Refused to send a token to"):
        client.managed_clusters.list("sub-1")


def test_no_provider_is_registered_unasked(client, azure, cluster, wire):
    azure.answers(wire.error(409, "MissingSubscriptionRegistration", "not registered"))
    with pytest.raises(ArmConflictError):
        client.managed_namespaces.get(cluster.namespace("payments"))
    assert [seen.method for seen in azure.received] == ["GET"]


def test_nothing_secret_is_logged_or_said(client, azure, namespace, wire, caplog):
    azure.answers(
        wire.error(500, "InternalError", f"token was Bearer {wire.token}", x_secret="header-text"),
        wire.reply(500, f"raw body-text {wire.token}", Content_Type="text/plain"),
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(ArmServerError) as caught:
        client.managed_namespaces.begin_create_or_update(namespace)
    said = " ".join([caplog.text, str(caught.value)])
    assert wire.token not in said
    assert "body-text" not in said
    assert "header-text" not in said
    ours = [record for record in caplog.records if record.name == "mnslib.azure"]
    assert len(ours) == 6
    message = ours[0].getMessage()
    assert message.startswith(f"PUT {namespace.id} 500 ")
    assert "api-version" not in message


def test_the_service_text_is_shown_without_what_looks_like_a_token(client, azure, cluster, wire):
    azure.answers(wire.error(400, "BadRequest", f"cannot use {wire.token} here"))
    with pytest.raises(ArmError, match=r"cannot use \[hidden: looks like a secret\] here"):
        client.managed_clusters.get(cluster)


def test_importing_the_package_imports_no_sdk():
    code = "import sys, mnslib, mnslib.azure; print([m for m in sys.modules if m[:6] == 'azure.'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
