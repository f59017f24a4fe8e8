"""Rules of the managed namespace resource: validation of bodies, comparison for adoption.

Pure: takes documents, returns documents or raises a `Refusal`; reads and stores nothing.
Sources are named per rule in docs/sandbox.md; what no source settles is one of the switches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mnslib.sandbox.amounts import exact, parse
from mnslib.sandbox.offers import offers
from mnslib.sandbox.resources import QUOTA_KEYS
from mnslib.sandbox.switches import Switches
from mnslib.sandbox.wire import Call, Json, arm_error

MANAGED_LABEL = "kubernetes.azure.com/managedByArm"
NAME_LABEL = "kubernetes.io/metadata.name"
QUOTA_NAME = "defaultresourcequota"
POLICY_NAME = "defaultnetworkpolicy"
LOCATION_REQUIRED_FROM = "2025-10-01"

_QUOTA_WORDS = {
    "cpuRequest": "CPU request",
    "cpuLimit": "CPU limit",
    "memoryRequest": "Memory request",
    "memoryLimit": "Memory limit",
}
_POLICIES = ("DenyAll", "AllowAll", "AllowSameNamespace")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MILLI = re.compile(r"0*[1-9]\d*m", re.ASCII)
_LABEL_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RESERVED = re.compile(r"[<>%&\\?/\x00-\x1f\x7f]")
_TAG_LIMIT = 50
_ANNOTATIONS_BYTES = 256 * 1024  # names and values of all; Source: Kubernetes API validation
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def check_name(name: str, switches: Switches) -> None:
    """Refuse names that are no DNS label or belong to the system.

    Raises:
        Refusal: 400.
    """
    if len(name) > 63 or not _NAME.fullmatch(name):
        message = (
            f"The namespace name '{name}' is invalid. It must be 1 to 63 characters long and match "
            "the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$."
        )
        raise arm_error(400, "InvalidParameter", message)
    if name in offers()["system_namespaces"]:
        message = "The namespace name cannot be the same as the name of a system namespace."
        raise arm_error(400, switches.system_namespace_code, message)


def check_body(body: Any, *, location: str, api_version: str, switches: Switches) -> Json:
    """Return `{location, tags?, properties}` as the service stores it: a full replacement.

    Read-only members are accepted and dropped; enums come back in their own spelling, empty labels
    and annotations are left out (recorded 2025-11-05).

    Args:
        body: the parsed PUT body.
        location: the cluster's.
        api_version: decides whether `location` is required.
        switches: what no source settles.

    Raises:
        Refusal: 400 or 409.
    """
    reader = _Reader(strict=switches.unknown_properties == "refuse")
    top = reader.members(body, "", "tags location properties", "id name type systemData eTag")
    _check_location(top.get("location"), location, api_version, switches)
    properties = reader.members(
        top.get("properties", {}),
        "properties",
        "labels annotations defaultResourceQuota defaultNetworkPolicy adoptionPolicy deletePolicy",
        "provisioningState portalFqdn",
    )
    result: Json = {"location": location, "properties": {}}
    if tags := check_tags(top):
        result["tags"] = tags
    stored = result["properties"]
    for name in ("labels", "annotations"):
        texts = reader.texts(properties.get(name), f"properties.{name}")
        if problem := key_problem(texts, name):
            where, value, wanted = problem
            raise _bad_value(f"properties.{where}", value, wanted)
        if texts:
            stored[name] = texts
    quota = _quota(reader, properties.get("defaultResourceQuota", {}), switches)
    if quota:
        stored["defaultResourceQuota"] = quota
    path = "properties.defaultNetworkPolicy"
    policy = reader.members(properties.get("defaultNetworkPolicy", {}), path, "ingress egress")
    stored["defaultNetworkPolicy"] = {
        "ingress": reader.choice(policy, "ingress", path, _POLICIES, "AllowSameNamespace"),
        "egress": reader.choice(policy, "egress", path, _POLICIES, "AllowAll"),
    }
    adoption = ("Never", "IfIdentical", "Always")
    stored["adoptionPolicy"] = reader.choice(
        properties, "adoptionPolicy", "properties", adoption, switches.default_adoption_policy
    )
    stored["deletePolicy"] = reader.choice(
        properties, "deletePolicy", "properties", ("Keep", "Delete"), switches.default_delete_policy
    )
    _check_in_full(quota, switches)
    return result


def check_only_tags(body: Any) -> dict[str, str]:
    """Return the tags of a PATCH body, which may hold nothing else.

    Raises:
        Refusal: 400.
    """
    return check_tags(_Reader(strict=True).members(body, "", "tags"))


def check_tags(top: Json) -> dict[str, str]:
    """Return the tags of a body, within the limits that ARM's documentation names.

    Raises:
        Refusal: 400.
    """
    tags = _Reader(strict=True).texts(top.get("tags"), "tags")
    if len(tags) > _TAG_LIMIT:
        text = f"A resource can have at most {_TAG_LIMIT} tags."
        raise arm_error(400, "InvalidTagCount", text)
    if len({name.lower() for name in tags}) < len(tags):
        raise _bad_content("'tags' must not repeat a name, not even in another case")
    for name, value in tags.items():
        if _RESERVED.search(name):
            text = f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control "
            raise arm_error(400, "InvalidTagNameCharacters", f"{text}characters.")
        if not 0 < len(name) <= 512:
            raise arm_error(400, "InvalidTagName", "A tag name must have 1 to 512 characters.")
        if len(value) > 256:
            text = f"The value of tag '{name}' must have at most 256 characters."
            raise arm_error(400, "InvalidTagValue", text)
    return tags


class _Reader:
    """Reads JSON members with ARM's refusals: unknown member, wrong type, unknown word."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict

    def members(self, value: Any, path: str, known: str, read_only: str = "") -> Json:
        if not isinstance(value, dict):
            raise _bad_content(f"'{path or 'the request body'}' must be an object")
        unknown = sorted(set(value) - set(known.split()) - set(read_only.split()))
        if unknown and self.strict:
            where = f"{path}.{unknown[0]}" if path else unknown[0]
            raise _bad_content(f"could not find member '{where}' on the resource type")
        return {key: value[key] for key in known.split() if value.get(key) is not None}

    def texts(self, value: Any, path: str) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise _bad_content(f"'{path}' must be an object of strings")
        return dict(value)

    def choice(
        self, holder: Json, name: str, path: str, options: tuple[str, ...], default: str
    ) -> str:
        value = holder.get(name, default)
        if not isinstance(value, str):
            raise _bad_content(f"'{path}.{name}' must be a string")
        spelled = {option.lower(): option for option in options}
        if value.lower() not in spelled:
            raise _bad_value(f"{path}.{name}", value, f"one of {', '.join(options)}")
        return spelled[value.lower()]


def _quota(reader: _Reader, value: Any, switches: Switches) -> dict[str, str]:
    path = "properties.defaultResourceQuota"
    quota = reader.members(value, path, " ".join(QUOTA_KEYS))
    for key, text in quota.items():
        if not isinstance(text, str):
            raise _bad_content(f"'{path}.{key}' must be a string")
        _check_quantity(text, key)
    strict = switches.request_over_limit == "refuse"
    for low, high in (("cpuRequest", "cpuLimit"), ("memoryRequest", "memoryLimit")):
        both = strict and low in quota and high in quota
        if both and parse(quota[low]) > parse(quota[high]):
            raise _bad_value(f"{path}.{low}", quota[low], f"at most {high} ({quota[high]})")
    return quota


def _check_in_full(quota: Mapping[str, str], switches: Switches) -> None:
    """Refuse a quota that lacks a value or has CPU in another form, where the service does."""
    for key, word in _QUOTA_WORDS.items():
        is_milli = key.startswith("cpu") and switches.cpu_form == "milli"
        good = switches.quota_missing == "accept"
        if key in quota:
            good = not is_milli or bool(_MILLI.fullmatch(quota[key]))
        if not good:
            raise arm_error(400, "BadRequest", f"{word} number is not valid")


def _check_quantity(text: str, key: str) -> None:
    where = f"properties.defaultResourceQuota.{key}"
    try:
        value = parse(text)
    except ValueError:
        raise _bad_value(where, text, "a Kubernetes quantity") from None
    if value < 0:
        raise _bad_value(where, text, "greater than or equal to 0")


def _check_location(value: Any, location: str, api_version: str, switches: Switches) -> None:
    if value is None:
        if switches.location_missing == "refuse" and api_version >= LOCATION_REQUIRED_FROM:
            message = "The location property is required for this definition."
            raise arm_error(400, "LocationRequired", message)
        return
    if not isinstance(value, str):
        raise _bad_content("'location' must be a string")
    same = value.replace(" ", "").lower() == location.lower()
    if not same and switches.location_different == "refuse":
        message = f"The location '{value}' differs from the managed cluster's '{location}'."
        raise arm_error(409, "InvalidResourceLocation", message)


def key_problem(texts: Mapping[str, str], name: str) -> tuple[str, str, str] | None:
    """Return where labels or annotations break Kubernetes' rules, the value, and what it must be.

    Prefix/name of at most 253/63 characters, label values of at most 63.
    """
    size = sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())
    if name == "annotations" and size > _ANNOTATIONS_BYTES:
        return name, f"({size} bytes)", "at most 262144 bytes"
    for key, value in texts.items():
        prefix, slash, rest = key.rpartition("/")
        good = len(rest) <= 63 and _LABEL_PART.fullmatch(rest)
        if not good or (slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix))):
            return name, key, "a qualified name"
        if name == "labels" and value and (len(value) > 63 or not _LABEL_PART.fullmatch(value)):
            return f"labels.{key}", value, "a valid label value"
    return None


def _bad_content(what: str) -> Exception:
    message = f"The request content was invalid and could not be deserialized: {what}."
    return arm_error(400, "InvalidRequestContent", message)


def _bad_value(path: str, value: str, wanted: str) -> Exception:
    message = f"The value '{value}' of parameter '{path}' is invalid: it must be {wanted}."
    return arm_error(400, "InvalidParameter", message)


# what a resource looks like on the cluster


def quota_hard(properties: Json) -> dict[str, str]:
    """Return `spec.hard` of the default quota, quantities as the API server writes them."""
    quota = properties.get("defaultResourceQuota", {})
    return {QUOTA_KEYS[key]: str(exact(text)) for key, text in quota.items()}


def policy_spec(properties: Json, namespace: str, switches: Switches) -> Json:
    """Return the spec of the default network policy, both directions in one object."""
    rule: Json = {"podSelector": {}}
    if switches.same_namespace_rule == "namespace-selector":
        rule = {"namespaceSelector": {"matchLabels": {NAME_LABEL: namespace}}}
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for direction, peer in (("ingress", "from"), ("egress", "to")):
        policy = properties["defaultNetworkPolicy"][direction]
        if policy == "AllowAll":
            spec[direction] = [{}]
        elif policy == "AllowSameNamespace":
            spec[direction] = [{peer: [rule]}]
    return spec


def wants_quota(properties: Json, switches: Switches) -> bool:
    """Return whether a default quota object exists."""
    return bool(properties.get("defaultResourceQuota")) or switches.quota_object_when_empty


def wants_policy(properties: Json, switches: Switches) -> bool:
    """Return whether a default network policy object exists."""
    open_both = set(properties["defaultNetworkPolicy"].values()) == {"AllowAll"}
    return not open_both or switches.policy_object_when_allow_all


def adoption_refusal(
    properties: Json, namespace: Json, quota: Json | None, policy: Json | None, switches: Switches
) -> str:
    """Return why an unmanaged Kubernetes namespace may not be taken over, or an empty text.

    Args:
        properties: the wanted ones, checked.
        namespace: the Kubernetes namespace that is there.
        quota: its object named `defaultresourcequota`, if there is one.
        policy: its object named `defaultnetworkpolicy`, if there is one.
        switches: what IfIdentical compares.
    """
    name = namespace["metadata"]["name"]
    if properties["adoptionPolicy"] == "Always":
        return ""
    if properties["adoptionPolicy"] == "Never":
        return (
            f"Namespace {name} already exists in the managed cluster and adoptionPolicy is Never."
        )
    different = [
        field
        for field in ("labels", "annotations")
        if _user_keys(namespace["metadata"].get(field), switches)
        != _user_keys(properties.get(field), switches)
    ]
    if switches.identical_compares == "all":
        hard = quota_hard(properties) if wants_quota(properties, switches) else None
        if hard != (quota["spec"].get("hard", {}) if quota else None):
            different.append("defaultResourceQuota")
        wanted = wants_policy(properties, switches)
        spec = policy_spec(properties, name, switches) if wanted else None
        if spec != (policy["spec"] if policy else None):
            different.append("defaultNetworkPolicy")
    if not different:
        return ""
    return (
        f"Namespace {name} already exists in the managed cluster and differs in "
        f"{', '.join(different)}; adoptionPolicy is IfIdentical."
    )


def _user_keys(texts: Mapping[str, str] | None, switches: Switches) -> dict[str, str]:
    ignored = {MANAGED_LABEL} | ({NAME_LABEL} if switches.identical_ignores_name_label else set())
    return {key: value for key, value in (texts or {}).items() if key not in ignored}


def check_preconditions(call: Call, present: Json | None) -> None:
    """Refuse a write whose `If-Match` or `If-None-Match` does not hold.

    Raises:
        Refusal: 412 PreconditionFailed.
    """
    if call.state.switches.if_match == "ignored":
        return
    wanted = call.headers.get("if-match", "").strip().strip('"')
    stale = wanted and (present is None or wanted not in ("*", present["eTag"]))
    if stale or (call.headers.get("if-none-match", "").strip() == "*" and present):
        text = "The condition given in the request's If-Match or If-None-Match header is not met."
        raise arm_error(412, "PreconditionFailed", text)
