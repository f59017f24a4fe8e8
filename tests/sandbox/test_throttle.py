"""Token buckets: what draws from which, what a refusal says, and that its wait suffices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from mnslib.sandbox.throttle import Throttle, check_limits, load_limits
from mnslib.sandbox.wire import Answer
from tests.sandbox.client import PROD, TEST, Client, Process, cluster_id, make_body, namespace_id
from tests.sandbox.in_process import Clock, running, send

LIST = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService/managedClusters"
IN_GROUP = LIST.replace("/providers", "/resourceGroups/rg-platform/providers", 1)
REMAINING = "x-ms-ratelimit-remaining-"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> Iterator[State]:
    opened = open_state(":memory:", world="default", latency="fast", clock=clock)
    running(opened).runtime.throttle = Throttle(load_limits("documented"), opened.now)
    yield opened
    opened.close()


def spend(state: State, method: str, path: str, **options: Any) -> tuple[int, Answer]:
    """Send the same request until it is refused; return how many passed, and the refusal."""
    for passed in range(5000):
        answer = send(state, method, path, **options)
        if answer.status == 429:
            return passed, answer
    raise AssertionError("never refused")


@pytest.mark.parametrize(
    ("method", "path", "burst", "wait"),
    [
        ("GET", cluster_id(), 60, 1),
        ("GET", IN_GROUP, 60, 1),
        ("GET", namespace_id("payments-api"), 60, 1),
        ("GET", f"{cluster_id()}/managedNamespaces", 60, 1),
        ("POST", f"{namespace_id('payments-api')}/listCredential", 60, 1),
        ("DELETE", namespace_id("nobody"), 60, 1),
    ],
)
def test_provider_buckets_hold_what_is_documented(
    state: State, clock: Clock, method: str, path: str, burst: int, wait: int
) -> None:
    passed, refusal = spend(state, method, path)
    assert passed == burst
    assert refusal.body["error"]["code"] == "Throttled"
    assert refusal.headers["Retry-After"] == str(wait)
    clock.time += wait
    assert send(state, method, path).status != 429
    assert send(state, method, path).status == 429


def test_gateway_refuses_first_where_its_bucket_is_smaller(state: State, clock: Clock) -> None:
    passed, refusal = spend(state, "GET", LIST)
    assert passed == 250  # the provider's bucket for this holds 500
    assert refusal.body["error"]["code"] == "SubscriptionRequestsThrottled"
    assert PROD in refusal.body["error"]["message"]
    assert "after '1' seconds" in refusal.body["error"]["message"]
    assert refusal.headers["x-ms-failure-cause"] == "gateway"


def test_slow_refill_names_a_long_wait_that_suffices(state: State, clock: Clock) -> None:
    running(state).runtime.throttle = Throttle(
        {"other": {"burst": 2, "per_minute": 0.7}}, state.now
    )
    path = namespace_id("payments-api")
    passed, refusal = spend(state, "GET", path)
    assert (passed, refusal.headers["Retry-After"]) == (2, "86")
    clock.time += 85
    assert send(state, "GET", path).headers["Retry-After"] == "1"
    clock.time += 1
    assert send(state, "GET", path).status == 200


def test_what_is_refused_draws_from_no_bucket(state: State) -> None:
    path = namespace_id("payments-api")
    spend(state, "GET", path)
    before = running(state).runtime.throttle.report()["buckets"]
    assert send(state, "GET", path).status == 429
    assert running(state).runtime.throttle.report()["buckets"] == before


def test_each_scope_has_a_bucket_of_its_own(state: State) -> None:
    spend(state, "GET", namespace_id("payments-api"))
    others = [
        ("GET", cluster_id()),  # another kind
        ("GET", namespace_id("nobody", "aks-prod-neu-1")),  # another region
        ("GET", namespace_id("nobody", "aks-test-weu-1")),  # another subscription
        ("GET", cluster_id("aks-prod-weu-2")),
    ]
    assert all(send(state, method, path).status in (200, 404) for method, path in others)
    # the same region is the same bucket, whichever the cluster
    assert send(state, "GET", namespace_id("nobody", "aks-prod-weu-2")).status == 429


def test_gateway_counts_each_principal_and_all_together(state: State) -> None:
    row = {"burst": 3, "per_minute": 1}
    running(state).runtime.throttle = Throttle({"subscription-reads": row}, state.now)
    assert spend(state, "GET", cluster_id())[0] == 3
    assert send(state, "GET", cluster_id(), identity="reader").status == 200
    assert send(state, "GET", cluster_id("aks-test-weu-1")).status == 200
    running(state).runtime.throttle = Throttle({"subscription-global-reads": row}, state.now)
    assert spend(state, "GET", cluster_id())[0] == 3
    assert send(state, "GET", cluster_id(), identity="reader").status == 429


def test_requests_outside_of_a_subscription_have_the_tenants_bucket(state: State) -> None:
    query = "api-version=2022-12-01"
    passed, refusal = spend(state, "GET", "/subscriptions", query=query)
    assert (passed, refusal.body["error"]["code"]) == (250, "SubscriptionRequestsThrottled")
    assert send(state, "GET", f"/subscriptions/{TEST}", query=query).status == 200


def test_status_polls_do_not_compete_with_writes(state: State) -> None:
    answer = send(state, "PUT", namespace_id("new-team"), make_body())
    path, _, query = answer.headers["Azure-AsyncOperation"].partition("?")
    path = path.split(":1", 1)[1]
    passed, _ = spend(state, "GET", path, query=query)
    assert passed == 200
    assert send(state, "GET", namespace_id("new-team")).status == 200


def test_headers_tell_what_is_left(sandbox: Client) -> None:
    def left(method: str, path: str) -> dict[str, int]:
        headers = sandbox.arm(method, path).headers
        return {
            name.lower().removeprefix(REMAINING): int(value)
            for name, value in headers.items()
            if name.lower().startswith(REMAINING)
        }

    constant = {"subscription-reads": 1099, "subscription-global-reads": 16499}
    assert left("GET", cluster_id()) == left("GET", cluster_id()) == constant
    rows = ("subscription-reads", "subscription-global-reads", "subscription-deletes")
    limits = {row: {"burst": 9, "per_minute": 0.001} for row in rows}
    assert sandbox.control("POST", "limits", {"limits": limits}).status_code == 200
    try:
        assert left("GET", cluster_id())["subscription-reads"] == 8
        other = namespace_id("nobody")
        assert left("GET", other) == {"subscription-reads": 7, "subscription-global-reads": 7}
        deletes = {"subscription-deletes": 8, "subscription-global-deletes": 11999}
        assert left("DELETE", other) == deletes
        for expected in (*range(6, -1, -1), 0):
            assert left("GET", cluster_id())["subscription-reads"] == expected
    finally:
        sandbox.control("POST", "reset", {"clear": ["limits"]})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "limits must be a mapping"),
        ({"writes": {"burst": 1, "per_minute": 1}}, "'writes' is no row; there are subscription-"),
        ({"other": {"burst": 1}}, "other needs exactly burst and per_minute"),
        ({"other": {"burst": 0, "per_minute": 1}}, "other: burst must be at least 1"),
        ({"other": {"burst": "9", "per_minute": 1}}, "other: burst must be at least 1"),
        ({"other": {"burst": 9, "per_minute": True}}, "per_minute more than 0"),
        ({"writes_per_cluster": {"burst": 1}}, "writes_per_cluster must be a whole number"),
    ],
)
def test_mistakes_in_limits_are_named(given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_limits(given)


def test_one_write_at_a_time_on_a_cluster_where_the_limits_say_so(sandbox: Client) -> None:
    row = {"writes_per_cluster": 1}
    assert sandbox.control("POST", "limits", {"limits": row}).status_code == 200
    try:
        assert sandbox.arm("PUT", namespace_id("first"), make_body()).status_code == 201
        busy = sandbox.arm("PUT", namespace_id("second"), make_body())
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "OperationNotAllowed")
        assert "(AnotherOperationInProgress)" in busy.json()["error"]["message"]
        sandbox.finish(100)
        assert sandbox.arm("PUT", namespace_id("second"), make_body()).status_code == 201
    finally:
        sandbox.control("POST", "reset", {"clear": ["limits"]})


def test_limits_are_an_option(start_process: Callable[..., Process], tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("other: {burst: 2, per_minute: 1}\n")
    client = Client(start_process("--limits", str(file)).connection)
    codes = [client.arm("GET", namespace_id("payments-api")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    client.session.close()
    file.write_text("other: {burst: 2}\n")
    refused = start_process("--limits", str(file))
    assert refused.process.wait(timeout=30) == 1
    assert "other needs exactly burst and per_minute" in refused.log.read_text()
