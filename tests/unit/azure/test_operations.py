import pytest

from mnslib.azure.operations import Operation, OperationKind
from mnslib.errors import (
    ArmForbiddenError,
    OperationFailedError,
    OperationTimeoutError,
)
from mnslib.models import ManagedNamespace
from tests.operations import finish

STATUS = (
    "https://management.azure.com/subscriptions/sub-1/providers/Microsoft.ContainerService"
    "/locations/westeurope/operations/6e17e400?api-version=2025-03-01"
    "&t=638979607208107394&c=MIIH%2Bab%2F-x_y~z&s=a%3D%3D&h=Q%2B1"
)
LOCK = "/subscriptions/x/providers/Microsoft.Authorization/locks/no"
POLICY = "/subscriptions/x/providers/Microsoft.Authorization/policyAssignments/3f9d2c41ab5e4f0b9c77"
VIOLATION = {"type": "PolicyViolation", "info": {"policyAssignmentId": POLICY}}
RUNNING = {"status": "InProgress", "startTime": "2025-11-05T17:32:00.7113488Z"}


def done(seconds=0.5, status="Succeeded", **more):
    return {
        "status": status,
        "startTime": "2025-11-05T17:32:00.0000000Z",
        "endTime": f"2025-11-05T17:32:{seconds:010.7f}Z",
        **more,
    }


@pytest.fixture
def make_operation(clock):
    def make(name="payments", *, kind=OperationKind.UPDATE, **more):
        return Operation(
            id=f"/subscriptions/sub-1/x/{name}",
            url=STATUS.replace("6e17e400", name),
            kind=kind,
            started=clock.now,
            **more,
        )

    return make


def test_the_signed_url_is_used_verbatim(clock, client, azure, cluster, wire):
    azure.answers(
        wire.reply(201, wire.namespace(), Azure_AsyncOperation=STATUS), wire.reply(200, done())
    )
    namespace = ManagedNamespace(id=cluster.namespace("payments"), location="westeurope")
    finish(client, client.managed_namespaces.begin_create_or_update(namespace), sleep=clock.sleep)
    assert azure.received[1].url == STATUS
    assert len(azure.received) == 2  # no read of the resource afterwards


def test_an_operation_is_polled_until_it_has_succeeded(client, azure, clock, make_operation, wire):
    azure.answers(*[wire.reply(200, RUNNING)] * 3, wire.reply(200, done()))
    finish(client, make_operation(), sleep=clock.sleep)
    assert len(azure.received) == 4


@pytest.mark.parametrize(("state", "code"), [("Failed", "InternalError"), ("Canceled", "")])
def test_a_failed_or_canceled_operation_says_what_where_and_what_next(
    clock, client, azure, make_operation, wire, state, code
):
    error = {"error": {"code": code, "message": "KubeClient failed to update"}} if code else {}
    azure.answers(wire.reply(200, done(status=state, **error)))
    with pytest.raises(OperationFailedError) as caught:
        finish(client, make_operation(), sleep=clock.sleep)
    assert "/subscriptions/sub-1/x/payments" in str(caught.value)
    assert "Read it before" in str(caught.value)
    assert caught.value.code == (code or "OperationCanceled")
    assert "t=6389" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "is_transient", "words"),
    [
        ({"code": "InternalError", "message": "KubeClient failed"}, True, "KubeClient failed."),
        ({"code": "ScopeLocked", "message": f"{LOCK} is locked"}, False, LOCK),
        ({"code": "InternalError", "innererror": {"code": "ScopeLocked"}}, False, "A lock"),
        ({"code": "BadRequest", "additionalInfo": [VIOLATION]}, False, POLICY),
        ({"code": "AnotherOperationInProgress"}, True, "Another operation"),
        ({"code": "OperationCanceled"}, False, "No reason given."),
        (None, False, "OperationFailed. No reason given."),
    ],
)
def test_an_operation_that_fails_is_judged_as_an_answer_is(
    clock, client, azure, make_operation, wire, error, is_transient, words
):
    azure.answers(wire.reply(200, done(status="Failed", error=error)))
    with pytest.raises(OperationFailedError) as caught:
        finish(client, make_operation(), sleep=clock.sleep)
    found = caught.value
    assert found.is_transient == is_transient
    assert words in str(found)
    assert str(found).endswith("Read it before you try again: it may be half done.")


def test_an_operation_that_does_not_end_times_out(client, azure, clock, make_operation, wire):
    azure.answers(wire.reply(200, RUNNING))
    started = clock.now
    with pytest.raises(OperationTimeoutError, match="outcome is unknown"):
        finish(client, make_operation(), sleep=clock.sleep)
    assert clock.now - started == pytest.approx(1800)
    assert len(azure.received) <= 70


@pytest.mark.parametrize("body", [{}, [], [7], '"x"', 7, {"status": 7}, {"status": []}, {"x": 1}])
def test_an_answer_that_does_not_say_how_an_operation_stands_is_the_end_of_it(
    client, azure, clock, make_operation, wire, body
):
    azure.answers(wire.reply(200, body))
    with pytest.raises(OperationTimeoutError, match="not say how it stands; its outcome is un"):
        finish(client, make_operation(), sleep=clock.sleep)
    assert len(azure.received) == 1


def test_a_state_that_nobody_knows_is_awaited_and_told(client, azure, clock, make_operation, wire):
    azure.answers(wire.reply(200, {"status": "Pondering"}))
    with pytest.raises(OperationTimeoutError, match="within 1800 s, last 'pondering'"):
        finish(client, make_operation(), sleep=clock.sleep)


def test_a_status_that_may_not_be_asked_for_within_the_bound_ends_the_wait(
    client, azure, clock, make_operation, wire
):
    azure.answers(wire.error(429, "Throttled", Retry_After="31536000"))
    with pytest.raises(OperationTimeoutError, match="may not be asked for again for 31536000 s"):
        finish(client, make_operation(), sleep=clock.sleep)
    assert len(azure.received) == 1


def test_a_delay_of_an_operation_is_believed_to_the_same_bound(
    client, azure, clock, make_operation, wire
):
    azure.answers(wire.reply(200, RUNNING, Retry_After="31536000"), wire.reply(200, done()))
    finish(client, make_operation(retry_after_seconds=1e9), sleep=clock.sleep)
    assert [seen.at - 1000 for seen in azure.received] == [120, 240]


def test_an_operation_is_not_given_up_because_a_clock_jumped(
    client, azure, clock, make_operation, wire
):
    def asleep(seen):
        clock.now += 7200
        return wire.reply(200, RUNNING)

    azure.answers(wire.reply(200, RUNNING), asleep, asleep, wire.reply(200, done()))
    assert len(finish(client, make_operation(), sleep=clock.sleep)) == 1
    assert len(azure.received) == 4


def test_the_delay_of_the_poll_answer_wins(client, azure, clock, make_operation, wire):
    azure.answers(wire.reply(200, RUNNING, Retry_After="7"), wire.reply(200, done()))
    finish(client, make_operation(retry_after_seconds=3), sleep=clock.sleep)
    assert azure.received[0].at - 1000 == pytest.approx(3)
    assert azure.received[1].at - azure.received[0].at == pytest.approx(7)


def test_later_operations_are_first_asked_after_what_earlier_ones_took(
    client, azure, clock, make_operation, wire
):
    azure.answers(wire.reply(200, done(seconds=7.36)))
    for _ in range(2):
        finish(client, make_operation(kind=OperationKind.DELETE), sleep=clock.sleep)
    operation = make_operation(kind=OperationKind.DELETE)
    finish(client, operation, sleep=clock.sleep)
    assert azure.received[-1].at - operation.started == pytest.approx(7.36)


def test_one_loop_waits_for_many_and_each_is_found_once(client, azure, clock, make_operation, wire):
    ends = {"a": 5.0, "b": 20.0, "c": 60.0}

    def answer(seen):
        name = seen.path.rpartition("/")[2]
        running = clock.now - 1000 < ends[name]
        return wire.reply(200, RUNNING if running else done(status="Succeeded"))

    azure.answers(answer)
    operations = [make_operation(name) for name in ("c", "a", "b")]
    finished = finish(client, *operations, sleep=clock.sleep)
    assert [operation.id[-1] for operation in finished] == ["a", "b", "c"]
    assert 60 <= clock.now - 1000 < 92


def test_first_operations_of_a_cluster_do_not_make_later_ones_wait(
    client, azure, clock, make_operation, wire
):
    azure.answers(*[wire.reply(200, done(seconds=seconds)) for seconds in (50, 5)])
    for _ in range(2):
        finish(client, make_operation("c/managedNamespaces/a"), sleep=clock.sleep)
    operation = make_operation("c/managedNamespaces/b")
    finish(client, operation, sleep=clock.sleep)
    assert azure.received[-1].at - operation.started == pytest.approx(5)


def test_polls_come_when_the_slowest_of_the_last_few_would_be_done(
    client, azure, clock, make_operation, wire
):
    azure.answers(*[wire.reply(200, done(seconds=seconds)) for seconds in (4, 6, 5, 5)])
    for _ in range(3):
        finish(client, make_operation(kind=OperationKind.DELETE), sleep=clock.sleep)
    operation = make_operation(kind=OperationKind.DELETE)
    finish(client, operation, sleep=clock.sleep)
    assert azure.received[-1].at - operation.started == pytest.approx(6)


def test_a_poll_that_fails_for_now_says_nothing_about_the_operation(
    clock, client, azure, make_operation, wire
):
    azure.answers(*[wire.error(503, "Busy")] * 6, wire.reply(200, done()))
    finish(client, make_operation(), sleep=clock.sleep)
    assert len(azure.received) == 7


def test_a_timeout_keeps_the_reason_why_nothing_was_heard(
    clock, client, azure, make_operation, wire
):
    azure.answers(wire.error(503, "Busy"))
    with pytest.raises(OperationTimeoutError) as caught:
        finish(client, make_operation(), sleep=clock.sleep)
    assert "Busy" in str(caught.value.__cause__)


def test_a_poll_that_is_refused_ends_the_wait(clock, client, azure, make_operation, wire):
    azure.answers(wire.error(403, "AuthorizationFailed"))
    with pytest.raises(ArmForbiddenError):
        finish(client, make_operation(), sleep=clock.sleep)
    assert len(azure.received) == 1


def test_without_an_operation_url_the_resource_is_read(clock, client, azure, cluster, wire):
    azure.answers(
        wire.reply(200, wire.namespace(provisioningState="Updating")),
        wire.reply(200, wire.namespace(provisioningState="Updating")),
        wire.reply(200, wire.namespace(provisioningState="Succeeded")),
    )
    namespace = ManagedNamespace(id=cluster.namespace("payments"), location="westeurope")
    finish(client, client.managed_namespaces.begin_create_or_update(namespace), sleep=clock.sleep)
    assert [seen.method for seen in azure.received] == ["PUT", "GET", "GET"]


def test_a_location_header_alone_is_followed_by_its_status(clock, client, azure, cluster, wire):
    azure.answers(
        wire.reply(202, Location=STATUS.replace("operations", "operationresults")),
        wire.reply(202),
        wire.reply(204),
    )
    finish(
        client, client.managed_namespaces.begin_delete(cluster.namespace("a")), sleep=clock.sleep
    )
    assert len(azure.received) == 3
