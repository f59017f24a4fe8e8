"""Scripted faults: each effect makes its difference, and the same script the same effects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mnslib.sandbox.faults import Faults, check_script
from tests.sandbox.client import (
    AKS_SERVER_ID,
    PROMETHEUS,
    Client,
    Process,
    cluster_id,
    make_body,
    namespace_id,
)

WEU = "aks-prod-weu-1"
NEW = namespace_id("new-team")


@pytest.fixture
def stormy(sandbox: Client) -> Iterator[Client]:
    """A sandbox without faults afterwards."""
    yield sandbox
    sandbox.control("POST", "faults", {})


def storm(client: Client, effect: dict[str, Any], **fault: Any) -> None:
    for audience in (client.connection["arm_endpoint"], AKS_SERVER_ID, PROMETHEUS):
        client.token(audience)  # so that signing in is not what is struck
    script = {"faults": [{"name": "one", "effect": effect, **fault}]}
    answer = client.control("POST", "faults", script)
    assert answer.status_code == 200, answer.text


def status(client: Client, path: str = "") -> int | None:
    """Return the status of a GET; None when the connection was dropped."""
    try:
        return client.arm("GET", path or cluster_id()).status_code
    except requests.ConnectionError:
        return None


# effects


def test_an_error_is_answered_in_the_form_of_its_surface(stormy: Client) -> None:
    effect = {"status": 503, "code": "ServerBusy", "message": "Too busy.", "retry_after": 7}
    storm(stormy, effect)
    answer = stormy.arm("GET", cluster_id())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert answer.json() == {"error": {"code": "ServerBusy", "message": "Too busy."}}
    body = stormy.kube(WEU, "GET", "/api/v1/nodes").json()
    assert (body["kind"], body["code"], body["message"]) == ("Status", 503, "Too busy.")
    assert stormy.prometheus("x").json()["status"] == "error"


POLICY = [{"type": "PolicyViolation", "info": {"policyAssignmentName": "tags"}}]


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ({"status": 409, "code": "ScopeLocked"}, {"code": "ScopeLocked"}),
        ({"status": 403}, {"code": "AuthorizationFailed"}),
        ({"status": 422}, {"code": "BadRequest"}),
        ({"status": 403, "additional_info": POLICY}, {"additionalInfo": POLICY}),
    ],
)
def test_any_4xx_is_answered_with_what_it_carries(
    stormy: Client, effect: dict[str, Any], error: dict[str, Any]
) -> None:
    storm(stormy, effect | {"message": "No."})
    answer = stormy.arm("PUT", NEW, make_body())
    assert answer.status_code == effect["status"]
    assert answer.json()["error"].items() >= ({"message": "No."} | error).items()
    body = stormy.kube(WEU, "GET", "/api/v1/nodes").json()
    assert (body["kind"], body["code"], body["message"]) == ("Status", effect["status"], "No.")


def test_a_delay_may_be_any_text(stormy: Client) -> None:
    storm(stormy, {"status": 429, "retry_after": "soon"})
    assert stormy.arm("GET", cluster_id()).headers["Retry-After"] == "soon"


def test_a_body_may_be_anything_and_name_pages_without_an_end(stormy: Client) -> None:
    storm(stormy, {"body": {"value": [], "nextLink": "{next}"}})
    first = stormy.arm("GET", cluster_id()).json()["nextLink"]
    assert first.endswith("&%24skiptoken=1")
    following = stormy.arm("GET", first).json()["nextLink"]
    assert following.endswith("&%24skiptoken=2")
    storm(stormy, {"body": [7]})
    assert stormy.arm("GET", cluster_id()).json() == [7]


def test_an_answer_may_be_far_larger_than_what_is_sent(stormy: Client) -> None:
    storm(stormy, {"inflated": 2**20})
    answer = stormy.arm("GET", cluster_id())
    assert int(answer.headers["Content-Length"]) < 2**13
    assert len(answer.content) == 2**20


def test_the_status_of_an_operation_may_be_told_otherwise(stormy: Client) -> None:
    storm(stormy, {"operation": "answers", "answer": {"status": 7}}, match={"method": "PUT"})
    answer = stormy.put("new-team", make_body())
    stormy.finish(100)
    assert stormy.operation(answer) == {"status": 7}
    assert stormy.get("new-team")["properties"]["provisioningState"] == "Succeeded"


def test_an_operation_that_fails_carries_it_too(stormy: Client) -> None:
    effect = {"operation": "fails", "code": "RequestDisallowedByPolicy", "additional_info": POLICY}
    storm(stormy, effect, match={"method": "PUT"})
    error = stormy.operation(stormy.put("new-team", make_body()))["error"]
    assert (error["code"], error["additionalInfo"]) == ("RequestDisallowedByPolicy", POLICY)


def test_a_policy_adds_tags_to_what_is_written(stormy: Client) -> None:
    storm(stormy, {"policy_tags": {"owner": "it", "created": "by-policy"}}, match={"method": "PUT"})
    body = make_body() | {"tags": {"owner": "me", "mine": "1"}}
    answer = stormy.arm("PUT", NEW, body)
    seen = {"owner": "it", "created": "by-policy", "mine": "1"}
    assert answer.json()["tags"] == seen
    stormy.finish(100)
    assert stormy.get("new-team")["tags"] == seen


def test_an_error_before_a_write_leaves_nothing(stormy: Client) -> None:
    storm(stormy, {"status": 500}, times=1)
    assert stormy.arm("PUT", NEW, make_body()).status_code == 500
    assert status(stormy, NEW) == 404


@pytest.mark.parametrize(("moment", "found"), [("before", 404), ("after", 200)])
def test_a_dropped_write_has_happened_or_not(stormy: Client, moment: str, found: int) -> None:
    storm(stormy, {"drop": moment}, match={"method": "PUT"})
    with pytest.raises(requests.ConnectionError):
        stormy.arm("PUT", NEW, make_body())
    assert status(stormy, NEW) == found


def test_a_dropped_connection_ends_without_a_byte_on_every_surface(stormy: Client) -> None:
    storm(stormy, {"drop": "before"})
    for attempt in (
        lambda: stormy.arm("GET", cluster_id()),
        lambda: stormy.kube(WEU, "GET", "/api/v1/nodes"),
        lambda: stormy.prometheus("x"),
        lambda: stormy.sign_in("https://management.azure.com"),
    ):
        with pytest.raises(requests.ConnectionError):
            attempt()
    assert stormy.control("GET", "health").status_code == 200  # control is never struck


def test_a_hung_connection_gives_no_answer_and_blocks_nobody(stormy: Client) -> None:
    storm(stormy, {"hang": 30}, match={"path": "payments-api"})
    headers = {"Authorization": f"Bearer {stormy.token(stormy.connection['arm_endpoint'])}"}
    url = stormy.connection["arm_endpoint"] + namespace_id("payments-api")
    with pytest.raises(requests.ReadTimeout):
        stormy.session.get(url, headers=headers, timeout=0.3)
    assert status(stormy) == 200


def test_a_hung_connection_is_closed_in_the_end(stormy: Client) -> None:
    storm(stormy, {"hang": 0.1})
    began = time.monotonic()
    assert status(stormy) is None
    assert time.monotonic() - began >= 0.1


def test_a_slow_answer_is_whole(stormy: Client) -> None:
    storm(stormy, {"slow": 0.3}, times=1)
    began = time.monotonic()
    assert status(stormy) == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("effect", "word", "code"),
    [
        ({"operation": "fails"}, "Failed", "InternalError"),
        ({"operation": "fails", "code": "Odd", "message": "No."}, "Failed", "Odd"),
        ({"operation": "cancelled"}, "Canceled", "OperationCanceled"),
    ],
)
def test_an_operation_ends_badly(
    stormy: Client, effect: dict[str, Any], word: str, code: str
) -> None:
    storm(stormy, effect, match={"method": "PUT"})
    answer = stormy.put("new-team", make_body())
    assert answer.status_code == 201
    operation = stormy.operation(answer)
    assert (operation["status"], operation["error"]["code"]) == (word, code)
    assert operation["error"]["message"] == effect.get("message", operation["error"]["message"])
    assert stormy.get("new-team")["properties"]["provisioningState"] == word
    assert stormy.kube(WEU, "GET", "/api/v1/namespaces/new-team").status_code == 404


def test_a_hanging_operation_does_not_end_until_faults_are_set_anew(stormy: Client) -> None:
    storm(stormy, {"operation": "hangs"}, match={"method": "PUT"})
    answer = stormy.put("new-team", make_body())
    stormy.finish(1e6)
    assert stormy.operation(answer)["status"] == "InProgress"
    assert stormy.get("new-team")["properties"]["provisioningState"] == "Creating"
    stormy.control("POST", "faults", {"faults": []})
    assert stormy.operation(answer)["status"] == "Succeeded"
    assert stormy.get("new-team")["properties"]["provisioningState"] == "Succeeded"


def test_a_list_trails_what_was_written(stormy: Client) -> None:
    def names() -> set[str]:
        listed = stormy.arm("GET", f"{cluster_id()}/managedNamespaces").json()["value"]
        return {item["name"] for item in listed}

    storm(stormy, {"list_trails": 60}, match={"method": "PUT"})
    stormy.put("new-team", make_body())
    assert "new-team" not in names()
    assert stormy.get("new-team")["properties"]["provisioningState"] == "Succeeded"
    stormy.finish(61)
    assert "new-team" in names()


def test_a_token_expires_before_its_time(stormy: Client) -> None:
    assert status(stormy) == 200
    storm(stormy, {"token": "expires"}, times=1)
    refused = stormy.arm("GET", cluster_id())
    assert refused.json()["error"]["code"] == "ExpiredAuthenticationToken"
    assert status(stormy) == 401  # the same token stays refused
    stormy._tokens.clear()
    assert status(stormy) == 200


# which requests are struck


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({}, "xxxxxxxx"),
        ({"after": 3}, "...xxxxx"),
        ({"every": 3}, "x..x..x."),
        ({"after": 1, "every": 2, "times": 2}, ".x.x...."),
        ({"probability": 0}, "........"),
    ],
)
def test_turns_are_counted(when: dict[str, Any], struck: str) -> None:
    script = {"faults": [{"name": "one", "effect": {"drop": "before"}, **when}]}
    faults = Faults(check_script(script))
    facts = {"surface": "arm", "method": "GET", "identity": "admin"}
    marks = ["x" if faults.effect_on(facts, "/subscriptions") else "." for _ in range(8)]
    assert "".join(marks) == struck


def test_the_same_script_has_the_same_effects() -> None:
    def marks(seed: int) -> list[bool]:
        fault = {"name": "rain", "probability": 0.3, "effect": {"drop": "before"}}
        faults = Faults(check_script({"seed": seed, "faults": [fault]}))
        facts = {"surface": "arm", "method": "GET", "identity": "admin"}
        return [bool(faults.effect_on(facts, "/x")) for _ in range(200)]

    assert marks(1) == marks(1) != marks(2)
    assert 30 < sum(marks(1)) < 90


def test_only_what_matches_is_struck(stormy: Client) -> None:
    match = {"surface": "arm", "method": "GET", "path": "/managedClusters/[^/]+$"}
    storm(stormy, {"status": 500}, match=match | {"identity": "admin"})
    reader = Client(stormy.connection, "reader")
    assert status(stormy) == 500
    assert status(reader) == 200
    assert status(stormy, namespace_id("payments-api")) == 200
    assert stormy.arm("DELETE", NEW).status_code == 204
    assert stormy.kube(WEU, "GET", "/api/v1/nodes").status_code == 200
    reader.session.close()
    fault = stormy.control("GET", "faults").json()["faults"][0]
    assert (fault["name"], fault["matched"], fault["hits"]) == ("one", 1, 1)


def test_the_log_shows_what_struck(stormy: Client) -> None:
    storm(stormy, {"drop": "before"})
    assert status(stormy) is None
    entry = stormy.control("GET", "requests").json()["value"][-1]
    assert (entry["status"], entry["fault"]) == (None, {"drop": "before"})


# the script


def fault(**changes: Any) -> dict[str, Any]:
    return {"faults": [{"name": "storm", "effect": {"drop": "before"}} | changes]}


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ([], "faults must be a mapping"),
        ({"fautls": []}, "the script has an unknown key 'fautls'; there are seed, faults"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"faults": [7]}, r"faults\[0\] must be a mapping"),
        ({"faults": [{"name": "storm"}]}, r"faults\[0\] \(storm\) needs effect"),
        (fault(name=7), r"faults\[0\]: name must be a text"),
        (fault(every=0), r"\(storm\): every must be a whole number of at least 1, not 0"),
        (fault(probability=2), "probability must be a number from 0 to 1"),
        (fault(match={"surfaces": "arm"}), r"\(storm\): match has an unknown key 'surfaces'"),
        (fault(match={"surface": "control"}), "surface must be one of arm, entra"),
        (fault(match={"path": "("}), "path must be a regular expression"),
        (fault(effect={}), "effect needs exactly one of status, body, inflated"),
        (fault(effect={"drop": "before", "hang": 1}), "effect needs exactly one of"),
        (fault(effect={"status": 200}), "status must be a number from 400 to 599, not 200"),
        (fault(effect={"status": 403, "additional_info": {}}), "must be a list of mappings"),
        (fault(effect={"policy_tags": {"owner": 1}}), "policy_tags must be a mapping of texts"),
        (fault(effect={"drop": "later"}), "drop must be one of before, after"),
        (fault(effect={"slow": "1"}), "slow must be a number of seconds"),
        (fault(effect={"slow": 1, "code": "x"}), "effect has an unknown key 'code'"),
        ({"faults": fault()["faults"] * 2}, r"faults\[1\] \(storm\): that name is taken"),
    ],
)
def test_mistakes_in_a_script_are_named(script: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_script(script)


def test_faults_are_an_option(start_process: Callable[..., Process], tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("faults: [{name: a, match: {surface: arm}, effect: {status: 502}}]\n")
    client = Client(start_process("--faults", str(file)).connection)
    assert status(client) == 502
    client.session.close()
    file.write_text("faults: [{name: a}]\n")
    refused = start_process("--faults", str(file))
    assert refused.process.wait(timeout=30) == 1
    assert "faults[0] (a) needs effect" in refused.log.read_text()
