"""What may happen to one managed namespace: the change, its field differences, its risks.

Pure: knows neither how the state was read nor how a change is made.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from mnslib import models
from mnslib.errors import Problem
from mnslib.models import POLICY_FIELDS, QUOTA_FIELDS, AccessGrant, ManagedNamespace, RoleAssignment
from mnslib.packaged import packaged
from mnslib.provisioning.companions import Companion
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import ChangeKind
from mnslib.secrets import HIDDEN, shown

OWNED_MAPPINGS = ("labels", "annotations", "tags")
_ORDER = {name: place for place, name in enumerate((*QUOTA_FIELDS, *POLICY_FIELDS))}


def words(section: str) -> dict[str, Any]:
    """Return a section of `words.yaml`: risks, checks, undo, problems, stale, refusals, ..."""
    return packaged("mnslib.provisioning", "words")[section]  # type: ignore[no-any-return]


def problem(
    spec: models.NamespaceSpec, column: str, what: str, facts: Mapping[str, Any]
) -> Problem:
    """Return what is wrong with a cell of a request, in the words of `words.yaml`."""
    told = words("problems")[what]
    known = {
        "name": spec.id.namespace_name,
        "where": f"cluster {spec.id.cluster.cluster_name}",
        **facts,
    }
    return Problem(
        file=spec.origin.file,
        row=spec.origin.row,
        column=column,
        message=told["says"].format_map(known),
        suggestion=told.get("write", "").format_map(known),
        cell=spec.origin.cell(column),
    )


class RiskName(StrEnum):
    """Risks that a run must name in `allow` before it may write."""

    ADOPTION = "adoption"
    FOREIGN_OWNER = "foreign-owner"
    DELETION = "deletion"
    DELETE_POLICY = "delete-policy"
    QUOTA_BELOW_USE = "quota-below-use"
    POLICY_TIGHTENED = "policy-tightened"
    KEYS_REMOVED = "keys-removed"
    MANY_CHANGES = "many-changes"
    OVERCOMMIT = "overcommit"
    ACCESS_REMOVED = "access-removed"
    ACCESS_GRANTED = "access-granted"
    POLICY_LOOSENED = "policy-loosened"
    OWNER_CHANGED = "owner-changed"
    LABELS_CHANGED = "labels-changed"
    REGISTER_PROVIDER = "register-provider"
    CREATE_CLUSTER = "create-cluster"
    ENABLE_AZURE_RBAC = "enable-azure-rbac"
    ADOPTION_MISSING_VALUES = "adoption-missing-values"
    ADOPTION_OVER_QUOTA = "adoption-over-quota"
    ADOPTION_ROLLOUT = "adoption-rollout"
    ADOPTION_AUTOSCALER = "adoption-autoscaler"
    ADOPTION_TRAFFIC = "adoption-traffic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """A named risk and, in a sentence, what it means for this namespace."""

    name: RiskName
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """One field that changes: `add`, `change` or `remove`, with its path and both values.

    A value that looks like a secret, such as somebody else's annotation, is hidden here.

    Attributes:
        tier: name of the tier that the new value comes from; empty where the request says it
            itself, and for what nobody asked for, such as a default.
    """

    operation: str
    path: str
    old: str | None
    new: str | None
    tier: str = ""

    @property
    def is_access(self) -> bool:
        """Whether it is a role assignment, nothing of the namespace itself."""
        return self.path.startswith("access[")

    @property
    def key(self) -> str:
        """The key of a mapping that the path names; empty for a field."""
        return self.path.partition("[")[2].removesuffix("]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a plan would do to one managed namespace.

    Attributes:
        before: as read; None where it does not exist in ARM.
        after: as it shall become, every field; None for a deletion.
        grants: role assignments that are missing and will be created.
        revoked: role assignments that will be deleted.
        kept: those at wider scopes by which the same principals keep the same roles.
        companions: objects in the Kubernetes namespace that are applied or deleted.
        is_begun: an earlier run sent it, and the service still works on it.
    """

    kind: ChangeKind
    id: ManagedNamespaceId
    before: ManagedNamespace | None = None
    after: ManagedNamespace | None = None
    differences: tuple[FieldDifference, ...] = ()
    risks: tuple[Risk, ...] = ()
    grants: tuple[AccessGrant, ...] = ()
    revoked: tuple[RoleAssignment, ...] = ()
    kept: tuple[RoleAssignment, ...] = ()
    companions: tuple[Companion, ...] = ()
    is_begun: bool = False

    @property
    def etag(self) -> str | None:
        """The eTag that was read with `before`."""
        return self.before.etag if self.before else None

    @property
    def is_release(self) -> bool:
        """Whether it leaves the Kubernetes namespace as it is, unmanaged."""
        policy = self.before.delete_policy if self.before else None  # ARM's counts
        return self.kind is ChangeKind.DELETE and policy != models.DeletePolicy.DELETE

    @property
    def writes_namespace(self) -> bool:
        """Whether ARM's managed namespace itself changes, not only who may use it."""
        beside = {path for one in self.companions for path in (*one.before, *one.after)}
        return any(not (d.is_access or d.path in beside) for d in self.differences)

    @property
    def risk_names(self) -> list[str]:
        """The names of its risks, each once, sorted."""
        return sorted({risk.name.value for risk in self.risks})


def by_cluster(changes: Iterable[Change]) -> dict[ClusterId, list[Change]]:
    """Return the changes of each cluster, in their order."""
    found: dict[ClusterId, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.id.cluster].append(change)
    return found


# A namespace as recorded and as comparable text

Image = Mapping[str, Any]
"""A managed namespace as `namespace_to_json` writes it."""


def namespace_to_json(
    namespace: ManagedNamespace | None, *, hide: bool = True
) -> dict[str, Any] | None:
    """Return the namespace in canonical form: what `plan.json` and the journal hold.

    What looks like a secret is hidden; only Azure gets it, as it was.
    """
    if namespace is None:
        return None
    quota = namespace.quota
    mappings = {name: sorted(getattr(namespace, name).items()) for name in OWNED_MAPPINGS}
    return {
        "id": str(namespace.id),
        "location": namespace.location,
        **{
            name: {key: shown(key, value) if hide else value for key, value in pairs}
            for name, pairs in mappings.items()
        },
        "default_resource_quota": {
            name: models.format_quota_value(name, quota[name])
            for name in QUOTA_FIELDS
            if name in quota
        },
        "default_network_policy": {
            "ingress": namespace.ingress_policy,
            "egress": namespace.egress_policy,
        },
        "adoption_policy": namespace.adoption_policy,
        "delete_policy": namespace.delete_policy,
        "etag": namespace.etag,
    }


def fields_in(image: Image | None) -> dict[str, str]:
    """Return every comparable field by path, in a stable order; nothing for no namespace."""
    if not image:
        return {}
    found = {
        **image["default_resource_quota"],
        **{f"{name}_policy": rule for name, rule in image["default_network_policy"].items()},
        **{name: image[name] for name in POLICY_FIELDS if name in image},
    }
    for name in sorted(OWNED_MAPPINGS):
        found |= {f"{name}[{key}]": value for key, value in sorted(image[name].items())}
    return {path: str(value) for path, value in found.items() if value is not None}


def fields_of(namespace: ManagedNamespace | None) -> dict[str, str]:
    """Return every comparable field, hidden ones too; quantities compare as numbers."""
    return fields_in(namespace_to_json(namespace, hide=False))


def _fingerprint(fields: Mapping[str, str]) -> str:
    """Return a digest of every comparable field; empty for none."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest() if fields else ""


def planned_item(change: Change) -> dict[str, Any]:
    """Return what a resumed run must know of a change, to write no other than the approved one."""
    item = {"id": str(change.id), "change": change.kind.value}
    if change.kind is ChangeKind.NO_CHANGE:
        return item
    before = _fingerprint(fields_of(change.before))
    revoked = [held.id.lower() for held in change.revoked]
    companions = [json.dumps(asdict(one), sort_keys=True) for one in change.companions]
    return {
        **item,
        "etag": change.etag,
        "before": before,
        "after": before if change.after == change.before else _fingerprint(fields_of(change.after)),
        "grants": [
            f"{grant.principal_type.value} {grant.principal_id}={grant.role_guid}"
            for grant in change.grants
        ],
        **({"revoked": revoked} if revoked else {}),
        **({"companions": companions} if companions else {}),
    }


def is_as_recorded(item: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Return whether such an item asks for no other than a change as `plan.json` holds it."""
    before, after = fields_in(line["before"]), fields_in(line["after"])
    roles = {f"{g['principal_type']} {g['principal_id']}={g['role_guid']}" for g in line["grants"]}
    roles |= {held["id"].lower() for held in line.get("revoked", ())}
    roles |= {json.dumps(one, sort_keys=True) for one in line.get("companions", ())}
    if item["change"] != line["change"]:
        return False
    if {one for name in ("grants", "revoked", "companions") for one in item.get(name, ())} - roles:
        return False
    if item["change"] == ChangeKind.NO_CHANGE or HIDDEN in {*before.values(), *after.values()}:
        return True  # what is hidden in the one is in the digest of the other
    known = _fingerprint(before), _fingerprint(after)
    return item["after"] == known[1] and item["before"] in known  # it may be planned once more


# Differences


def differences(
    before: ManagedNamespace | None, after: ManagedNamespace | None
) -> tuple[FieldDifference, ...]:
    """Return every field in which the two differ, in a stable order; empty for equals."""
    return () if before == after else tuple(compared(fields_of(before), fields_of(after)))


def compared(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[FieldDifference]:
    """Yield the difference of each field, by its path, that is not the same in both."""
    for path in sorted(old.keys() | new.keys(), key=lambda path: (_ORDER.get(path, 99), path)):
        if old.get(path) != new.get(path):
            yield FieldDifference(
                operation="add" if path not in old else "change" if path in new else "remove",
                path=path,
                old=old.get(path) and shown(path, old[path]),
                new=new.get(path) and shown(path, new[path]),
            )


def not_as_asked(
    change: Change, found: ManagedNamespace | None, *, asked: Iterable[str] = ()
) -> tuple[list[FieldDifference], list[FieldDifference]]:
    """Return in what a namespace is not as it was asked to become, and in what else not as sent.

    Asked is what was approved to differ. The rest is somebody else's: a policy may add a tag.

    Args:
        asked: paths of what is asked though it was so before.
    """
    paths = {_by_name(path) for path in (*asked, *(d.path for d in change.differences))}
    sent, seen = (
        {_by_name(path): value for path, value in fields_of(one).items()}
        for one in (change.after, found)
    )
    differing = list(compared(sent, seen))
    return [d for d in differing if d.path in paths], [d for d in differing if d.path not in paths]


def with_added(change: Change, over: ManagedNamespace | None) -> ManagedNamespace | None:
    """Return what is to be written over `over`: what was added to it since the plan stays."""
    after = change.after
    if after is None or over is None:
        return after
    known = {_by_name(path) for one in (change.before, after) for path in fields_of(one)}
    whole: dict[str, Any] = {}
    for name in OWNED_MAPPINGS:
        there = getattr(over, name)
        added = {key: there[key] for key in there if _by_name(f"{name}[{key}]") not in known}
        whole[name] = {**getattr(after, name), **added}
    return replace(after, **whole)


def without_added(change: Change, write: Mapping[str, Any]) -> Change:
    """Return the change as if nobody had added a key since a write of the journal was sent."""
    known = {_by_name(path) for side in ("before", "after") for path in fields_in(write[side])}

    def seen_then(now: ManagedNamespace | None) -> ManagedNamespace | None:
        if now is None:
            return None
        kept: dict[str, Any] = {
            name: {key: mapping[key] for key in mapping if _by_name(f"{name}[{key}]") in known}
            for name, mapping in ((name, getattr(now, name)) for name in OWNED_MAPPINGS)
        }
        return replace(now, **kept)

    return replace(change, before=seen_then(change.before), after=seen_then(change.after))


def _by_name(path: str) -> str:
    """Return a path as it compares: ARM tells names of tags apart without regard to case."""
    return path.lower() if path.startswith("tags[") else path


def access_difference(grant: AccessGrant, taken: Sequence[RoleAssignment] = ()) -> FieldDifference:
    """Return the difference that a role makes, assigned or, by these assignments, taken away."""
    # an object id is one principal's, and of which kind Azure knows
    told = next((held.principal_type for held in taken), "") or grant.principal_type.value
    path = f"access[{told} {grant.principal_id}]"
    if taken:
        return FieldDifference(operation="remove", path=path, old=grant.role, new=None)
    return FieldDifference(operation="add", path=path, old=None, new=grant.role)


def with_tier_named(
    found: Iterable[FieldDifference], spec: models.NamespaceSpec
) -> tuple[FieldDifference, ...]:
    """Return the differences of a new namespace; what its request has from its tier says so."""
    given = mentioned(spec.in_full) - mentioned(spec)
    return tuple(replace(d, tier=spec.tier) if _place(d) in given else d for d in found)


def _place(difference: FieldDifference) -> str:
    if not difference.is_access:
        return difference.path
    # one principal may get several roles, each of them a difference; of what kind it is Azure says
    return f"{difference.key.rpartition(' ')[2]} {difference.old} {difference.new}"


def mentioned(spec: models.NamespaceSpec) -> set[str]:
    """Return the path of everything that a request itself says something of."""
    return {
        *spec.quota,
        *(name for name in POLICY_FIELDS if getattr(spec, name) is not None),
        *(f"{mapping}[{key}]" for mapping in OWNED_MAPPINGS for key in getattr(spec, mapping)),
        *(["limit_range"] if spec.limit_range else ()),
        *(f"companion_quota[{key}]" for key in spec.companion_quota),
        *(f"{grant.principal_id} None {grant.role}" for grant in spec.access),
        *(f"{grant.principal_id} {grant.role} None" for grant in spec.revoked),
    }
