"""The kinds of object that a cluster's API server lists, by API version: kinds.yaml, read once.

Knows no request. An object lies in the store under its plural, in the form of one API version;
`outward` and `inward` change it to and from the others that serve it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

_VERBS = "create delete deletecollection get list patch update watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object as one API version serves it; `store` is the version it is kept in."""

    plural: str
    word: str
    version: str
    store: str
    short: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: tuple[str, ...]
    fields: tuple[str, ...]
    generation: bool
    frozen: bool

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.version.rpartition("/")[0]

    @property
    def full_name(self) -> str:
        """The plural with its API group, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def details(self, name: str) -> Json:
        """Return the details of a refusal about an object of this kind."""
        return {"name": name, **({"group": self.group} if self.group else {}), "kind": self.plural}


@cache
def served() -> dict[str, dict[str, Kind]]:
    """Return the kinds by API version and plural, in the order of discovery."""
    table = packaged("kube/kinds.yaml")["versions"]
    return {
        version: {plural: _kind(version, plural, row) for plural, row in rows.items()}
        for version, rows in table.items()
    }


def _kind(version: str, plural: str, row: Json) -> Kind:
    return Kind(
        plural=plural,
        word=row["kind"],
        version=version,
        store=row.get("store", version),
        short=tuple(row.get("short", "").split()),
        namespaced=not row.get("cluster"),
        verbs=tuple(row.get("verbs", _VERBS).split()),
        categories=("all",) if row.get("all") else (),
        subresources=tuple(row.get("sub", "").split()),
        fields=tuple(row.get("fields", "").split()),
        generation=bool(row.get("generation")),
        frozen=bool(row.get("frozen")),
    )


def kind_of(plural: str, version: str = "") -> Kind | None:
    """Return a kind as this API version serves it; without one, as it is stored."""
    versions = [version] if version else list(served())
    found = (served().get(one, {}).get(plural) for one in versions)
    return next((kind for kind in found if kind and (version or kind.store == kind.version)), None)


def known(plural: str) -> Kind:
    """Return a kind that is in the table, as it is stored."""
    found = kind_of(plural)
    if found is None:
        raise KeyError(plural)
    return found


# the forms of one stored object

_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def outward(kind: Kind, doc: Json) -> Json:
    """Return a stored object in the form of the API version that is asked for."""
    if kind.version == kind.store:
        return doc
    if kind.plural == "events":
        return _renamed(doc, _EVENT_NAMES) | {"apiVersion": kind.version}
    return doc | {
        "apiVersion": kind.version,
        "spec": _without_metrics(doc.get("spec", {})),
        "status": _without_metrics(doc.get("status", {})),
    }


def inward(kind: Kind, doc: Json) -> Json:
    """Return an object in the form in which it is stored."""
    if kind.version == kind.store:
        return doc
    if kind.plural == "events":
        names = {there: here for here, there in _EVENT_NAMES.items()}
        return _renamed(doc, names) | {"apiVersion": kind.store}
    stored = doc | {"apiVersion": kind.store}
    if isinstance(spec := doc.get("spec"), dict):
        stored["spec"] = _with_metrics(spec)
    return stored


def _renamed(doc: Json, names: dict[str, str]) -> Json:
    return {names.get(key, key): value for key, value in doc.items()}


# Source: pkg/apis/autoscaling/v1/conversion.go, as far as a goal for the CPU goes
_GOALS = {
    "metrics": ("targetCPUUtilizationPercentage", "target"),
    "currentMetrics": ("currentCPUUtilizationPercentage", "current"),
}


def _without_metrics(part: Json) -> Json:
    found = {key: value for key, value in part.items() if key not in _GOALS}
    for key, (name, inner) in _GOALS.items():
        for metric in part.get(key, ()):
            resource = metric.get("resource", {})
            share = resource.get(inner, {}).get("averageUtilization")
            if resource.get("name") == "cpu" and share is not None:
                found[name] = share
    return found


def _with_metrics(spec: Json) -> Json:
    name, inner = _GOALS["metrics"]
    found = {key: value for key, value in spec.items() if key != name}
    if (share := spec.get(name)) is not None:
        goal = {"name": "cpu", inner: {"type": "Utilization", "averageUtilization": share}}
        found["metrics"] = [{"type": "Resource", "resource": goal}]
    return found
