"""What a team is handed: a page in its own words, and a Deployment to begin with.

Nothing in them is secret, and nothing needs an address outside. How many pods start is worked out
of the quota as it was read; the words are in `templates/handover.*.j2` and `starter.txt.j2`.
"""

from datetime import datetime
from typing import Any

from mnslib.kube_models import Container, Pod
from mnslib.models import ManagedNamespace
from mnslib.pods import let_in, with_defaults
from mnslib.provisioning.proof import Proven
from mnslib.quantities import in_form, read_quantity
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.show import wording
from mnslib.show.displays import tag
from mnslib.show.html import page
from mnslib.show.templates import render, sentence
from mnslib.show.views import figures

REPLICAS = 3
POD = {"cpu": "250m", "memory": "256Mi"}
"""What one pod of the starter requests unless it is said; its limits are twice that."""


def first_pod(cpu: str = "", memory: str = "") -> Pod:
    """Return a pod of the starter, by what it requests."""
    said = {"cpu": cpu or POD["cpu"], "memory": memory or POD["memory"]}
    amounts = {name: read_quantity(text) for name, text in said.items()}
    twice = {name: in_form(amount * 2, like=amount) for name, amount in amounts.items()}
    container = Container(name="app", requests=amounts, limits=twice)
    return Pod(namespace_name="", name="", phase="Pending", containers=(container,))


def starter(namespace: ManagedNamespaceId, pod: Pod, proven: Proven | None = None) -> str:
    """Return the Deployment that a team begins with, as YAML with what is foreseen of it."""
    return render("starter.txt.j2", id=namespace, **_foreseen(pod, proven))


def _foreseen(pod: Pod, proven: Proven | None) -> dict[str, Any]:
    """Return the starter's pod, and how many of them are let in, None where that is unknown."""
    found: dict[str, Any] = {"replicas": REPLICAS, "pod": pod.containers[0], "fits": None}
    if proven is not None and proven.quotas is not None:
        pod = with_defaults(pod, proven.ranges, is_guarded=proven.is_guarded)
        found["fits"] = let_in(pod, REPLICAS, proven.quotas, proven.ranges)
    return found


def handover_page(
    asked: ManagedNamespace, pod: Pod, proven: Proven, *, moment: datetime, sandbox: str, run: str
) -> str:
    """Return the page of a namespace for the team that has it.

    Args:
        sandbox: the badge; empty on Azure.
        run: name of the run's directory.
    """
    facts: dict[str, Any] = {
        "asked": asked,
        "proven": proven,
        "proofs": {proof.key: proof for proof in proven.proofs},
        "states": {proof: tag(proof.state) for proof in proven.proofs},
        "is_sandbox": bool(sandbox),
        **_foreseen(pod, proven),
    }
    return page(
        what="Hand-over",
        scope=f"{asked.id.namespace_name} on {asked.id.cluster.cluster_name}",
        sandbox=sandbox,
        moment=wording.moment(moment),
        headline=sentence("handover.txt.j2", "headline", facts),
        lead=sentence("handover.txt.j2", "lead", facts),
        figures=figures("handover", **facts),
        body=render("handover.html.j2", **facts),
        footer=sentence("handover.txt.j2", "footer", run),
    )
