"""Pods by the library's arithmetic and by the sandbox's, which share nothing: they agree."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mnslib.pods import charge, with_defaults
from mnslib.sandbox.kube.arithmetic import default_requests
from mnslib.sandbox.kube.quotas import usage
from tests.unit.test_pod_cases import make_pod

AMOUNTS = {
    "cpu": ["0", "100m", "0.5", "1", "2500m", "1500u"],
    "memory": ["0", "64Mi", "100M", "1Gi", "1500000", "1e9"],
    "ephemeral-storage": ["1Gi", "2Gi"],
    "example.com/gpu": ["1", "2"],
}


def amounts(*names: str) -> st.SearchStrategy[dict[str, str]]:
    wanted = {name: st.sampled_from(AMOUNTS[name]) for name in names}
    return st.fixed_dictionaries({}, optional=wanted)


ASKED = st.fixed_dictionaries(
    {}, optional={"requests": amounts(*AMOUNTS), "limits": amounts(*AMOUNTS)}
)
COMPUTE = st.fixed_dictionaries(
    {}, optional={kind: amounts("cpu", "memory") for kind in ("requests", "limits")}
)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """Return a pod with sidecars, overhead, amounts of its own and a resize, or some of them."""
    count, inits = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    spec: dict[str, Any] = {
        "containers": [{"name": f"c{n}", "resources": draw(ASKED)} for n in range(count)],
        "initContainers": [{"name": f"i{n}", "resources": draw(ASKED)} for n in range(inits)],
    }
    for one in spec["initContainers"]:
        if draw(st.booleans()):
            one["restartPolicy"] = "Always"
    if draw(st.booleans()):
        spec["overhead"] = draw(amounts("cpu", "memory"))
    if draw(st.booleans()):
        spec["resources"] = draw(COMPUTE)
    status: dict[str, Any] = {"phase": "Running"}
    for key, of in (
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
    ):
        status[key] = [
            {
                "name": one["name"],
                "resources": draw(COMPUTE),
                "allocatedResources": draw(amounts("cpu", "memory")),
                "image": "x",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
            }
            for one in spec[of]
            if draw(st.booleans())
        ]
    reason = draw(st.sampled_from([None, "Infeasible", "Deferred"]))
    if reason:
        condition = {"type": "PodResizePending", "status": "True", "reason": reason}
        status["conditions"] = [condition]
    return {"metadata": {"name": "p", "namespace": "web"}, "spec": spec, "status": status}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(pods())
def test_the_library_and_the_sandbox_charge_a_pod_alike(pod: dict[str, Any]) -> None:
    as_asked = charge(with_defaults(make_pod(copy.deepcopy(pod["spec"])), ()))
    default_requests(pod)
    assert counted(pod | {"status": {}}) == plain(as_asked)
    assert counted(pod) == plain(charge(make_pod(copy.deepcopy(pod["spec"]), pod["status"])))


def counted(pod: dict[str, Any]) -> dict[str, Fraction]:
    return plain({key: amount.value for key, amount in usage("pods", pod, 0).items()})


def plain(found: Mapping[str, Any]) -> dict[str, Fraction]:
    """Return what is not 0: whether a zero is written down is no matter of the charge."""
    return {key: Fraction(value) for key, value in found.items() if value}
