"""What a real API server charged for 90 pods and how it refused them: the library says the same.

What only the server's validation says (422, 400), and priority classes that are not there, are no
matter of quotas and LimitRanges: the sandbox imitates those (tests/sandbox).
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.resources import core_v1

from mnslib.kube import objects
from mnslib.kube_models import LimitRange, Pod, QuotaStatus
from mnslib.pods import charge, holds, refusal, with_defaults
from mnslib.quantities import ZERO, read_quantity

FACTS = json.loads(
    (Path(__file__).parent.parent / "data" / "kubernetes-1.34-pod-cases.json").read_text("utf-8")
)
CASES = {case["name"]: case for case in FACTS["cases"]}
OVERHEADS = {
    "heavy": {
        name: read_quantity(text)
        for name, text in FACTS["about"]["runtime_class_heavy_overhead"].items()
    }
}
BEGIN = 'pods "p" is forbidden: '
NOT_READ = {"unknown-priority", "bad-quantity", "negative-request", "podlevel-below-containers"}
"""Refused for what is no matter of quota: a class that is not there, and amounts that cannot be."""


def make_pod(spec: dict[str, Any], status: dict[str, Any] | None = None) -> Pod:
    item = {"metadata": {"name": "p", "namespace": "web"}, "spec": spec, "status": status}
    return objects.pod(msgspec.convert(item, core_v1.Pod))


def ranges_of(case: dict[str, Any]) -> list[LimitRange]:
    found: list[LimitRange] = []
    for name, limits in case.get("limit_ranges_as_stored", {}).items():
        item = {"metadata": {"name": name, "namespace": "web"}, "spec": {"limits": limits}}
        found += objects.limit_range(msgspec.convert(item, core_v1.LimitRange))
    return found


def quotas_of(case: dict[str, Any], used: dict[str, Any]) -> list[QuotaStatus]:
    found = []
    for name, spec in case["quota_hard"].items():
        hard = case.get("hard_lowered_to", spec["hard"])
        item = {
            "metadata": {"name": name, "namespace": "web"},
            "spec": spec,
            "status": {"hard": hard, "used": used[name]},
        }
        found.append(objects.quota(msgspec.convert(item, core_v1.ResourceQuota)))
    return found


def as_it_ended(case: dict[str, Any]) -> Pod:
    """Return the pod of a case as it was when its quota was read."""
    spec, status = case["pod_spec"], dict(case["pod_status"] or {})
    if "resized_to_requests_limits" in case:
        requests, limits = case["resized_to_requests_limits"]
        container = spec["containers"][0] | {"resources": {"requests": requests, "limits": limits}}
        spec = spec | {"containers": [container, *spec["containers"][1:]]}
        status |= case.get("status_after_resize", {})
    return with_defaults(make_pod(spec, status), ranges_of(case), OVERHEADS)


def counted(pods: list[Pod], quota: QuotaStatus) -> dict[str, Decimal]:
    total = dict.fromkeys(quota.hard, ZERO)
    for pod in pods:
        if holds(quota, pod):
            need = charge(pod)
            for key in quota.hard:
                if pod.holds_quota or key.startswith("count/"):
                    total[key] += need.get(key, ZERO)
    return total


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case["real_refusal"]])
def test_it_charges_what_the_server_charged(name: str) -> None:
    case = CASES[name]
    pods = [as_it_ended(case)]
    if before := case.get("pod_before"):
        pods.append(make_pod(before))
    for quota in quotas_of(case, case["real_used"]):
        real = {key: read_quantity(text) for key, text in case["real_used"][quota.name].items()}
        if case.get("claims_made"):  # these count for no pod
            real = {key: ZERO for key in real}
        assert counted(pods, quota) == real


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_READ))
def test_it_decides_as_the_server_did_and_in_its_words(name: str) -> None:
    case = CASES[name]
    ranges = ranges_of(case)
    pod = with_defaults(make_pod(case["pod_spec"]), ranges, OVERHEADS)
    before = [make_pod(case["pod_before"])] if case.get("pod_before") else []
    quotas = quotas_of(case, case["real_used"])
    if not case["real_refusal"]:
        quotas = [replace(one, used=counted(before, one)) for one in quotas]
        assert refusal(pod, quotas, ranges) == ""
        return
    said = [refusal(pod, [one], ranges) for one in quotas]
    assert refusal(pod, quotas, ranges)
    if case["real_status_code"] == 403:  # of several that refuse, a server names any one
        assert case["real_refusal"].removeprefix(BEGIN) in said


def test_the_keys_that_must_be_said_come_before_those_that_are_exceeded() -> None:
    case = CASES["three-quotas-failed-wins"]
    quotas = quotas_of(case, case["real_used"])
    found = refusal(make_pod(case["pod_spec"]), quotas)
    assert BEGIN + found == case["real_refusal"]
