"""What makes a quota usable, beside ARM's own: defaults of containers, and a quota of objects.

A LimitRange and a ResourceQuota of ours in the Kubernetes namespace. Pure: what they shall be, and
in what they differ from what was read.

    >>> quota = map(read_quantity, ("1", "2", "1Gi", "4Gi"))
    >>> automatic(dict(zip(QUOTA_FIELDS, quota, strict=True)))
    '120m/240m 128Mi/512Mi'
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mnslib.kube_models import LimitRange, QuotaStatus
from mnslib.models import QUOTA_FIELDS, Ensure, NamespaceSpec
from mnslib.quantities import read_quantity
from mnslib.requests.cells import AUTO, REMOVED, limit_range_text, quota_text

NAMES = {"LimitRange": "mnslib-defaults", "ResourceQuota": "mnslib-companion"}
"""Name of ours, by kind. What bears another name is somebody else's, and left."""

COLUMNS = {"LimitRange": "limit_range", "ResourceQuota": "companion_quota"}
"""Column that asks for it, by kind."""

OTHERWISE = "of another form"
"""What a LimitRange of ours says that somebody has edited so that no request can ask for it."""

_SHARE = 8
_RULES = {
    "cpu": [read_quantity(text) for text in ("10m", "50m", "250m")],
    "memory": [read_quantity(text) for text in ("16Mi", "64Mi", "256Mi")],
}
"""Of `auto`: so many containers fit in a quota, in such steps, between such bounds. Our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One of the two objects, and what becomes of it.

    Attributes:
        before, after: text as a cell has it by the path of a difference, `limit_range` or
            `companion_quota[pods]`; empty where there is no object.
    """

    kind: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    def manifest(self, namespace_name: str) -> dict[str, Any]:
        """Return the object as it shall become, with no more in it than is ours to say."""
        if self.kind == "LimitRange":
            cpu, most_cpu, memory, most_memory = _parts(self.after["limit_range"])
            requests = {"cpu": cpu, "memory": memory}
            limits = {"cpu": most_cpu, "memory": most_memory}
            item = {"type": "Container", "defaultRequest": requests, "default": limits}
            spec: dict[str, Any] = {"limits": [item]}
        else:
            spec = {"hard": {path[path.index("[") + 1 : -1]: it for path, it in self.after.items()}}
        metadata = {"name": NAMES[self.kind], "namespace": namespace_name}
        return {"apiVersion": "v1", "kind": self.kind, "metadata": metadata, "spec": spec}


def ranges_after(there: Iterable[LimitRange], changed: Iterable[Companion]) -> list[LimitRange]:
    """Return the LimitRanges that a namespace has once these objects are written."""
    found, name = list(there), NAMES["LimitRange"]
    for one in changed:
        if one.kind != "LimitRange":
            continue
        found = [each for each in found if each.name != name]
        if one.after:
            cpu, most_cpu, memory, most_memory = map(
                read_quantity, _parts(one.after["limit_range"])
            )
            given = LimitRange(
                namespace_name="",
                name=name,
                default_requests={"cpu": cpu, "memory": memory},
                default_limits={"cpu": most_cpu, "memory": most_memory},
            )
            found.append(given)
    return found


def _parts(text: str) -> list[str]:
    """Return the four amounts of a LimitRange's text, in the order of `QUOTA_FIELDS`."""
    return re.split("[/ ]", text)


def verbs(spec: NamespaceSpec) -> dict[str, tuple[str, ...]]:
    """Return what a request needs to be allowed, by kind of the object that it asks for."""
    found: dict[str, tuple[str, ...]] = {}
    if spec.ensure is Ensure.ABSENT:
        return found
    if spec.limit_range:
        found["LimitRange"] = ("delete",) if spec.limit_range == REMOVED else ("create", "patch")
    if spec.companion_quota:
        is_set = any(amount is not None for amount in spec.companion_quota.values())
        is_cut = None in spec.companion_quota.values()  # the last key takes the object along
        found["ResourceQuota"] = (*("create", "patch") * is_set, *("patch", "delete") * is_cut)
    return found


def planned(
    spec: NamespaceSpec,
    quota: Mapping[str, Decimal],
    ranges: Iterable[LimitRange],
    quotas: Iterable[QuotaStatus],
) -> Iterator[Companion]:
    """Yield the objects that a request changes.

    Args:
        quota: of the namespace, once the request is carried out.
        ranges, quotas: those of the cluster.
    """
    name, asked = spec.id.namespace_name, verbs(spec)
    for kind, before in found(name, ranges, quotas).items():
        after = before
        if kind == "LimitRange" and kind in asked and not _is_left(spec, ranges):
            text = automatic(quota) if spec.limit_range == AUTO else spec.limit_range
            after = {} if text == REMOVED else {"limit_range": text}
        elif kind == "ResourceQuota" and kind in asked:
            said = {f"companion_quota[{key}]": it for key, it in spec.companion_quota.items()}
            after = {path: it for path, it in {**before, **said}.items() if it is not None}
        if after != before:
            yield Companion(kind=kind, before=before, after=after)


def found(
    namespace_name: str, ranges: Iterable[LimitRange], quotas: Iterable[QuotaStatus]
) -> dict[str, dict[str, str]]:
    """Return what ours of a namespace say, by kind, in the form of `Companion.before`."""
    own, hard = NAMES["LimitRange"], NAMES["ResourceQuota"]
    parts = [one for one in ranges if (one.namespace_name, one.name) == (namespace_name, own)]
    return {
        "LimitRange": {"limit_range": _text(parts)} if parts else {},
        "ResourceQuota": {
            f"companion_quota[{key}]": quota_text(key, amount)
            for one in quotas
            if (one.namespace_name, one.name) == (namespace_name, hard)
            for key, amount in (one.asked or one.hard).items()
        },
    }


def _text(parts: list[LimitRange]) -> str:
    """Return what a LimitRange of ours says, if a request can ask for it."""
    one = parts[0]
    sides, names = (one.default_requests, one.default_limits), ("cpu", "memory")
    is_ours = len(parts) == 1 and one.kind == "Container" and set(names) == {*sides[0], *sides[1]}
    amounts = [side[name] for name in names for side in sides if name in side]
    if len(amounts) != len(QUOTA_FIELDS) or not is_ours or one.least or one.most or one.most_ratio:
        return OTHERWISE
    return limit_range_text(amounts)


def automatic(quota: Mapping[str, Decimal]) -> str:
    """Return the LimitRange that suits a quota, which has all four values.

    A request is an eighth of the quota's, within the bounds; a limit is as many times that as the
    quota's limit is of its request. Both are rounded down, so that no limit is below its request.
    """
    amounts = []
    for name, (step, least, most) in _RULES.items():
        requests, limits = quota[f"{name}_request"], quota[f"{name}_limit"]
        request = min(max(requests / _SHARE, least), most) // step * step
        ratio = limits / requests if requests else Decimal(1)
        amounts += [request, request * ratio // step * step]
    return limit_range_text(amounts)


def left_names(namespace_name: str, ranges: Iterable[LimitRange]) -> list[str]:
    """Return the LimitRanges of others that give containers a default: ours is not put beside."""
    return sorted(
        one.name
        for one in ranges
        if one.namespace_name == namespace_name
        and one.name != NAMES["LimitRange"]
        and (one.default_requests or one.default_limits)
    )


def _is_left(spec: NamespaceSpec, ranges: Iterable[LimitRange]) -> bool:
    name = spec.id.namespace_name
    return spec.limit_range != REMOVED and bool(left_names(name, ranges))


def limit_ranges_after(
    spec: NamespaceSpec, quota: Mapping[str, Decimal], ranges: Iterable[LimitRange]
) -> tuple[LimitRange, ...]:
    """Return a namespace's LimitRanges as they are once its request is carried out.

    Args:
        spec: of a namespace that is new, `in_full`.
        quota: as it is then.
        ranges: those that are there, of this namespace or of all.
    """
    name = spec.id.namespace_name
    there = tuple(one for one in ranges if one.namespace_name == name)
    for one in planned(spec, quota, there, ()):
        if one.kind == "LimitRange":
            there = tuple(other for other in there if other.name != NAMES[one.kind])
            if one.after:
                cpu, most_cpu, memory, most_memory = map(
                    read_quantity, _parts(one.after["limit_range"])
                )
                ours = LimitRange(
                    namespace_name=name,
                    name=NAMES[one.kind],
                    default_requests={"cpu": cpu, "memory": memory},
                    default_limits={"cpu": most_cpu, "memory": most_memory},
                )
                there = (*there, ours)
    return there
