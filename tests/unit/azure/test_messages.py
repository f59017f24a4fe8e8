import pytest

from mnslib.azure.messages import answer_error, server_delay_seconds

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


@pytest.mark.parametrize("body", ["", "<html>", "[]", '"text"', '{"error": 7}'])
def test_a_body_of_unknown_form_is_not_shown(body):
    error = answer_error("GET", "https://x/a", status=400, headers={}, body=body)
    assert str(error) == "Could not read /a: 400. Nothing was changed; correct what it names."
