"""What a team is handed: a page in its own words, and a Deployment to begin with.

Nothing in them is secret, and nothing needs an address outside. How many pods start is worked out
of the quota as it was read; the words are in `templates/handover.*.j2` and `starter.yaml.j2`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mnslib.kube_models import Container, Pod
from mnslib.models import ManagedNamespace
from mnslib.pods import let_in, with_defaults
from mnslib.provisioning.proof import Proven
from mnslib.quantities import in_form, read_quantity, server_text
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.show import wording
from mnslib.show.displays import tag
from mnslib.show.html import page
from mnslib.show.templates import render, sentence
from mnslib.show.views import figures

REPLICAS = 3
POD = {"cpu": "250m", "memory": "256Mi"}
"""What one pod of the starter requests unless it is said; its limits are twice that."""

Size = Mapping[str, Mapping[str, str]]


def pod_size(cpu: str = "", memory: str = "") -> Size:
    """Return requests and limits of the starter's pods, as Kubernetes writes them."""
    amounts = {"cpu": read_quantity(cpu or POD["cpu"])}
    amounts["memory"] = read_quantity(memory or POD["memory"])
    twice = {name: in_form(amount * 2, like=amount) for name, amount in amounts.items()}
    return {
        kind: {name: server_text(amount) for name, amount in found.items()}
        for kind, found in {"requests": amounts, "limits": twice}.items()
    }


def fitting(proven: Proven, size: Size) -> tuple[int, str] | None:
    """Return how many of the starter's pods are let in, and what refuses the next of them.

    None where the quota could not be read.
    """
    if proven.quotas is None:
        return None
    amounts = {k: {n: read_quantity(one) for n, one in part.items()} for k, part in size.items()}
    container = Container(name="app", requests=amounts["requests"], limits=amounts["limits"])
    pod = Pod(namespace_name="", name="", phase="Pending", containers=(container,))
    pod = with_defaults(pod, proven.ranges, is_guarded=proven.is_guarded)
    return let_in(pod, REPLICAS, proven.quotas, proven.ranges)


def starter(
    namespace: ManagedNamespaceId, size: Size | None = None, fits: tuple[int, str] | None = None
) -> str:
    """Return the Deployment that a team begins with, as YAML with what is foreseen of it."""
    return render(
        "starter.yaml.j2",
        namespace=namespace.namespace_name,
        cluster=namespace.cluster.cluster_name,
        replicas=REPLICAS,
        pod=size or pod_size(),
        fits=fits,
    )


def handover_page(
    asked: ManagedNamespace, proven: Proven, *, size: Size, moment: datetime, **about: str
) -> str:
    """Return the page of a namespace for the team that has it.

    Args:
        about: `sandbox` (the badge; empty on Azure) and `run`, the name of the run's directory.
    """
    facts: dict[str, Any] = {
        "asked": asked,
        "proven": proven,
        "proofs": {proof.key: proof for proof in proven.proofs},
        "people": [
            (proof, tag(proof.state), proven.rights[proof.about])
            for proof in proven.proofs
            if proof.about
        ],
        "tags": {proof.key: tag(proof.state) for proof in proven.proofs},
        "fits": fitting(proven, size),
        "replicas": REPLICAS,
        "pod": size,
        "is_sandbox": bool(about["sandbox"]),
    }
    return page(
        what="Hand-over",
        scope=f"{asked.id.namespace_name} on {asked.id.cluster.cluster_name}",
        sandbox=about["sandbox"],
        moment=wording.moment(moment),
        headline=sentence("handover.txt.j2", "headline", facts),
        lead=sentence("handover.txt.j2", "lead", facts),
        figures=figures("handover", **facts),
        body=render("handover.html.j2", **facts),
        footer=sentence("handover.txt.j2", "footer", about["run"]),
    )
