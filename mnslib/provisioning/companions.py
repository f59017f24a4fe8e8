"""What makes a quota usable, beside ARM's own: defaults of containers, and a quota of objects.

A LimitRange and a ResourceQuota of ours in the Kubernetes namespace. Pure: what they shall be, and
in what they differ from what was read.

    >>> quota = map(read_quantity, ("1", "2", "1Gi", "4Gi"))
    >>> automatic(dict(zip(QUOTA_FIELDS, quota, strict=True)))
    '120m/240m 128Mi/512Mi'
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from mnslib.kube_models import LimitRange, QuotaStatus
from mnslib.models import QUOTA_FIELDS, Ensure, NamespaceSpec
from mnslib.quantities import ZERO, read_quantity
from mnslib.requests.cells import AUTO, REMOVED, limit_range_text, quota_text

NAMES = {"LimitRange": "mnslib-defaults", "ResourceQuota": "mnslib-companion"}
"""Name of ours, by kind. What bears another name is somebody else's, and left."""

COLUMNS = {"LimitRange": "limit_range", "ResourceQuota": "companion_quota"}
"""Column that asks for it, by kind."""

VERBS = ("create", "patch", "delete")
"""What both are written with. Source: Kubernetes, server-side apply: it makes and patches."""

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

    @property
    def defaults(self) -> tuple[dict[str, str], dict[str, str]]:
        """What the LimitRange gives as requests, and as limits."""
        cpu, most_cpu, memory, most_memory = re.split("[/ ]", self.after["limit_range"])
        return {"cpu": cpu, "memory": memory}, {"cpu": most_cpu, "memory": most_memory}

    def manifest(self, namespace_name: str) -> dict[str, Any]:
        """Return the object as it shall become, with no more in it than is ours to say."""
        if self.kind == "LimitRange":
            requests, limits = self.defaults
            item = {"type": "Container", "defaultRequest": requests, "default": limits}
            spec: dict[str, Any] = {"limits": [item]}
        else:
            spec = {"hard": {path[path.index("[") + 1 : -1]: it for path, it in self.after.items()}}
        metadata = {"name": NAMES[self.kind], "namespace": namespace_name}
        return {"apiVersion": "v1", "kind": self.kind, "metadata": metadata, "spec": spec}


def asked(spec: NamespaceSpec) -> list[str]:
    """Return the kinds of companion that a request says something of."""
    is_there = spec.ensure is Ensure.PRESENT
    return [kind for kind, column in COLUMNS.items() if is_there and getattr(spec, column)]


def planned(
    spec: NamespaceSpec,
    quota: Mapping[str, Decimal],
    ranges: Sequence[LimitRange],
    quotas: Iterable[QuotaStatus],
) -> Iterator[Companion]:
    """Yield the objects that a request changes, of those of a cluster.

    Args:
        quota: of the namespace once the request is carried out.
    """
    name, text = spec.id.namespace_name, spec.limit_range
    for kind, before in found(name, ranges, quotas).items():
        after = before
        if kind == "ResourceQuota":
            said = {f"companion_quota[{key}]": it for key, it in spec.companion_quota.items()}
            after = {path: it for path, it in {**before, **said}.items() if it is not None}
        elif text == REMOVED:
            after = {}
        elif text and not left_names(name, ranges):
            text = automatic(quota) if text == AUTO else text
            after = {"limit_range": text} if text else before
        if after != before and kind in asked(spec):
            yield Companion(kind=kind, before=before, after=after)


def found(
    namespace_name: str, ranges: Iterable[LimitRange], quotas: Iterable[QuotaStatus]
) -> dict[str, dict[str, str]]:
    """Return what ours of a namespace say, by kind, in the form of `Companion.before`."""
    sides: list[Mapping[str, Decimal]] = []
    for one in ranges:
        own = (one.namespace_name, one.name, one.kind)
        if own == (namespace_name, NAMES["LimitRange"], "Container"):
            sides = [one.default_requests, one.default_limits]
    amounts = [side.get(name, ZERO) for name in _RULES for side in sides]
    return {
        "LimitRange": {"limit_range": limit_range_text(amounts)} if amounts else {},
        "ResourceQuota": {
            f"companion_quota[{key}]": quota_text(key, amount)
            for one in quotas
            if (one.namespace_name, one.name) == (namespace_name, NAMES["ResourceQuota"])
            for key, amount in (one.asked or one.hard).items()
        },
    }


def automatic(quota: Mapping[str, Decimal]) -> str:
    """Return the LimitRange that suits a quota; empty where that lacks a value.

    A request is an eighth of the quota's, within the bounds; a limit is as many times that as the
    quota's limit is of its request. Both are rounded down, so that no limit is below its request.
    """
    if quota.keys() != set(QUOTA_FIELDS):
        return ""
    amounts = []
    for name, (step, least, most) in _RULES.items():
        requests, limits = quota[f"{name}_request"], quota[f"{name}_limit"]
        request = min(max(requests / _SHARE, least), most) // step * step
        ratio = limits / requests if requests else Decimal(1)
        amounts += [request, request * ratio // step * step]
    return limit_range_text(amounts)


def left_names(namespace_name: str, ranges: Iterable[LimitRange]) -> list[str]:
    """Return the LimitRanges of others that give containers a default: ours is not put beside."""
    others = (one for one in ranges if one.name != NAMES["LimitRange"])
    own = (one for one in others if one.namespace_name == namespace_name)
    return sorted(one.name for one in own if one.default_requests or one.default_limits)


def ranges_after(there: Iterable[LimitRange], changed: Iterable[Companion]) -> list[LimitRange]:
    """Return the LimitRanges that a namespace has once these objects are written."""
    ours, found = LimitRange(namespace_name="", name=NAMES["LimitRange"]), [*there]
    for one in changed:
        if one.kind == "LimitRange":
            found = [each for each in found if each.name != ours.name]
        if one.kind == "LimitRange" and one.after:
            sides = [{k: read_quantity(v) for k, v in side.items()} for side in one.defaults]
            found.append(replace(ours, default_requests=sides[0], default_limits=sides[1]))
    return found
