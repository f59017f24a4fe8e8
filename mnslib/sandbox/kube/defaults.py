"""What an API server fills in where an object leaves it out: defaults.yaml, and what is computed.

Knows no request; refuses nothing: what has a wrong type is left to those who check it.
"""

from __future__ import annotations

import base64
import copy
import zlib
from collections.abc import Callable
from typing import Any

from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # Source: apimachinery, util/rand
_ACCESS = "/var/run/secrets/kubernetes.io/serviceaccount"


def suffix(number: int) -> str:
    """Return the five letters that make a generated name unique, the same for the same number."""
    value = zlib.crc32(str(number).encode())
    return "".join(_LETTERS[value // len(_LETTERS) ** place % len(_LETTERS)] for place in range(5))


def fill(plural: str, doc: Json, number: int, old: Json | None) -> None:
    """Fill in what an object of this kind leaves out.

    Args:
        plural: of its kind, as it is stored.
        doc: the object; it is changed.
        number: of the sequence, of which addresses and ports are made.
        old: what is stored of it, None when it is created; what is given once is not given again.
    """
    _merge(doc, packaged("kube/defaults.yaml").get(plural, {}))
    for part in _pod_specs(doc):
        for container in _each(part, "containers") + _each(part, "initContainers"):
            latest = str(container.get("image", "")).rpartition("/")[2].partition(":")[2]
            pull = "Always" if latest in ("", "latest") else "IfNotPresent"
            container.setdefault("imagePullPolicy", pull)
    if more := _COMPUTED.get(plural):
        more(doc, number, old)


def _merge(value: Json, defaults: Json) -> None:
    for name, default in defaults.items():
        key = name.rstrip("?[]")
        if name.endswith("[]"):
            for inner in _each(value, key):
                _merge(inner, default)
        elif isinstance(default, dict) and isinstance(value.get(key), dict):
            _merge(value[key], default)
        elif not name.endswith("?") and key not in value:
            value[key] = {}
            if isinstance(default, dict):
                _merge(value[key], default)
            else:
                value[key] = copy.deepcopy(default)


def _each(value: Any, key: str) -> list[Json]:
    found = value.get(key) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _part(value: Json, *keys: str) -> Json:
    """Return what lies inside, or an object that nobody keeps."""
    for key in keys:
        value = value[key] if isinstance(value.get(key), dict) else {}
    return value


def _pod_specs(doc: Json) -> list[Json]:
    """Return the pod specs of an object: its own, its template's, its jobs' template's."""
    own, template = _part(doc, "spec"), _part(doc, "spec", "template", "spec")
    jobs = _part(doc, "spec", "jobTemplate", "spec", "template", "spec")
    return [one for one in (own, template, jobs, _part(doc, "template", "spec")) if one]


def _pod(doc: Json, number: int, old: Json | None) -> None:
    spec = _part(doc, "spec")
    spec.setdefault("serviceAccount", spec.get("serviceAccountName"))
    if old:
        return
    present = [(one.get("key"), one.get("effect")) for one in _each(spec, "tolerations")]
    for toleration in packaged("kube/defaults.yaml")["tolerations"]:
        if (toleration["key"], "NoExecute") not in present and (None, None) not in present:
            spec.setdefault("tolerations", []).append(dict(toleration))
    if spec.get("automountServiceAccountToken") is False:
        return
    volume = f"kube-api-access-{suffix(number)}"
    containers = _each(spec, "containers") + _each(spec, "initContainers")
    bare = [
        one
        for one in containers
        if _ACCESS not in [mount.get("mountPath") for mount in _each(one, "volumeMounts")]
    ]
    for container in bare:
        mount = {"name": volume, "mountPath": _ACCESS, "readOnly": True}
        container.setdefault("volumeMounts", []).append(mount)
    if bare:
        token = copy.deepcopy(packaged("kube/defaults.yaml")["token"])
        spec.setdefault("volumes", []).append({"name": volume, "projected": token})


def _rolling(doc: Json, number: int, old: Json | None) -> None:
    for key in ("strategy", "updateStrategy"):
        strategy = _part(doc, "spec", key)
        if strategy.get("type") != "RollingUpdate":
            strategy.pop("rollingUpdate", None)


def _job(doc: Json, number: int, old: Json | None) -> None:
    spec = _part(doc, "spec")
    if spec.get("parallelism") == 1:
        spec.setdefault("completions", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    policy = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", policy)
    if old or spec.get("manualSelector") is True or not isinstance(spec.get("template"), dict):
        return
    uid, name = doc["metadata"]["uid"], doc["metadata"]["name"]
    of = {"controller-uid": uid, "job-name": name}
    labels = {f"{prefix}{k}": v for k, v in of.items() for prefix in ("batch.kubernetes.io/", "")}
    meta = spec["template"].setdefault("metadata", {})
    meta["labels"] = (meta.get("labels") or {}) | labels
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _autoscaler(doc: Json, number: int, old: Json | None) -> None:
    spec = _part(doc, "spec")
    if spec and not spec.get("metrics"):
        goal = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
        spec["metrics"] = [{"type": "Resource", "resource": goal}]


def _service(doc: Json, number: int, old: Json | None) -> None:
    spec = _part(doc, "spec")
    kind, ports = spec.get("type"), _each(spec, "ports")
    for port in ports:
        port.setdefault("targetPort", port.get("port"))
    if kind == "ExternalName":
        return
    before = _part(old or {}, "spec")
    if not spec.get("clusterIP"):
        address = f"10.0.{number // 250 % 250 + 1}.{number % 250 + 1}"
        spec["clusterIP"] = before.get("clusterIP", address)
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
        given = {
            one.get("port"): one["nodePort"] for one in _each(before, "ports") if "nodePort" in one
        }
        wanted = spec.get("allocateLoadBalancerNodePorts") is not False or kind == "NodePort"
        for index, port in enumerate(ports if wanted else []):
            port.setdefault(
                "nodePort", given.get(port.get("port"), 30000 + (number + index) % 2768)
            )
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _policy(doc: Json, number: int, old: Json | None) -> None:
    spec = _part(doc, "spec")
    if spec and "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _secret(doc: Json, number: int, old: Json | None) -> None:
    """Keep what was written in plain as the rest is kept."""
    plain = doc.pop("stringData", None)
    if isinstance(plain, dict):
        coded = {
            key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()
        }
        doc["data"] = _part(doc, "data") | coded


_COMPUTED: dict[str, Callable[[Json, int, Json | None], None]] = {
    "pods": _pod,
    "deployments": _rolling,
    "statefulsets": _rolling,
    "daemonsets": _rolling,
    "jobs": _job,
    "horizontalpodautoscalers": _autoscaler,
    "services": _service,
    "networkpolicies": _policy,
    "secrets": _secret,
}
