import json
from pathlib import Path

import pytest
import yaml

from mnslib.azure.messages import answer_error, is_repeated, server_delay_seconds
from mnslib.errors import LONGEST_REFUSAL, ArmNotFoundError

LONGEST_ID = (
    f"/subscriptions/{'0' * 36}/resourceGroups/{'g' * 90}/providers/Microsoft.ContainerService"
    f"/managedClusters/{'c' * 63}/managedNamespaces/{'n' * 63}"
)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 429, 500])
def test_the_longest_id_leaves_room_for_what_to_do(status):
    error = answer_error(
        "PUT",
        f"https://management.azure.com{LONGEST_ID}?api-version=1&t=secret",
        status=status,
        headers={},
        body='{"error": {"code": "SomeCode", "message": "' + "long " * 200 + '"}}',
    )
    assert LONGEST_ID in str(error)
    assert "SomeCode" in str(error)
    assert "secret" not in str(error)
    if status != 403:
        assert not str(error).endswith("…")


@pytest.mark.parametrize("text", ["soon", "Wed, 05 Nov 2025 17:32:00 GMT"])
def test_a_delay_that_cannot_be_read_is_none(text):
    assert server_delay_seconds({"Retry-After": text}) is None


def test_a_delay_is_never_negative():
    assert server_delay_seconds({"Retry-After": "-5"}) == 0


def test_an_empty_body_leaves_the_status():
    error = answer_error("GET", "https://x/a", status=400, headers={}, body="")
    assert str(error) == "Could not read /a: 400. Nothing was changed; correct what it names."


@pytest.mark.parametrize(
    "body", ["<html>Blocked: 7</html>", "[7]", '"7"', '{"error": 7}', "[" * 9999]
)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 502])
def test_a_body_of_unknown_form_is_not_shown_and_not_believed(status, body):
    error = answer_error("GET", "https://x/a", status=status, headers={}, body=body)
    assert "The answer is not Azure's" in str(error)
    assert "proxy" in str(error)
    assert "7" not in str(error)
    assert (error.code, error.is_transient) == ("", status == 502)
    assert not isinstance(error, ArmNotFoundError)  # that nothing is there a proxy cannot know


# what a refusal means: again or not, cause, remedy

LOCK = f"{LONGEST_ID}/providers/Microsoft.Authorization/locks/no"
POLICY = "/subscriptions/x/providers/Microsoft.Authorization/policyAssignments/3f9d2c41ab5e4f0b9c77"
VIOLATION = {"type": "PolicyViolation", "info": {"policyAssignmentId": POLICY}}
CASES = yaml.safe_load(Path(__file__).with_name("refusals.yaml").read_text())
PLACE = f"{LONGEST_ID.rpartition('/')[0]}/nnn"


def refused(status, error):
    url = f"https://management.azure.com{PLACE}?api-version=1&t=secret"
    body = json.dumps({"error": error})
    return answer_error("PUT", url, status=status, headers={}, body=body)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_refusal_says_what_refused_and_what_helps(case):
    error = refused(case["status"], case["error"])
    assert error.is_transient == (case["again"] != "never")
    assert error.is_busy == (case["again"] == "in turn")
    assert [word for word in [PLACE, *case["says"]] if word not in str(error)] == []
    assert "secret" not in str(error)
    is_about_roles = any("Get a role" in word for word in case["says"])
    assert ("Get a role" in str(error)) == is_about_roles


def test_what_is_named_stays_whole_within_bounds():
    many = [VIOLATION | {"info": {"policyAssignmentId": f"{POLICY}{n}"}} for n in range(3)]
    policy = {"code": "RequestDisallowedByPolicy", "message": "No. " * 100}
    error = refused(403, policy | {"additionalInfo": many})
    assert all(f"{POLICY}{n}" in str(error) for n in range(3))
    many *= 99
    policy["message"] = "No. \x1b[31m\u202e" * 999
    error = refused(403, policy | {"additionalInfo": many})
    assert len(error.what) <= LONGEST_REFUSAL
    assert str(error).endswith("no role helps.")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "more",
    [
        {"details": 7},
        {"innererror": [7]},
        {"additionalInfo": "x"},
        {"additionalInfo": [7, {"type": 7, "info": [[7]]}]},
        {"code": None},
    ],
)
def test_additional_information_of_another_form_does_no_harm(more):
    body = json.dumps({"error": {"code": "Odd", "message": "No", **more}})
    error = answer_error("PUT", "https://x/a", status=400, headers={}, body=body)
    assert "No." in str(error)


def test_a_status_of_kubernetes_is_read_as_one():
    body = json.dumps(
        {
            "kind": "Status",
            "code": 403,
            "reason": "Forbidden",
            "message": 'admission webhook "w" denied the request: no',
        }
    )
    error = answer_error("PUT", "https://x/a", status=403, headers={}, body=body)
    assert "403 Forbidden. admission webhook" in str(error)
    assert "Get a role" not in str(error)


@pytest.mark.parametrize(
    ("status", "code", "is_repeated_at_once"),
    [
        (503, "ServiceUnavailable", True),
        (429, "Throttled", True),
        (409, "Conflict", False),
        (500, "ScopeLocked", False),
        (429, "QuotaExceeded", False),
        (502, "", True),
    ],
)
def test_the_code_decides_whether_a_request_is_repeated_at_once(status, code, is_repeated_at_once):
    body = json.dumps({"error": {"code": code}}) if code else "<html>"
    found = is_repeated(status, lambda: body)
    assert found == is_repeated_at_once


def test_a_refusal_of_what_is_no_resource_speaks_of_no_action():
    body = json.dumps({"status": "error", "errorType": "forbidden", "error": "No access."})
    error = answer_error("POST", "https://p/api/v1/query", status=403, headers={}, body=body)
    assert str(error) == "Could not call /api/v1/query: 403 forbidden. No access."
    error = answer_error("POST", "https://p/api/v1/query", status=403, headers={}, body="<html>")
    assert "a proxy or gateway" in str(error)
    assert "/action" not in str(error)
