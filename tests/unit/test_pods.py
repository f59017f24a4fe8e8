"""A pod counts for what Kubernetes' scheduler and quota admission would count."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mnslib.kube_models import Container, LimitRange, Pod, QuotaStatus, Scope
from mnslib.pods import charge, holds, let_in, refusal, total_charge, with_defaults
from mnslib.quantities import read_quantity


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
    return str(charge(pod)["requests.cpu"])


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
    assert charge(pod)["limits.cpu"] == Decimal("4.25")
    assert charge(pod)["requests.memory"] == 0


def test_a_container_with_a_limit_only_asks_for_as_much() -> None:
    assert cpu_need(make_pod(make_container(limit="2"))) == "2"
    assert cpu_need(make_pod(make_container("1", "2"))) == "1"
    assert charge(make_pod(make_container("1", "2")))["limits.cpu"] == 2


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_holds_no_quota(phase: str) -> None:
    done, waiting = make_pod(make_container("1"), phase=phase), make_pod(make_container("2"))
    assert total_charge([done, waiting])["requests.cpu"] == 2
    assert total_charge([]) == dict.fromkeys(
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
    need = charge(with_defaults(make_pod(container), [DEFAULTS]))
    assert (str(need["requests.cpu"]), str(need["limits.cpu"])) == (asked, limit)


def test_a_default_limit_alone_is_the_request_too() -> None:
    need = charge(with_defaults(make_pod(Container()), [make_range(default_limits={"cpu": "1"})]))
    assert (need["requests.cpu"], need["limits.cpu"]) == (1, 1)


def make_quota(*keys: str, used: str = "0", hard: str = "4", **more: Any) -> QuotaStatus:
    amounts = dict.fromkeys(keys, Decimal(used))
    limits = dict.fromkeys(keys, Decimal(hard))
    return QuotaStatus(namespace_name="web", name="q", hard=limits, used=amounts, **more)


def test_each_container_must_say_what_a_quota_limits() -> None:
    setup = make_container(limit="1", name="setup")
    pod = make_pod(make_container("1", name="app"), init_containers=(setup,))
    assert refusal(pod, [make_quota("requests.cpu", "cpu", "pods")]) == ""
    found = refusal(pod, [make_quota("limits.cpu", "cpu", "limits.memory")])
    assert found == (
        "failed quota: q: must specify limits.cpu for: app; limits.memory for: app,setup"
    )
    said = make_pod(Container(), pod_limits={"cpu": Decimal(1)})  # whatever it says of itself
    assert refusal(said, [make_quota("limits.cpu", "limits.memory")]) == ""


@pytest.mark.parametrize(
    ("container", "bounds", "reason"),
    [
        (make_container("1", "4"), {"most": {"cpu": "2"}},
         "maximum cpu usage per Container is 2, but limit is 4"),
        (make_container("1"), {"most": {"cpu": "2"}},
         "maximum cpu usage per Container is 2.  No limit is specified"),
        (make_container("0.1"), {"least": {"cpu": "0.5"}},
         "minimum cpu usage per Container is 500m, but request is 100m"),
        (make_container(), {"least": {"cpu": "1"}},
         "minimum cpu usage per Container is 1.  No request is specified"),
        (make_container("0", "1"), {"most_ratio": {"cpu": "2"}},
         "cpu max limit to request ratio per Container is 2, "
         "but no request is specified or request is 0"),
        (make_container("1"), {"most_ratio": {"cpu": "2"}},
         "cpu max limit to request ratio per Container is 2, "
         "but no limit is specified or limit is 0"),
        (make_container("2", "1"), {}, "requests more cpu than the default limit"),
        (make_container("1", "2"), {"most": {"cpu": "2"}, "least": {"cpu": "1"}}, ""),
    ],
)  # fmt: skip
def test_what_a_limit_range_does_not_let_in_is_refused(
    container: Container, bounds: dict[str, dict[str, str]], reason: str
) -> None:
    assert refusal(make_pod(container), [], [make_range(**bounds)]) == reason


def test_of_several_containers_those_that_run_are_told_first_and_each_text_once() -> None:
    least = make_range(least={"cpu": "1"})
    init = (make_container("0.1"),)
    pod = make_pod(make_container("0.5"), make_container("0.5"), init_containers=init)
    begin = "minimum cpu usage per Container is 1, but request is"
    assert refusal(pod, [], [least]) == f"[{begin} 500m, {begin} 100m]"


def test_a_limit_range_of_pods_counts_sidecars_and_no_overhead() -> None:
    pod = make_pod(
        make_container("1", "1"),
        init_containers=(make_container("1", "1", is_sidecar=True),),
        overhead={"cpu": Decimal(1)},
        runtime_class="kata",
    )
    of_pods = replace(make_range(most={"cpu": "2"}), kind="Pod")
    assert refusal(pod, [], [of_pods]) == ""
    of_pods = replace(make_range(most={"cpu": "1.5"}), kind="Pod")
    assert refusal(pod, [], [of_pods]) == "maximum cpu usage per Pod is 1500m, but limit is 2"
    of_claims = replace(of_pods, kind="PersistentVolumeClaim")
    assert refusal(pod, [], [of_claims]) == ""


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        (Scope(name="PriorityClass"), "gold"),
        (Scope(name="PriorityClass", operator="In", values=("gold",)), "gold"),
        (Scope(name="PriorityClass", operator="NotIn", values=("gold",)), "bare late near quick"),
        (Scope(name="PriorityClass", operator="DoesNotExist"), "bare late near quick"),
        (Scope(name="Terminating"), "late"),
        (Scope(name="NotTerminating"), "bare gold near quick"),
        (Scope(name="BestEffort"), "bare late near"),
        (Scope(name="NotBestEffort"), "gold quick"),
        (Scope(name="CrossNamespacePodAffinity"), "near"),
        (Scope(name="VolumeAttributesClass"), ""),
    ],
)
def test_a_quota_counts_the_pods_of_its_scopes(scope: Scope, counts: str) -> None:
    pods = {
        "bare": make_pod(make_container("0")),
        "gold": make_pod(make_container("1"), priority_class="gold"),
        "late": make_pod(Container(), has_deadline=True),
        "near": make_pod(Container(), crosses_namespaces=True),
        "quick": make_pod(Container(), pod_requests={"cpu": Decimal(1)}),
    }
    quota = make_quota("pods", is_scoped=True, scopes=(scope,))
    assert [name for name, pod in pods.items() if holds(quota, pod)] == counts.split()


def test_a_pod_counts_until_it_has_ended_or_was_to_be_gone() -> None:
    pods = [make_pod(make_container("1")), make_pod(make_container("2"), is_past_grace=True)]
    assert total_charge(pods)["requests.cpu"] == 1
    assert [pod.is_finished for pod in pods] == [False, False]


def test_a_value_over_its_quota_refuses_only_who_needs_more_of_it() -> None:
    quota = make_quota("requests.cpu", used="5", hard="4")
    assert refusal(make_pod(make_container("0")), [quota]) == ""
    assert refusal(make_pod(make_container("1")), [quota]) == (
        "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=5, "
        "limited: requests.cpu=4"
    )


def test_requests_of_the_pod_are_settled_before_a_limit_range_gives_any() -> None:
    pod = make_pod(Container(), pod_limits={"cpu": Decimal(2)})
    assert charge(with_defaults(pod, [DEFAULTS]))["requests.cpu"] == 2


def test_equal_pods_are_let_in_until_a_quota_refuses_the_next_as_the_server_would() -> None:
    amounts = {"requests.memory": read_quantity("512Mi"), "requests.cpu": read_quantity("1")}
    none = {name: read_quantity("0") for name in amounts}
    quota = QuotaStatus(namespace_name="web", name="q", hard=amounts, used=none)
    other = replace(quota, name="best", hard={"pods": Decimal(1)}, used={"pods": Decimal(0)},
                    is_scoped=True, scopes=(Scope(name="BestEffort"),))  # fmt: skip
    size = {"cpu": read_quantity("250m"), "memory": read_quantity("256Mi")}
    pod = make_pod(Container(requests=size, limits=size))
    assert let_in(pod, 2, [quota, other]) == (2, "")
    assert let_in(pod, 3, [quota, other]) == (
        2,
        "exceeded quota: q, requested: requests.memory=256Mi, used: requests.memory=512Mi, "
        "limited: requests.memory=512Mi",
    )
    assert let_in(make_pod(Container()), 3, [quota])[0] == 0
