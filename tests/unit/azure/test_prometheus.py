from datetime import UTC, datetime
from math import inf
from urllib.parse import parse_qs

import pytest

from mnslib.azure.prometheus import Series
from mnslib.errors import PrometheusError

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def ask(client):
    prometheus = client.prometheus("https://ws.westeurope.prometheus.monitor.azure.com/")

    def query_range(query="up"):
        return prometheus.query_range(query, start=START, end=END, step_seconds=3600)

    return query_range


def test_a_range_comes_as_series_without_points_that_are_no_number(ask, azure, credential, wire):
    values = [[1767225600, "1.5"], [1767229200, "NaN"], [1767232800, "2"], [1767236400, "+Inf"]]
    result = [{"metric": {"namespace": "a"}, "values": values}]
    azure.answers(
        wire.reply(200, {"status": "success", "data": {"resultType": "matrix", "result": result}})
    )
    assert ask('up{cluster="c"}') == [
        Series({"namespace": "a"}, [(1767225600.0, 1.5), (1767232800.0, 2.0), (1767236400.0, inf)])
    ]
    sent = azure.received[0]
    assert (sent.method, sent.path) == ("POST", "/api/v1/query_range")
    assert parse_qs(sent.body) == {
        "query": ['up{cluster="c"}'],
        "start": ["1767225600.000"],
        "end": ["1767312000.000"],
        "step": ["3600"],
    }
    assert credential.calls == [("https://prometheus.monitor.azure.com/.default", None)]


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("query.westeurope", "/subscriptions/s/resourceGroups/g"),
        ("query.germanywestcentral", "/subscriptions/s/resourceGroups/g"),
        ("ws.westeurope", None),
        ("query-x.westeurope", None),
    ],
)
def test_a_region_is_asked_about_one_resource(client, azure, wire, host, sent):
    data = {"status": "success", "data": {"resultType": "vector", "result": []}}
    azure.answers(wire.reply(200, data), wire.reply(403, {"status": "error", "error": "no"}))
    prometheus = client.prometheus(f"https://{host}.prometheus.monitor.azure.com")
    scoped = prometheus.about("/subscriptions/s/resourceGroups/g")
    assert scoped.query("up", at=START) == []
    assert azure.received[0].headers.get("x-ms-azure-scoping") == sent
    role = "Reader on /subscriptions/s/resourceGroups/g" if sent else "Monitoring Data Reader"
    with pytest.raises(PrometheusError, match=role):
        scoped.query("up", at=START)


def test_a_refused_query_says_which_and_why(ask, azure, wire):
    azure.answers(
        wire.reply(422, {"status": "error", "errorType": "bad_data", "error": "too many points"})
    )
    with pytest.raises(PrometheusError, match=r"'up'.*bad_data. too many points.*Monitoring Data"):
        ask()


def test_an_unreachable_endpoint_is_a_prometheus_error_too(ask, azure):
    from requests.exceptions import ConnectionError as Dropped

    azure.answers(Dropped("[Errno 111] Connection refused"))
    with pytest.raises(PrometheusError, match="connection was refused"):
        ask()


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}},
        {
            "status": "success",
            "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "x"]]}]},
        },
        '{"status": "success", "data": {"resultType": "matrix", "result": '
        '[{"metric": {}, "values": [[1e999, "1"]]}]}}',
        "[" * 100_000,
    ],
)
def test_an_answer_that_is_no_matrix_is_said_to_be_none(ask, azure, wire, body):
    azure.answers(wire.reply(200, body))
    with pytest.raises(PrometheusError, match="with a matrix of numbers"):
        ask()


def test_an_answer_that_a_store_is_missing_from_is_no_figure(ask, azure, wire):
    result = [{"metric": {}, "values": [[1767225600, "1.5"]]}]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    azure.answers(wire.reply(200, {**body, "warnings": ["store sg-2: connection refused"]}))
    with pytest.raises(PrometheusError, match=r"'up' may not be whole: store sg-2: connection"):
        ask()


def test_a_warning_that_tells_of_the_query_alone_changes_nothing(ask, azure, wire):
    result = [{"metric": {}, "values": [[1767225600, "1.5"]]}]
    said = {"warnings": ["PromQL warning: mixed"], "infos": ["PromQL info: might be no counter"]}
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}, **said}
    azure.answers(wire.reply(200, body))
    assert ask() == [Series({}, [(1767225600.0, 1.5)])]
