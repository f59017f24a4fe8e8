"""The admission webhook of AKS: refuses changes in the cluster to what ARM manages."""

from __future__ import annotations

from mnslib.sandbox.rules import MANAGED_LABEL, POLICY_NAME, QUOTA_NAME
from mnslib.sandbox.wire import Json, kube_error

WEBHOOK = "aks-namespace-validating-webhook.azmk8s.io"


def guard(plural: str, present: Json, changed: Json | None) -> None:
    """Refuse what AKS' webhook refuses on objects that ARM manages; `changed` None is a delete.

    Raises:
        Refusal: 400 without a reason, as seen in AKS issue 5410.
    """
    metadata = present["metadata"]
    defaults = {"namespaces": metadata["name"], "resourcequotas": QUOTA_NAME}
    defaults["networkpolicies"] = POLICY_NAME
    managed = metadata.get("labels", {}).get(MANAGED_LABEL) == "true"
    if not managed or defaults.get(plural) != metadata["name"]:
        return
    text = _refusal(plural, present, changed)
    if text:
        message = f'admission webhook "{WEBHOOK}" denied the request: {text}'
        raise kube_error(400, "", message)


def _refusal(plural: str, present: Json, changed: Json | None) -> str:
    name = present["metadata"]["name"]
    because = "is not allowed because it is managed by ARM."
    if plural == "namespaces":
        again = "Please {} this namespace {} ARM api."
        if changed is None:
            return f"Deleting namespace {name} {because} {again.format('delete', 'though')}"
        for field in ("labels", "annotations"):
            if changed["metadata"].get(field, {}) != present["metadata"].get(field, {}):
                what = f"Updating/deleting namespace {name} {field} {because}"
                return f"{what} {again.format('update', 'through')}"
        return ""
    word = "resource quota" if plural == "resourcequotas" else "network policy"
    default = "" if plural == "resourcequotas" else "default "
    if changed is None:
        return f"Deleting {default}{word} {name} {because}"
    if changed["spec"] == present["spec"] and (changed["metadata"] == present["metadata"]):
        return ""
    return f"Updating {default}{word} {name} {because} Please update this {word} though ARM api."
