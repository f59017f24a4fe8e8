"""A pod counts for what Kubernetes' scheduler and quota admission would count."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mnslib.kube_models import Container, LimitRange, Pod
from mnslib.pods import pod_need, refusal, total_need, with_defaults


def make_container(request: str | None = None, limit: str | None = None, **more: Any) -> Container:
    return Container(
        requests={} if request is None else {"cpu": Decimal(request)},
        limits={} if limit is None else {"cpu": Decimal(limit)},
        **more,
    )


def make_pod(*containers: Container, **more: Any) -> Pod:
    values = {"namespace_name": "web", "name": "p", "phase": "Running", **more}
    return Pod(containers=containers, **values)


def cpu_need(pod: Pod) -> str:
    return str(pod_need(pod)["requests.cpu"])


def test_containers_run_side_by_side() -> None:
    assert cpu_need(make_pod(make_container("1"), make_container("0.5"))) == "1.5"


def test_an_init_container_that_asks_for_more_decides() -> None:
    init = (make_container("3"), make_container("2"))
    assert cpu_need(make_pod(make_container("1"), init_containers=init)) == "3"


def test_a_sidecar_runs_beside_the_containers() -> None:
    init = (make_container("0.5", is_sidecar=True),)
    assert cpu_need(make_pod(make_container("1"), init_containers=init)) == "1.5"


def test_a_sidecar_counts_for_the_init_containers_after_it_only() -> None:
    sidecar = make_container("1", is_sidecar=True)
    before = make_pod(make_container("1"), init_containers=(make_container("3"), sidecar))
    after = make_pod(make_container("1"), init_containers=(sidecar, make_container("3")))
    assert (cpu_need(before), cpu_need(after)) == ("3", "4")


def test_overhead_comes_on_top() -> None:
    pod = make_pod(make_container("1"), overhead={"cpu": Decimal("0.25")})
    assert cpu_need(pod) == "1.25"


def test_what_the_pod_says_replaces_what_its_containers_say() -> None:
    pod = make_pod(
        make_container("1"),
        pod_requests={"cpu": Decimal(2)},
        pod_limits={"cpu": Decimal(4)},
        overhead={"cpu": Decimal("0.25")},
    )
    assert cpu_need(pod) == "2.25"
    assert pod_need(pod)["limits.cpu"] == Decimal("4.25")
    assert pod_need(pod)["requests.memory"] == 0


def test_a_container_with_a_limit_only_asks_for_as_much() -> None:
    assert cpu_need(make_pod(make_container(limit="2"))) == "2"
    assert cpu_need(make_pod(make_container("1", "2"))) == "1"
    assert pod_need(make_pod(make_container("1", "2")))["limits.cpu"] == 2


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_holds_no_quota(phase: str) -> None:
    done, waiting = make_pod(make_container("1"), phase=phase), make_pod(make_container("2"))
    assert total_need([done, waiting])["requests.cpu"] == 2
    assert total_need([]) == dict.fromkeys(
        ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory"), 0
    )


def make_range(**values: dict[str, str]) -> LimitRange:
    amounts = {
        name: {key: Decimal(amount) for key, amount in each.items()}
        for name, each in values.items()
    }
    return LimitRange(namespace_name="web", name="defaults", **amounts)


DEFAULTS = make_range(default_requests={"cpu": "0.25"}, default_limits={"cpu": "1"})


@pytest.mark.parametrize(
    ("container", "asked", "limit"),
    [
        (make_container(), "0.25", "1"),
        (make_container(limit="0.5"), "0.5", "0.5"),  # its own limit, not the default request
        (make_container("0.75"), "0.75", "1"),
        (make_container("0.75", "2"), "0.75", "2"),
    ],
)
def test_a_limit_range_gives_what_a_container_does_not_say(
    container: Container, asked: str, limit: str
) -> None:
    need = pod_need(with_defaults(make_pod(container), [DEFAULTS]))
    assert (str(need["requests.cpu"]), str(need["limits.cpu"])) == (asked, limit)


def test_a_default_limit_alone_is_the_request_too() -> None:
    need = pod_need(with_defaults(make_pod(Container()), [make_range(default_limits={"cpu": "1"})]))
    assert (need["requests.cpu"], need["limits.cpu"]) == (1, 1)


def test_each_container_must_say_what_a_quota_limits() -> None:
    pod = make_pod(make_container("1"), init_containers=(make_container(limit="1"),))
    assert refusal(pod, keys=["requests.cpu", "pods"]) == ""
    assert refusal(pod, keys=["requests.cpu", "limits.cpu"]) == "must specify limits.cpu"
    said = make_pod(Container(), pod_limits={"cpu": Decimal(1)})
    assert refusal(said, keys=["requests.cpu", "limits.cpu"]) == ""


@pytest.mark.parametrize(
    ("container", "bounds", "reason"),
    [
        (make_container("1", "4"), {"most": {"cpu": "2"}},
         "asks for more cpu than LimitRange defaults lets a container"),
        (make_container("1"), {"most": {"cpu": "2"}},
         "asks for more cpu than LimitRange defaults lets a container"),
        (make_container("0.1"), {"least": {"cpu": "0.5"}},
         "asks for less cpu than LimitRange defaults wants"),
        (make_container("2", "1"), {}, "requests more cpu than the default limit"),
        (make_container("1", "2"), {"most": {"cpu": "2"}, "least": {"cpu": "1"}}, ""),
    ],
)  # fmt: skip
def test_what_a_limit_range_does_not_let_in_is_refused(
    container: Container, bounds: dict[str, dict[str, str]], reason: str
) -> None:
    assert refusal(make_pod(container), keys=[], ranges=[make_range(**bounds)]) == reason
