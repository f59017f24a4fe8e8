import pytest

from mnslib.azure.throttle import NO_LIMITS, BucketKey, Limits, Rate, Throttle
from mnslib.errors import ArmThrottledError
from mnslib.resource_ids import ClusterId

CLUSTER = (
    "/subscriptions/S1/resourceGroups/RG/providers/Microsoft.ContainerService/managedClusters/C1"
)


@pytest.fixture
def make_throttle(clock):
    def make(limits):
        return Throttle(limits, clock=clock, sleep=clock.sleep)

    return make


@pytest.mark.parametrize(
    ("method", "path", "kinds"),
    [
        ("GET", CLUSTER, ["reads", "cluster_get"]),
        ("GET", CLUSTER.rpartition("/")[0], ["reads", "cluster_list"]),
        (
            "GET",
            "/subscriptions/S1/providers/Microsoft.ContainerService/managedClusters",
            ["reads", "cluster_list"],
        ),
        ("GET", CLUSTER + "/managedNamespaces", ["reads", "other"]),
        ("PUT", CLUSTER + "/managedNamespaces/n", ["writes", "other"]),
        ("DELETE", CLUSTER + "/managedNamespaces/n", ["deletes", "other"]),
        ("POST", CLUSTER + "/managedNamespaces/n/listCredential", ["writes", "other"]),
        (
            "GET",
            "/subscriptions/S1/providers/Microsoft.ContainerService/locations/westus2/operations/1",
            ["reads", "operation_status"],
        ),
        (
            "PUT",
            CLUSTER + "/managedNamespaces/n/providers/Microsoft.Authorization/roleAssignments/g",
            ["writes", "role_assignments"],
        ),
        ("POST", "/api/v1/query_range", ["queries"]),
    ],
)
def test_each_call_draws_from_the_documented_buckets(make_throttle, method, path, kinds):
    assert [key.kind for key in make_throttle(Limits()).keys(method, path)] == kinds


def test_the_bucket_of_a_namespace_is_its_clusters_region_once_known(make_throttle):
    throttle = make_throttle(Limits())
    path = CLUSTER + "/managedNamespaces/n"
    assert throttle.keys("PUT", path)[-1] == BucketKey("s1", "*", "other")
    throttle.learn_region(ClusterId("s1", "rg", "c1"), "West Europe")
    assert throttle.keys("PUT", path)[-1] == BucketKey("s1", "westeurope", "other")


def test_the_burst_goes_at_once_and_the_rest_at_the_refill(make_throttle, clock):
    throttle, started = make_throttle(Limits(other=Rate(60, 1))), clock.now
    key = BucketKey("s", "r", "other")
    for _ in range(59):  # one is kept back: requests do not all travel equally fast
        throttle.acquire((key,))
    assert clock.now == started
    for _ in range(40):
        throttle.acquire((key,))
    assert clock.now - started == pytest.approx(40)


def test_subscriptions_do_not_wait_for_each_other(make_throttle, clock):
    throttle, started = make_throttle(Limits(other=Rate(1, 0.1))), clock.now
    throttle.acquire((BucketKey("a", "r", "other"),))
    throttle.acquire((BucketKey("b", "r", "other"),))
    throttle.acquire((BucketKey("a", "r2", "other"),))
    assert clock.now == started


def test_after_a_pause_one_goes_first_and_the_rest_follow_at_the_refill(make_throttle, clock):
    throttle, started = make_throttle(Limits(other=Rate(60, 1))), clock.now
    key = BucketKey("s", "r", "other")
    throttle.pause((key,), 30)
    throttle.acquire((key,))
    assert clock.now - started == pytest.approx(30)
    throttle.acquire((key,))
    assert 31 < clock.now - started <= 32


def test_an_unlimited_bucket_keeps_to_the_documented_rate_once_refused(make_throttle, clock):
    throttle, started = make_throttle(NO_LIMITS), clock.now
    key = BucketKey("s", "r", "other")
    for _ in range(500):
        throttle.acquire((key,))
    assert clock.now == started
    throttle.pause((key,), 5)
    for _ in range(3):
        throttle.acquire((key,))
    assert clock.now - started == pytest.approx(7)


def test_the_pace_is_ours_until_a_429_and_what_was_learned_from_then_on(make_throttle, clock):
    path = f"{CLUSTER}/managedNamespaces/a"
    ours, none = make_throttle(Limits(other=Rate(9, 3))), make_throttle(NO_LIMITS)
    key = ours.keys("PUT", path)[-1]
    assert none.pace("PUT", path) == (key, None, False, 0)
    assert ours.pace("PUT", path) == (key, Rate(9, 3), False, 0)
    none.pause((key,), 1)
    assert none.pace("PUT", path) == (key, Rate(60, 1), False, 1)
    ours.pause((key,), 1)
    for _ in range(10):  # now one a second comes through where three were expected
        clock.sleep(1)
        ours.acquire((key,))
    ours.pause((key,), 1)
    pace = ours.pace("PUT", path)
    assert (pace.is_learned, pace.refused) == (True, 2)
    assert pace.rate.per_second < 1.5
    clock.sleep(3600)  # it recovers, but that is not what was in force
    ours.acquire((key,))
    assert ours.pace("PUT", path).rate == pace.rate


def test_a_pause_longer_than_we_wait_is_said_at_once(make_throttle, clock):
    throttle = make_throttle(Limits())
    key = BucketKey("s", "r", "other")
    throttle.pause((key,), 3600)
    with pytest.raises(ArmThrottledError, match="another 3600 s") as caught:
        throttle.acquire((key,))
    assert caught.value.retry_after_seconds == pytest.approx(3600)
    assert clock.sleeps == []


def test_a_refusal_for_longer_than_we_wait_holds_for_such_calls_alone(make_throttle, clock):
    throttle, other = make_throttle(Limits()), BucketKey("s", "r", "other")
    writes, reads = ((BucketKey("s", "*", kind), other) for kind in ("writes", "reads"))
    throttle.pause(writes, 3600)
    throttle.acquire(reads)
    assert clock.sleeps == []
    with pytest.raises(ArmThrottledError, match="120 s are not waited for") as caught:
        throttle.reserve(writes)
    assert (caught.value.status, caught.value.code) == (429, "TooManyRequests")
    assert "Run again then" in caught.value.remedy
    clock.sleep(3500)
    throttle.acquire(writes)
    assert clock.sleeps[-1] == pytest.approx(100)


@pytest.mark.parametrize("asked", [None, 0.0, 0.001])
def test_without_a_sound_delay_pauses_grow_until_something_is_let_through(
    make_throttle, clock, asked
):
    throttle, keys = make_throttle(NO_LIMITS), (BucketKey("s", "*", "role_assignments"),)
    waits = []
    for _ in range(8):
        ticket = throttle.acquire(keys)
        throttle.learn(keys, ticket, {}, is_refused=True)
        waits.append(throttle.pause(keys, asked))
    assert 0.25 <= waits[0] <= 0.5
    assert all(8 <= wait <= 16 for wait in waits[5:])
    throttle.learn(keys, throttle.acquire(keys), {})
    assert throttle.pause(keys, asked) <= 0.5


def test_a_wait_that_is_cut_short_sends_nothing(clock):
    throttle = Throttle(NO_LIMITS, clock=clock, sleep=lambda seconds: True)
    keys = (BucketKey("s", "*", "other"),)
    throttle.pause(keys, 60)
    with pytest.raises(ArmThrottledError, match="Not sent: it was stopped"):
        throttle.acquire(keys)


def test_default_limits_are_the_documented_ones():
    limits = Limits()
    assert limits.other == Rate(60, 1)
    assert limits.operation_status == Rate(200, 2)
    assert limits.reads == Rate(250, 25)
    assert limits.writes == limits.deletes == Rate(200, 10)


def said(left, kind="writes"):
    return {f"x-ms-ratelimit-remaining-subscription-{kind}": str(left)}


def test_what_arm_says_is_left_lowers_what_we_count_when_others_draw_too(make_throttle, clock):
    throttle, key = make_throttle(Limits()), BucketKey("s", "*", "writes")
    throttle.learn((key,), throttle.acquire((key,)), said(2))
    started = clock.now
    for _ in range(12):
        throttle.acquire((key,))
    assert clock.now - started == pytest.approx(1.0)


def test_a_larger_bucket_is_used_once_arm_shows_it(make_throttle, clock):
    throttle, key = make_throttle(Limits()), BucketKey("s", "*", "writes")
    throttle.learn((key,), throttle.acquire((key,)), said(799))
    started = clock.now
    for _ in range(700):
        throttle.acquire((key,))
    assert clock.now == started


def test_calls_under_way_are_not_counted_twice(make_throttle, clock):
    throttle, key = make_throttle(Limits(writes=Rate(20, 1))), BucketKey("s", "*", "writes")
    first = throttle.acquire((key,))
    for _ in range(18):
        throttle.acquire((key,))
    throttle.learn((key,), first, said(19))  # the service had seen none of the other 18
    started = clock.now
    throttle.acquire((key,))
    assert clock.now - started == pytest.approx(1.0)


def test_a_rate_that_was_lowered_comes_back_while_nothing_is_refused(make_throttle, clock):
    throttle, key = make_throttle(Limits(other=Rate(60, 1))), BucketKey("s", "r", "other")
    throttle.acquire((key,))
    throttle.pause((key,), 1)
    clock.sleep(600)
    started = clock.now
    for _ in range(59):
        throttle.acquire((key,))
    assert clock.now == started
