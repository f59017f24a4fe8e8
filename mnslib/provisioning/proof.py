"""What is proven of a namespace, with nothing left behind: pods that are tried and not made.

Pure: what the server said is handed in; what each answer means, and its words, are in `words.yaml`.
A refusal that does not come from the quota proves nothing about it: "not provable" is an answer.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mnslib.kube_models import LimitRange, QuotaStatus
from mnslib.models import (
    MANAGED_POLICY_NAME,
    MANAGED_QUOTA_NAME,
    QUOTA_KEYS,
    ManagedNamespace,
    NetworkRule,
)
from mnslib.provisioning.changes import words
from mnslib.provisioning.rights import Held
from mnslib.quantities import format_cpu, read_quantity, server_text

_MORE_CORES = read_quantity("10m")
"""What the pod beyond the quota asks for more than that; our choice."""

_OVER, _UNSAID = "exceeded quota: ", "failed quota: "
"""How a quota refuses. Source: apiserver, resourcequota/controller.go, CheckRequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One thing that was tried: what, what came of it, why, and the server's own words.

    Attributes:
        key: `quota`, `bare`, `over`, `network` or `access`.
        state: `works`, `will be refused`, `not enforced`, `not yet effective`, `computed only`,
            `not provable`; `failed` alone contradicts what was asked for.
        about: whose access it is.
    """

    key: str
    name: str
    state: str
    why: str
    said: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What was tried and worked out of one namespace, and what was read for that.

    Attributes:
        rights: by principal what it may do.
        quotas: of the namespace; None where its cluster could not be asked.
        is_guarded: whether Deployment Safeguards change its pods.
        somebody: object id of one who has a role there and was asked; empty where nobody was.
    """

    proofs: tuple[Proof, ...]
    rights: Mapping[str, Sequence[Held]] = field(default_factory=dict)
    quotas: Sequence[QuotaStatus] | None = None
    ranges: Sequence[LimitRange] = ()
    is_guarded: bool = False
    somebody: str = ""

    @property
    def failed(self) -> list[Proof]:
        """Those that contradict what was asked for."""
        return [one for one in self.proofs if one.state == "failed"]


def trial_pod(
    namespace_name: str, template: Mapping[str, Any], *, beyond: Decimal | None = None
) -> dict[str, Any]:
    """Return a pod to try: without any resources, or with a little more CPU than some cores.

    Args:
        template: of a workload that only its resources can be refused for.
    """
    container = {k: v for k, v in template["spec"]["containers"][0].items() if k != "resources"}
    if beyond is not None:
        amounts = {"cpu": format_cpu(beyond + _MORE_CORES), "memory": "16Mi"}
        container["resources"] = {"requests": amounts, "limits": amounts}
    metadata = {"name": "mns-proof", "namespace": namespace_name}
    spec = {**template["spec"], "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def of_quota(asked: ManagedNamespace, quotas: Iterable[QuotaStatus]) -> Proof:
    """Return whether the cluster's quota says what was asked of Azure."""
    there = next((one.hard for one in quotas if one.name == MANAGED_QUOTA_NAME), {})
    other = [
        f"{key} {server_text(there[key]) if key in there else 'none'}, not {server_text(amount)}"
        for key, amount in ((QUOTA_KEYS[name], amount) for name, amount in asked.quota.items())
        if there.get(key) != amount
    ]
    return _proof("quota", "other_quota" if other else "same_quota", found="; ".join(other))


def of_bare_pod(
    said: str, ranges: Sequence[LimitRange], *, is_guarded: bool, has_defaults: bool = False
) -> Proof:
    """Return what comes of a pod that says nothing of resources.

    Args:
        said: what the server said to it; empty where it lets it in.
        is_guarded: whether Deployment Safeguards give it something.
        has_defaults: whether a LimitRange was asked for, so that it must be let in.
    """
    giving = sorted({one.name for one in ranges if one.default_requests or one.default_limits})
    why = "by_range" if giving else "by_safeguards" if is_guarded else "by_nothing"
    if said:
        unsaid = "not_given" if has_defaults else "unsaid"
        why = unsaid if _UNSAID in said else "full" if _OVER in said else "elsewhere"
    return _proof("bare", why, said, names=", ".join(giving) or "none")


def of_large_pod(said: str | None) -> Proof:
    """Return what comes of a pod that asks for more than the quota allows.

    Args:
        said: None where it was not tried, since no quota on CPU requests was asked for.
    """
    if said is None:
        return _proof("over", "no_quota")
    why = "let_in" if not said else "over" if _OVER in said else "elsewhere"
    return _proof("over", why, said)


def of_network(asked: ManagedNamespace, policies: Collection[str], engine: str | None) -> Proof:
    """Return whether the network policy is there, and an engine of the cluster enforces it."""
    why = "enforced" if engine else "no_engine"
    if {asked.ingress_policy, asked.egress_policy} <= {NetworkRule.ALLOW_ALL, None}:
        why = "open"
    elif MANAGED_POLICY_NAME not in policies:
        why = "no_policy"
    return _proof("network", why, policy=MANAGED_POLICY_NAME, engine=engine)


def of_access(principal: str, rights: Sequence[Held], *, asked_as: str) -> Proof:
    """Return whether a principal may do what its roles say, as far as it was asked.

    Args:
        asked_as: who was asked, else why nobody was.
    """
    asked = [held for held in rights if held.proven is not None]
    late = [held for held in asked if held.is_allowed and not held.proven]
    more = [held for held in asked if held.is_allowed is False and held.proven]
    why = "late" if late else "more" if more else "as_computed" if asked else "computed"
    names = ", ".join(held.right.name for held in late or more)
    facts = {
        "principal": principal,
        "about": principal,
        "as": asked_as,
        "number": len(asked),
        "names": names,
    }
    return _proof("access", why, late[0].said if late else "", **facts)


def numbers(found: Collection[Proven]) -> dict[str, int]:
    """Return how many proofs there are, how many failed or show nothing, and of how many rights.

    Nothing where nothing was proven.
    """
    states = Counter(one.state for proven in found for one in proven.proofs)
    held = [one for proven in found for rights in proven.rights.values() for one in rights]
    counts = {"proofs": states.total(), "proofs_failed": states["failed"]}
    counts["proofs_open"] = states.total() - states["failed"] - states["works"]
    counts["rights_proven"] = sum(one.proven is not None for one in held)
    return counts | {"rights_computed": len(held) - counts["rights_proven"]} if states else {}


def unasked(why: str, **facts: str) -> str:
    """Return in words why nobody was asked for a principal."""
    return str(words("proof")["unasked"][why].format_map(facts))


def unread(problem: str, *keys: str) -> tuple[Proof, ...]:
    """Return that these are not provable, since nobody could be asked."""
    return tuple(_proof(key, "unread", problem=problem, principal="the team") for key in keys)


def _proof(key: str, why: str, said: str = "", **facts: Any) -> Proof:
    told = words("proof")
    state, reason = told["answers"][why]
    return Proof(
        key=key,
        name=told["names"][key].format_map(facts),
        state=state,
        why=reason.format_map(facts),
        said=(said.partition(" is forbidden: ")[2] or said).rstrip("."),
        about=facts.get("about", ""),
    )
