"""The shape of Kubernetes objects, as far as the sandbox reads into them, and what it refuses.

Knows no request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mnslib.sandbox.amounts import canonical_text
from mnslib.sandbox.rules import key_problem
from mnslib.sandbox.wire import Json, Refusal, kube_error

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_WORDS = {
    "spec.policyTypes[]": ("Ingress", "Egress"),
    "spec.ingress[].ports[].protocol": _PROTOCOLS,
    "spec.egress[].ports[].protocol": _PROTOCOLS,
}
# Source: Kubernetes API validation, ValidateResourceQuotaResourceName
_QUOTA_KEY = re.compile(
    r"((requests|limits)\.)?(cpu|memory|ephemeral-storage)|requests\.storage|pods|secrets|configmaps"
    r"|services(\.(nodeports|loadbalancers))?|replicationcontrollers|resourcequotas"
    r"|persistentvolumeclaims|(requests\.)?hugepages-.+|[^/]+/[^/]+"
)


def normal(doc: Json) -> Json:
    """Return an object as it is stored: a quota's quantities in the API server's form.

    Raises:
        Refusal: 422 on labels, annotations, words, quota keys and quantities that Kubernetes
            refuses; 400 on quota scopes, which are not imitated.
    """
    for name in ("labels", "annotations"):
        if problem := key_problem(doc["metadata"].get(name, {}), name):
            where, value, wanted = problem
            raise invalid(doc, f'metadata.{where}: Invalid value: "{value}": must be {wanted}')
    for path, words in _WORDS.items() if doc["kind"] == "NetworkPolicy" else ():
        for value in _values(doc, path.split(".")):
            if value not in words:
                where, known = path.replace("[]", ""), '", "'.join(words)
                text = f'{where}: Unsupported value: "{value}": supported values: "{known}"'
                raise invalid(doc, text)
    return _normal_quota(doc) if doc["kind"] == "ResourceQuota" else doc


def _normal_quota(doc: Json) -> Json:
    spec = doc.setdefault("spec", {})
    if "scopes" in spec or "scopeSelector" in spec:
        raise kube_error(400, "BadRequest", "quota scopes are not imitated by the sandbox")
    for key, value in spec.setdefault("hard", {}).items():
        if not _QUOTA_KEY.fullmatch(key):
            text = (
                f'spec.hard[{key}]: Invalid value: "{key}": must be a standard resource for quotas'
            )
            raise invalid(doc, text)
        try:
            spec["hard"][key] = canonical_text(str(value))
        except ValueError as error:
            raise invalid(doc, f"spec.hard[{key}]: Invalid value: {error}") from None
        if spec["hard"][key].startswith("-"):
            text = f'spec.hard[{key}]: Invalid value: "{value}": must be greater than or equal to 0'
            raise invalid(doc, text)
    return doc


def invalid(doc: Json, text: str) -> Refusal:
    """Return the refusal of an object that reads well and may not be so."""
    name = doc["metadata"]["name"]
    return kube_error(422, "Invalid", f'{doc["kind"]} "{name}" is invalid: {text}')


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield what lies at a path; `None`, which fits nothing, for a list that is none."""
    if not path:
        yield value
        return
    name = path[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    if name == path[0]:
        yield from _values(value[name], path[1:])
    elif isinstance(value[name], list):
        for inner in value[name]:
            yield from _values(inner, path[1:])
    else:
        yield None
