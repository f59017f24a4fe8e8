"""Quantities, pod needs and rules, without a server; times with a clock in the hand."""

from __future__ import annotations

import json
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest

from mnslib.sandbox import lifecycle
from mnslib.sandbox.amounts import exact, parse
from mnslib.sandbox.kube.arithmetic import pod_need, total_need
from mnslib.sandbox.kube.quotas import refusal
from mnslib.sandbox.resources import CLUSTER_TYPE
from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from tests.sandbox.in_process import Clock


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("0", "0"),
        ("0Gi", "0"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("0.9Gi", "966367641600m"),
        ("0.5Gi", "512Mi"),
        ("1000Ki", "1000Ki"),
        ("512", "512"),
        ("1e3", "1e3"),
        ("1e-9", "1e-9"),
        ("1G", "1G"),
        ("0.1n", "1n"),
        ("100u", "100u"),
    ],
)
def test_quantities_come_back_as_the_api_server_writes_them(given: str, canonical: str) -> None:
    assert str(exact(given)) == canonical
    if "n" not in given:
        assert parse(canonical) == parse(given)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1gi", "--1", "1e", "Gi", "0x1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|quantities"):
        parse(text)


def container(cpu: str, *, sidecar: bool = False) -> dict[str, Any]:
    always = {"restartPolicy": "Always"} if sidecar else {}
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}} | always


@pytest.mark.parametrize(
    ("running", "init", "overhead", "need"),
    [
        (["1", "500m"], [], "0", "1500m"),
        (["1"], [container("3")], "0", "3"),
        (["1"], [container("300m"), container("700m")], "0", "1"),
        (["1"], [container("1", sidecar=True)], "0", "2"),
        (["1"], [container("1", sidecar=True), container("2")], "0", "3"),
        (["1"], [container("2"), container("1", sidecar=True)], "0", "2"),
        (["1"], [], "250m", "1250m"),
    ],
)
def test_a_pod_needs_its_containers_or_its_init_peak(
    running: list[str], init: list[dict[str, Any]], overhead: str, need: str
) -> None:
    containers = [container(cpu) for cpu in running]
    spec = {"containers": containers, "initContainers": init, "overhead": {"cpu": overhead}}
    assert pod_need({"spec": spec})["requests.cpu"] == parse(need)


def test_finished_pods_do_not_count() -> None:
    pods = [
        {"spec": {"containers": [container("1")]}, "status": {"phase": phase}}
        for phase in ("Running", "Pending", "Succeeded", "Failed")
    ]
    assert total_need(pods)["requests.cpu"] == Fraction(2)


def test_what_must_be_said_is_sorted_whichever_container_leaves_it_out() -> None:
    hard = {"cpu": "1", "memory": "1Gi", "requests.cpu": "1"}
    quota = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    quota["status"] = {"used": dict.fromkeys(hard, "0")}
    first = {"name": "a", "resources": {"requests": {"cpu": "1"}}}
    pod = {"spec": {"containers": [first, {"name": "b", "resources": {}}]}}
    assert refusal(pod, [quota]) == (
        "failed quota: q: must specify cpu for: b; memory for: a,b; requests.cpu for: b"
    )


def test_short_keys_mean_requests() -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1"}}}
    quota["status"] = {"used": {"cpu": "0"}}
    pod = {"spec": {"containers": [container("2")]}}
    text = refusal(pod, [quota])
    assert text == "exceeded quota: q, requested: cpu=2, used: cpu=0, limited: cpu=1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> Any:
    opened = open_state(":memory:", world="default", latency="documented", clock=clock)
    yield opened
    opened.close()


def test_a_latency_file_needs_every_key(tmp_path: Any) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text("create: 3\n")
    with pytest.raises(ValueError, match="first_create"):
        lifecycle.load_latency(str(file))
    file.write_text(json.dumps(lifecycle.latencies()["fast"] | {"create": 3}))
    assert lifecycle.load_latency(str(file))["create"] == 3


def test_the_same_world_twice_is_the_same(state: State, clock: Clock) -> None:
    again = open_state(":memory:", world="default", latency="fast", clock=clock)
    for one in state.resources(CLUSTER_TYPE):
        assert again.resource(one["id"]) == one
        key = one["id"].lower()
        assert again.objects(key, "pods") == state.objects(key, "pods")
    again.close()


def test_what_is_taken_back_moves_no_clock() -> None:
    state = State(clock=lambda: 100.0)
    with suppress(LookupError), state.transaction():
        state.advance(60)
        raise LookupError
    assert state.now() == 100
    state.close()
