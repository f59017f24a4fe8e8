"""The team's page and first Deployment say what is known, and that the rest is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from mnslib.models import ManagedNamespace, NetworkRule
from mnslib.provisioning import proof
from mnslib.provisioning.proof import Proven
from mnslib.quantities import parse_quantity
from mnslib.resource_ids import ClusterId
from mnslib.show.handover import first_pod, handover_page, starter

NAMESPACE = ClusterId("s", "rg", "aks-1").namespace("team-a")
UNREAD = Proven(proofs=proof.unread("no answer", "quota", "bare", "over", "network", "access"))


def make_page(proven: Proven, **fields: Any) -> str:
    values: dict[str, Any] = {"id": NAMESPACE, "location": "westeurope", **fields}
    about = {"moment": datetime(2026, 12, 1, tzinfo=UTC), "sandbox": "", "run": "r"}
    return handover_page(ManagedNamespace(**values), first_pod(), proven, **about)


def test_what_could_not_be_read_is_unknown_on_the_page_and_in_the_starter() -> None:
    page = make_page(UNREAD, quota={"cpu_request": parse_quantity("2")})
    assert "2 cores requests, unknown limits" in page
    assert "How many of its 3 pods start is unknown: the quota could not be read." in page
    assert page.count("not provable") == 5
    assert "Access of the team" in page
    assert "exceeded quota" not in page
    text = starter(NAMESPACE, first_pod(), UNREAD)
    assert "# How many of its 3 pods start is unknown" in text


def test_outside_text_is_escaped_and_a_contradiction_is_the_headline() -> None:
    failed = proof.of_large_pod("")
    others = proof.unread("<b>", "quota", "bare", "network")
    page = make_page(Proven(proofs=(failed, *others)), labels={"owner": "<i>me</i>"})
    assert "team-a is there, and not as it was asked for" in page
    assert "<i>" not in page
    assert "Nobody could be asked: &lt;b&gt;" in page


def test_on_azure_the_page_says_what_signs_one_in() -> None:
    assert "az login" in make_page(UNREAD)


@pytest.mark.parametrize(
    ("state", "is_told"), [("works", True), ("not enforced", False), ("not provable", True)]
)
def test_a_call_is_said_to_be_stopped_only_where_something_may_stop_it(
    state: str, is_told: bool
) -> None:
    network = proof.Proof(key="network", name="Network policy", state=state, why="")
    proven = Proven(proofs=(network, *proof.unread("", "quota", "bare", "over")))
    page = make_page(proven, ingress_policy=NetworkRule.DENY_ALL)
    assert ("the connection times out" in page) is is_told
    assert ("nothing on this cluster enforces it" in page) is not is_told


def test_the_starter_passes_what_guards_deployments() -> None:
    """Source: AKS, "Deployment Safeguards"; Kubernetes, Pod Security Standards, restricted."""
    document = yaml.safe_load(starter(NAMESPACE, first_pod("100m", "1.5Gi")))
    assert (document["kind"], document["spec"]["replicas"]) == ("Deployment", 3)
    labels = document["spec"]["template"]["metadata"]["labels"]
    assert document["spec"]["selector"]["matchLabels"] == labels
    spec = document["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "1536Mi"},
        "limits": {"cpu": "200m", "memory": "3Gi"},
    }
    assert container["readinessProbe"]
    assert container["livenessProbe"]
    assert container["image"].partition(":")[2] not in ("", "latest")
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert spec["affinity"]["podAntiAffinity"]
    assert spec["topologySpreadConstraints"]
    assert not spec["automountServiceAccountToken"]
