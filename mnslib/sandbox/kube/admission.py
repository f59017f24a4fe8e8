"""Admission of every write, in a real server's order: defaults, plugins that change, validation,
plugins that refuse, quotas last.

Knows no request. Sources: Kubernetes 1.34, `pkg/kubeapiserver/options/plugins.go` for the order,
`plugin/pkg/admission/*` for what each says.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mnslib.sandbox.amounts import read
from mnslib.sandbox.kube import limitranges, quotas
from mnslib.sandbox.kube.arithmetic import KINDS, containers, default_requests
from mnslib.sandbox.kube.kinds import Kind, served
from mnslib.sandbox.kube.validation import check_required, validate
from mnslib.sandbox.kube.webhook import guard
from mnslib.sandbox.resources import safeguards_id
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json, Refusal, kube_error

_LISTS = frozenset(
    [
        "requests",
        "limits",
        "hard",
        "used",
        "capacity",
        "allocatable",
        "allocatedResources",
        "overhead",
        "podFixed",
        "min",
        "max",
        "default",
        "defaultRequest",
        "maxLimitRequestRatio",
    ]
)
_SAFEGUARDS = {"cpu": ("500m", "100m"), "memory": ("2Gi", "100Mi")}  # given, least
_BUILT_IN = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_PREEMPT = "PreemptLowerPriority"


def admit(
    state: State, cluster: str, doc: Json, old: Json | None = None, *, verb: str = "create"
) -> None:
    """Default, change and check an object that is to be stored.

    Args:
        state: the store.
        cluster: its key.
        doc: the object with its metadata; it is changed as the server would.
        old: what is stored of it, None when it is created.
        verb: `create`, `update`, or `resize` of a pod's resources in place.

    Raises:
        Refusal: 400 for what is no quantity, 403, 404, 422, or the webhook's 400.
    """
    kind = kind_of_object(doc)
    check_required(kind, doc)
    old = copy.deepcopy(old)  # a world leaves out what a server would have filled in
    for one in (doc, old) if old else (doc,):
        _read_quantities(kind, one)
        if kind.plural == "pods":
            default_requests(one)
    if kind.plural == "limitranges":
        limitranges.fill_range(doc)
    gate = _Gate(state, cluster, kind, doc, old, verb)
    if kind.namespaced and old is None:
        gate.check_namespace()
    if kind.plural == "pods" and not _is_deleted(old):
        gate.change_pod()
    if kind.plural == "persistentvolumeclaims" and old is None:
        gate.choose_storage_class()
    validate(kind, doc, old, verb=verb)
    gate.check()


def kind_of_object(doc: Json) -> Kind:
    """Return the kind of an object, as the API version that it names serves it.

    Raises:
        KeyError: if no API server has it.
    """
    kinds = served().get(doc["apiVersion"], {}).values()
    found = next((kind for kind in kinds if kind.word == doc["kind"]), None)
    if found is None:
        raise KeyError(f"{doc['apiVersion']}/{doc['kind']}")
    return found


def _is_deleted(doc: Json | None) -> bool:
    return bool(doc and doc["metadata"].get("deletionTimestamp"))


def _read_quantities(kind: Kind, doc: Json) -> None:
    """Write every amount as the server does.

    Raises:
        Refusal: 400 for what is none.
    """
    try:
        for found in _resource_lists(doc):
            for name, text in found.items():
                found[name] = str(read(text))
    except ValueError as error:
        version = kind.version.rpartition("/")[2]
        text = f'{kind.word} in version "{version}" cannot be handled as a {kind.word}: {error}'
        raise kube_error(400, "BadRequest", text) from None


def _resource_lists(value: Any) -> Iterator[Json]:
    if isinstance(value, list):
        for inner in value:
            yield from _resource_lists(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            texts = inner.values() if isinstance(inner, dict) and name in _LISTS else [None]
            if all(isinstance(one, (str, int, float)) for one in texts):
                yield inner
            elif name not in ("metadata", "data"):
                yield from _resource_lists(inner)


def guard_pod(spec: Json) -> None:
    """Change a new pod as Deployment Safeguards do. Source: AKS documentation, mutations."""
    for container in containers(spec):
        resources = container.setdefault("resources", {})
        requests, limits = ({**(resources.get(kind) or {})} for kind in KINDS)
        for name, (given, least) in _SAFEGUARDS.items():
            if name not in requests and name not in limits:
                requests[name] = limits[name] = given
            for part in (requests, limits):
                if name in part and read(part[name]).value < read(least).value:
                    part[name] = least
        found = {"requests": requests, "limits": limits}
        resources |= {kind: amounts for kind, amounts in found.items() if amounts}


class _Gate:
    def __init__(
        self, state: State, cluster: str, kind: Kind, doc: Json, old: Json | None, verb: str
    ) -> None:
        self.state, self.cluster, self.kind = state, cluster, kind
        self.doc, self.old, self.verb = doc, old, verb
        self.namespace = str(doc["metadata"].get("namespace") or "")

    def refuse(self, text: str, *, early: bool = False) -> Refusal:
        """Return a refusal; `early` ones come before a generated name has its letters."""
        metadata = self.doc["metadata"]
        name = metadata.get("generateName") if early else ""
        name = name or metadata["name"]
        text = f'{self.kind.full_name} "{name}" is forbidden: {text}'
        return kube_error(403, "Forbidden", text, self.kind.details(name))

    def find(self, plural: str, name: str, namespace: str = "") -> Json | None:
        return self.state.object(self.cluster, plural, namespace, name)

    def listed(self, plural: str, namespace: str = "") -> list[Json]:
        return self.state.objects(self.cluster, plural, namespace)

    # plugins that change

    def check_namespace(self) -> None:
        """Refuse what would lie in a namespace that is not there, or about to go."""
        found = self.find("namespaces", self.namespace)
        if found is None:
            details = {"name": self.namespace, "kind": "namespaces"}
            text = f'namespaces "{self.namespace}" not found'
            raise kube_error(404, "NotFound", text, details)
        if _is_deleted(found) or (found.get("status") or {}).get("phase") == "Terminating":
            text = f"unable to create new content in namespace {self.namespace}"
            refused = self.refuse(f"{text} because it is being terminated", early=True)
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
            cause["message"] = f"namespace {self.namespace} is being terminated"
            refused.answer.body["details"]["causes"] = [cause]
            raise refused

    def change_pod(self) -> None:
        """Apply LimitRanges' defaults, then give a new pod its account, priority and overhead."""
        if self.verb != "update":
            limitranges.fill_pod(self.doc, self.listed("limitranges", self.namespace))
        if self.old is not None:
            return
        spec = self.doc["spec"]
        if self.is_guarded():
            guard_pod(spec)
        account = spec.setdefault("serviceAccountName", "default")
        # every namespace has a default one, as soon as its controller has seen it
        if account != "default" and not self.find("serviceaccounts", account, self.namespace):
            missing = f'serviceaccount "{account}" not found'
            text = f"error looking up service account {self.namespace}/{account}: {missing}"
            raise self.refuse(text, early=True)
        self._set_priority(spec)
        self._set_overhead(spec)

    def is_guarded(self) -> bool:
        """Return whether Deployment Safeguards change the pods of the namespace."""
        found = self.state.resource(safeguards_id(self.cluster))
        settings = found["properties"] if found else {}
        keys = ("excludedNamespaces", "systemExcludedNamespaces")
        is_left_out = any(self.namespace in settings.get(key, ()) for key in keys)
        return settings.get("level") == "Enforce" and not is_left_out

    def _set_priority(self, spec: Json) -> None:
        name, policy = spec.get("priorityClassName") or "", _PREEMPT
        if not name:
            defaults = [one for one in self.listed("priorityclasses") if one.get("globalDefault")]
            found = min(defaults, key=lambda one: one.get("value", 0), default=None)
            if found:
                spec["priorityClassName"] = found["metadata"]["name"]
        else:
            found = self.find("priorityclasses", name)
            if found is None and name not in _BUILT_IN:
                raise self.refuse(f"no PriorityClass with name {name} was found", early=True)
        value = found.get("value", 0) if found else _BUILT_IN.get(name, 0)
        policy = (found or {}).get("preemptionPolicy", _PREEMPT)
        given = (("priority", value), ("preemptionPolicy", policy))
        for (key, computed), words in zip(given, _COMPUTED_PRIORITY, strict=True):
            if spec.get(key) is not None and spec[key] != computed:
                text = f"the {words} ({spec[key]}) must not be provided in pod spec; priority "
                text += (
                    f"admission controller computed {computed} from the given PriorityClass name"
                )
                raise self.refuse(text, early=True)
            spec[key] = computed

    def _runtime_overhead(self) -> Json:
        name = self.doc["spec"].get("runtimeClassName")
        found = self.find("runtimeclasses", name) if name else {}
        if found is None:
            raise self.refuse(f'pod rejected: RuntimeClass "{name}" not found', early=True)
        return dict((found.get("overhead") or {}).get("podFixed") or {})

    def _set_overhead(self, spec: Json) -> None:
        overhead = self._runtime_overhead()
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise self.refuse(text, early=True)
            spec["overhead"] = overhead

    def choose_storage_class(self) -> None:
        """Give a claim that names no storage class the default one."""
        spec = self.doc.setdefault("spec", {})
        if spec.get("storageClassName") is None and not quotas.storage_class(self.doc):
            key = "storageclass.kubernetes.io/is-default-class"
            for found in self.listed("storageclasses"):
                if (found["metadata"].get("annotations") or {}).get(key) == "true":
                    spec["storageClassName"] = found["metadata"]["name"]

    # plugins that refuse

    def check(self) -> None:
        """Ask LimitRanges, RuntimeClass, AKS' webhook and the quotas, in this order."""
        plural, created = self.kind.plural, self.old is None
        limited = plural == "persistentvolumeclaims" or (plural == "pods" and self.verb != "update")
        if limited and not _is_deleted(self.old):
            for found in self.listed("limitranges", self.namespace):
                if texts := limitranges.refusals(plural, self.doc, found):
                    raise self.refuse(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        if plural == "priorityclasses" and self.doc.get("globalDefault"):
            for other in self.listed(plural):
                name = other["metadata"]["name"]
                if other.get("globalDefault") and name != self.doc["metadata"]["name"]:
                    text = f"PriorityClass {name} is already marked as default."
                    raise self.refuse(f"{text} Only one default can exist")
        heavy = plural == "pods" and created and self.doc["spec"].get("overhead")
        if heavy and not self._runtime_overhead():
            text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined"
            raise self.refuse(f"{text} Overhead")
        if plural == "persistentvolumeclaims" and self.old is not None:
            self._check_growth(self.old)
        if self.old is not None:
            guard(plural, self.old, self.doc)
        self._check_quotas()

    def _check_growth(self, old: Json) -> None:
        sizes = [
            read(((one.get("spec") or {}).get("resources") or {})["requests"]["storage"])
            for one in (old, self.doc)
        ]
        found = self.find("storageclasses", quotas.storage_class(old)) or {}
        if sizes[1].value > sizes[0].value and not found.get("allowVolumeExpansion"):
            text = "only dynamically provisioned pvc can be resized and the storageclass that"
            raise self.refuse(f"{text} provisions the pvc must support resize")

    def _check_quotas(self) -> None:
        plural, created = self.kind.plural, self.old is None
        changing = plural in ("services", "persistentvolumeclaims") or self.verb == "resize"
        if not self.namespace or not (created or changing) or plural == "events":
            return
        found = self.listed("resourcequotas", self.namespace)
        full, now = self.kind.full_name, self.state.now()
        if text := quotas.refusal(self.doc, found, full=full, old=self.old, now=now):
            raise self.refuse(text)


_COMPUTED_PRIORITY = ("integer value of priority", "string value of PreemptionPolicy")
