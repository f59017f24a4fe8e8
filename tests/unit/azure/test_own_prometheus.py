"""A Prometheus server of one's own: no token of Azure's, and one's own never unencrypted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport

from mnslib.azure.prometheus import plain_prometheus
from mnslib.errors import ConfigError, PrometheusError, QueryTooLargeError
from mnslib.run.targets import Target

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}


@pytest.fixture
def make_plain(azure, clock):
    def make(endpoint="http://prometheus.example:9090/", **options):
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", azure)
        session.mount("https://", azure)
        transport = RequestsTransport(session=session)
        return plain_prometheus(
            endpoint, transport=transport, clock=clock, sleep=clock.sleep, **options
        )

    return make


def test_a_moment_is_asked_for_by_plain_http_and_without_any_token(make_plain, azure, wire):
    value = {"metric": {"node": "n1"}, "value": [1767225600, "7.5"]}
    azure.answers(
        wire.reply(200, {"status": "success", "data": {"resultType": "vector", "result": [value]}})
    )

    found = make_plain().query("up", at=MOMENT)

    assert [(one.labels, one.points) for one in found] == [({"node": "n1"}, [(1767225600.0, 7.5)])]
    assert azure.received[0].url == "http://prometheus.example:9090/api/v1/query"
    assert "Authorization" not in azure.received[0].headers


@pytest.mark.parametrize(
    "endpoint", ["https://mimir.example/prometheus", "http://127.0.0.1:9090", "http://[::1]:9090"]
)
def test_a_token_goes_out_over_https_and_on_this_machine(make_plain, azure, wire, endpoint):
    azure.answers(wire.reply(200, EMPTY))

    assert make_plain(endpoint, token="abc.def").query("up", at=MOMENT) == []
    assert azure.received[0].headers["Authorization"] == "Bearer abc.def"
    assert azure.received[0].url.startswith(f"{endpoint}/api/v1/")


def test_a_token_never_travels_unencrypted(make_plain):
    with pytest.raises(ConfigError, match="unencrypted") as refused:
        make_plain("http://prometheus.example:9090", token="abc.def")
    assert "abc.def" not in str(refused.value)


@pytest.mark.parametrize(
    "token", ["two words", "line\nbreak", "ünïcode", "https://chat.example/KEY"]
)
def test_what_cannot_be_a_token_is_refused_without_showing_it(make_plain, token):
    with pytest.raises(ConfigError, match="cannot be a token") as refused:
        make_plain("https://prometheus.example", token=token)
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "prometheus.example", "file:///etc", "http://", "http://u:p@h/", "http://h/?a=b", "http://h:x",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_refused(make_plain, endpoint):
    with pytest.raises(ConfigError, match="write the address of the server"):
        make_plain(endpoint)


def test_a_redirect_is_not_followed(make_plain, azure, wire):
    azure.answers(wire.reply(302, None, Location="https://elsewhere.example/"))
    with pytest.raises(PrometheusError, match="302"):
        make_plain(token="abc", endpoint="https://prometheus.example").query("up", at=MOMENT)
    assert len(azure.received) == 1


def test_a_busy_server_is_asked_again_and_a_refusal_names_the_token_variable(
    make_plain, azure, wire, clock
):
    error = {"status": "error", "errorType": "unauthorized", "error": "who are you"}
    azure.answers(
        wire.reply(503, error), wire.reply(429, error, Retry_After="7"), wire.reply(401, error)
    )
    with pytest.raises(PrometheusError, match=r"who are you.*prometheus_token_env"):
        make_plain().query("up", at=MOMENT)
    assert len(azure.received) == 3
    assert any(seconds > 5 for seconds in clock.sleeps)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (422, "query processing would load too many samples into memory in query execution"),
        (400, "exceeded maximum resolution of 11,000 points per timeseries."),
        (422, "Query cost exceeds the limit of 15000"),
        (413, "response is large"),
    ],
)
def test_a_refusal_for_size_is_told_from_others(make_plain, azure, wire, status, said):
    error = {"status": "error", "errorType": "execution", "error": said}
    azure.answers(wire.reply(status, error), wire.reply(400, {**error, "error": "parse error"}))
    ask = make_plain().query_range
    hour = timedelta(hours=1)
    with pytest.raises(QueryTooLargeError):
        ask("up", start=MOMENT, end=MOMENT + hour, step_seconds=60)
    with pytest.raises(PrometheusError) as refused:
        ask("up", start=MOMENT, end=MOMENT + hour, step_seconds=60)
    assert not isinstance(refused.value, QueryTooLargeError)


@pytest.fixture
def target(client):
    return Target(azure=client, sandbox=None)


def test_the_token_comes_from_the_variable_that_is_named(target, monkeypatch):
    monkeypatch.setenv("MNS_PROMETHEUS_TOKEN", "abc")
    own = "https://prometheus.example"
    assert target.prometheus("prometheus", own, token_env="MNS_PROMETHEUS_TOKEN").endpoint == own
    for variable in ("MNS_NOT_SET", "no name"):
        with pytest.raises(ConfigError, match="prometheus_token_env names no"):
            target.prometheus("prometheus", own, token_env=variable)


def test_azure_monitor_stays_with_its_own_hosts_and_credential(target, credential):
    with pytest.raises(ConfigError, match=r"no token is sent there.*history: prometheus"):
        target.prometheus("auto", "https://prometheus.example")
    with pytest.raises(ConfigError, match="for history: prometheus"):
        target.prometheus("azure-monitor", "https://ws.weu.prometheus.monitor.azure.com",
                          token_env="MNS_TOKEN")  # fmt: skip
    with pytest.raises(ConfigError, match="prometheus_endpoint says where"):
        target.prometheus("prometheus", "")
    assert credential.calls == []
