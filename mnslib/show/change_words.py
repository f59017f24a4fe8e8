"""One change in plain words: what it does, line by line, and what its role assignments lack.

Only words; which changes there are, and in which order they stand, is the page's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnslib.errors import cut
from mnslib.models import BUILT_IN_ROLES, NAMESPACE_USER, QUOTA_FIELDS, ROLES_INSIDE
from mnslib.provisioning.changes import Change, FieldDifference
from mnslib.provisioning.plan import Plan
from mnslib.quantities import parse_quantity
from mnslib.results import ChangeKind
from mnslib.show import wording
from mnslib.show.displays import Callout

KIND_WORDS = {
    ChangeKind.CREATE: "create",
    ChangeKind.UPDATE: "update",
    ChangeKind.ADOPT: "adopt",
    ChangeKind.DELETE: "delete",
    ChangeKind.NO_CHANGE: "unchanged",
}

LONGEST_VALUE = 200
"""Characters of one value on a page; our choice. `plan.json` has all of them."""

_FIELDS = {
    "cpu_request": "CPU request",
    "cpu_limit": "CPU limit",
    "memory_request": "memory request",
    "memory_limit": "memory limit",
    "ingress_policy": "ingress",
    "egress_policy": "egress",
    "adoption_policy": "adoption policy",
    "delete_policy": "delete policy",
    "provisioning_state": "provisioning state",
}
_COUPLES = (
    {"cpu_request": "CPU", "cpu_limit": "limit"},
    {"memory_request": "memory", "memory_limit": "limit"},
    {"ingress_policy": "ingress", "egress_policy": "egress"},
    {"adoption_policy": "adoption policy", "delete_policy": "delete policy"},
)
"""What stands on one line of a new namespace, and how it is called there."""
_MAPPINGS = {"labels": "label", "annotations": "annotation", "tags": "tag"}


def verb(change: Change) -> str:
    """Return what is done to the namespace; to release one is to keep it in Kubernetes."""
    return "release" if change.is_release else KIND_WORDS[change.kind]


def lines(change: Change) -> list[str]:
    """Return what changes, one field, key or role assignment a line."""
    if change.kind is ChangeKind.DELETE:
        if verb(change) == "release":
            return ["Azure's resource goes; the Kubernetes namespace stays, unmanaged"]
        return ["the Kubernetes namespace goes too, with all that runs in it"]
    if change.kind is ChangeKind.UPDATE:
        return [_line(difference) for difference in change.differences]
    pairs = []
    for names in _COUPLES:
        both = [d for d in change.differences if d.path in names]
        pairs += [_together(both, names)] if both else []
    coupled = {path for couple in _COUPLES for path in couple}
    return pairs + [_line(d) for d in change.differences if d.path not in coupled]


def access_boxes(plan: Plan) -> list[Callout]:
    """Return what to know of the role assignments that the plan would make."""
    grants = [(change, grant) for change in plan.to_do for grant in change.grants]
    if not grants:
        return []
    principals = wording.count(len({grant.principal_id for _, grant in grants}), "object id")
    boxes = [
        Callout(
            title=f"{wording.count(len(grants), 'role assignment')} to {principals}: not verified",
            text="Whether somebody has such an id was not looked up, and Azure assigns a role to "
            "an id that nobody has. To see who it is: az ad group show --group <object id>",
        )
    ]
    closed = [
        f"{change.id.namespace_name}: {grant.principal_type.value.lower()} {grant.principal_id} "
        f"gets {_role(grant.role)} only"
        for change, grant in grants
        if grant.role in ROLES_INSIDE and not _may_fetch(plan, change, grant.principal_id)
    ]
    if closed:
        why = "That role acts inside the cluster; to get the kubeconfig takes namespace-user too:"
        text = "\n".join([why, wording.examples(closed, joint="\n")])
        title = f"{wording.count(len(closed), 'grant')} without namespace-user"
        boxes.append(Callout(title=title, text=text, tone="warning"))
    return boxes


def _may_fetch(plan: Plan, change: Change, principal_id: str) -> bool:
    """Return whether the principal has, or gets, Namespace User on the namespace or above."""
    if any((g.principal_id, g.role) == (principal_id, NAMESPACE_USER) for g in change.grants):
        return True
    wanted, scope = (principal_id, BUILT_IN_ROLES[NAMESPACE_USER]), f"{change.id}/".lower()
    return any(
        (principal, role) == wanted and scope.startswith(f"{held}/")
        for held, principal, role in plan.observed.grants
    )


def _together(both: Sequence[FieldDifference], names: Mapping[str, str]) -> str:
    """Return the line of a couple of new values, with the tier that they come from."""
    words = [f"{names[d.path]} {_shown(d.path, d.new)}" for d in both]
    tiers = {d.tier for d in both}
    if len(both) == 2 and len(tiers) == 1:
        return ", ".join(words) + "".join(f", both from tier {tier}" for tier in tiers if tier)
    return ", ".join(word + _from_tier(d) for word, d in zip(words, both, strict=True))


def _from_tier(difference: FieldDifference) -> str:
    return f" from tier {difference.tier}" if difference.tier else ""


def _line(difference: FieldDifference) -> str:
    return _words(difference) + _from_tier(difference)


def _words(difference: FieldDifference) -> str:
    path, new = difference.path, _shown(difference.path, difference.new)
    mapping, _, key = path.partition("[")
    if mapping == "access":
        kind, _, principal = key.removesuffix("]").partition(" ")
        return f"{_role(new)} for {kind.lower()} {principal}"
    name = f"{_MAPPINGS[mapping]} {key.removesuffix(']')}" if key else _FIELDS.get(path, path)
    if difference.operation == "add":
        return f"{name} = {new}" if key else f"{name} {new}"
    old = _shown(path, difference.old)
    return f"{name} removed (was {old})" if difference.new is None else f"{name} {old} → {new}"


def _role(full_name: str) -> str:
    return full_name.removeprefix("Azure Kubernetes Service ")


def _shown(path: str, value: str | None) -> str:
    # A report speaks of cores and GiB; plan.json has the text that ARM gets.
    if value is not None and path in QUOTA_FIELDS:
        return wording.quota(path, parse_quantity(value))
    # on one line, so that no text of others looks like a change of its own
    return cut(value, LONGEST_VALUE) if value else "–"
