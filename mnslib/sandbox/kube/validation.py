"""What an API server finds wrong with an object that reads well: 422, in its words.

Rules of one field each are rows of validation.yaml; what compares fields is here.
Knows no request. Source: Kubernetes 1.34, `pkg/apis/*/validation`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mnslib.sandbox.amounts import read
from mnslib.sandbox.kube import cron, limitranges
from mnslib.sandbox.kube.arithmetic import (
    KINDS,
    container_amounts,
    is_pod_level,
    listed,
    qos_class,
    sets_pod_level,
)
from mnslib.sandbox.kube.kinds import Kind
from mnslib.sandbox.kube.quotas import is_extended
from mnslib.sandbox.kube.schema import fields, model_of
from mnslib.sandbox.kube.selectors import matches
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json, Refusal, kube_error

Problem = tuple[str, str]  # field, and what is wrong with it
Problems = Iterator[Problem]
_REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Not found": "FieldValueNotFound",
}
_NEGATIVE = "must be greater than or equal to 0"
_IMMUTABLE = "field is immutable"
_TEMPLATES = {"cronjobs": "spec.jobTemplate.spec.template", "pods": ""}
_TEMPLATES |= dict.fromkeys(
    ("deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "replicationcontrollers"),
    "spec.template",
)
_STANDARD = ("cpu", "memory", "ephemeral-storage")


def refused(kind: Kind, name: str, problems: list[Problem]) -> Refusal:
    """Return the refusal of an object with these problems."""
    problems = list(dict.fromkeys(problems))
    texts = [f"{field}: {text}" for field, text in problems]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {"reason": _REASONS[text.partition(":")[0]], "message": text, "field": field}
        for field, text in problems
    ]
    details = kind.details(name) | {"kind": kind.word, "causes": causes}
    word = f"{kind.word}.{kind.group}" if kind.group else kind.word
    return kube_error(422, "Invalid", f'{word} "{name}" is invalid: {said}', details)


def validate(kind: Kind, doc: Json, old: Json | None, *, verb: str) -> None:
    """Refuse an object that the API server finds invalid.

    Args:
        kind: of it.
        doc: the object, defaulted.
        old: what is stored of it, None when it is created.
        verb: `create`, `update` or `resize`.

    Raises:
        Refusal: 422 with every problem.
    """
    found = list(_metadata(kind, doc["metadata"], "metadata"))
    rows = packaged("kube/validation.yaml")
    found += _rows(rows.get(kind.plural, []), doc, "", old)
    if (at := _TEMPLATES.get(kind.plural)) is not None:
        found += _template(kind, doc, at, rows)
    if more := _MORE.get(kind.plural):
        found += more(doc)
    if old is not None:
        if kind.plural == "pods":
            found += _resized(doc, old) if verb == "resize" else _pod_update(doc, old)
        elif kind.plural == "services":
            found += _moved(doc, old)
        elif row := rows["frozen"].get(kind.plural):
            found += _frozen(doc, old, row["but"], row["text"])
    if found:
        raise refused(kind, doc["metadata"]["name"], found)


def invalid(value: Any, detail: str) -> str:
    """Return the text of a value that may not be so."""
    return f"Invalid value: {_shown(value)}: {detail}"


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


# names


def name_problem(form: str, text: str) -> str:
    """Return what is wrong with a name of this form, as the server says, or an empty text."""
    row = packaged("kube/validation.yaml")["names"][form]
    if len(text) > row["most"]:
        return f"must be no more than {row['most']} bytes"
    return "" if re.fullmatch(row["form"], text) else row["text"]


def _key_problem(key: str) -> str:
    prefix, slash, rest = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (text := name_problem("subdomain", prefix)):
        return f"prefix part {text}"
    if not rest:
        return "name part must be non-empty"
    text = name_problem("qualified", rest)
    return f"name part {text}" if text else ""


def _metadata(kind: Kind, metadata: Json, at: str) -> Problems:
    form = packaged("kube/validation.yaml")["named"].get(kind.plural, "subdomain")
    name = metadata.get("name") or ""
    if form and at == "metadata" and (text := name_problem(form, name)):
        yield f"{at}.name", invalid(name, text)
    yield from _labels(metadata.get("labels") or {}, f"{at}.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if text := _key_problem(key.lower()):
            yield f"{at}.annotations", invalid(key, text)
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > 256 * 1024:
        yield f"{at}.annotations", "Too long: may not be more than 262144 bytes"


def _labels(labels: Json, at: str) -> Problems:
    for key, value in labels.items():
        if text := _key_problem(key):
            yield at, invalid(key, text)
        if text := name_problem("value", value):
            yield at, invalid(value, text)


def check_required(kind: Kind, doc: Json) -> None:
    """Refuse an object that lacks what its model demands, before anybody reads it.

    Raises:
        Refusal: 422.
    """
    if missing := list(_required(model_of(kind.version, kind.word), doc, "")):
        raise refused(kind, doc["metadata"]["name"], missing)


def _required(model: str, doc: Any, at: str) -> Problems:
    """Yield the texts that an object's model demands and that are not there; status apart."""
    for name, shape in fields(model).items():
        value, field = doc.get(name), f"{at}.{name}" if at else name
        if shape.required and shape.form == "one" and shape.of == "string" and not value:
            yield field, "Required value"
        if "." not in shape.of or not value or field in ("status", "metadata.managedFields"):
            continue
        found = {field: value}
        if shape.form == "list":
            found = {f"{field}[{index}]": one for index, one in enumerate(value)}
        elif shape.form == "map":
            found = {f"{field}[{key}]": one for key, one in value.items()}
        for where, one in found.items():
            yield from _required(shape.of, one or {}, where)


# rows of validation.yaml


def _rows(rows: list[Json], doc: Any, at: str, old: Any = None) -> Problems:
    """Yield what single fields break; `at` is where `doc` lies."""
    for row in rows:
        for field, value in _values(doc, row["at"].split(".") if row["at"] else [], at):
            before = None if old is None else _value(old, row["at"])
            yield from _row(row, field, value, before)


def _row(row: Json, field: str, value: Any, before: Any) -> Problems:
    if value in (None, "", [], {}) and not isinstance(value, bool):
        if "required" in row:
            yield field, "Required value" + (f": {row['required']}" if row["required"] else "")
        return
    if "one_of" in row and value not in row["one_of"]:
        words = ", ".join(f'"{word}"' for word in row["one_of"])
        yield field, f"Unsupported value: {_shown(value)}: supported values: {words}"
    if "least" in row and isinstance(value, int) and value < row["least"]:
        yield (
            field,
            invalid(value, row.get("text", f"must be greater than or equal to {row['least']}")),
        )
    if "between" in row and isinstance(value, int):
        low, high = row["between"]
        if not low <= value <= high:
            yield field, invalid(value, f"must be between {low} and {high}, inclusive")
    if "share" in row and (text := _share_problem(value, most=row["share"])):
        yield field, invalid(value, text)
    if "name" in row and (text := name_problem(row["name"], value)):
        yield field, invalid(value, text)
    if "fixed" in row and before is not None and value != before:
        yield field, invalid(value, row["fixed"] or _IMMUTABLE)
    if "unique" in row:
        seen = set()
        for index, one in enumerate(value):
            name = one.get(row["unique"])
            if name in seen and name:
                yield f"{field}[{index}].{row['unique']}", f"Duplicate value: {_shown(name)}"
            seen.add(name)


def _share_problem(value: Any, *, most: int) -> str:
    if isinstance(value, int):
        return _NEGATIVE if value < 0 else ""
    if not re.fullmatch("[0-9]+%", value):
        return str(packaged("kube/validation.yaml")["percent"])
    return "must not be greater than 100%" if most and int(value[:-1]) > most else ""


def _values(value: Any, path: list[str], at: str) -> Iterator[tuple[str, Any]]:
    """Yield what lies at a path with where it is; None for a last part that is not there."""
    if not path:
        yield at, value
        return
    name = path[0].removesuffix("[]")
    inner = value.get(name) if isinstance(value, dict) else None
    field = f"{at}.{name}" if at else name
    if name != path[0]:
        for index, one in enumerate(inner or []):
            yield from _values(one, path[1:], f"{field}[{index}]")
    elif len(path) == 1 or inner is not None:
        yield from _values(inner, path[1:], field)


def _value(doc: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        doc = doc.get(name) if isinstance(doc, dict) else None
    return doc


# pods and their templates


def _template(kind: Kind, doc: Json, at: str, rows: Json) -> Problems:
    spec = _value(doc, f"{at}.spec" if at else "spec") or {}
    where = f"{at}.spec" if at else "spec"
    if at:
        metadata = _value(doc, f"{at}.metadata") or {}
        if kind.plural not in ("jobs", "cronjobs", "replicationcontrollers"):
            yield from _selector(doc, metadata, kind.word.lower())
        yield from _metadata(kind, metadata, f"{at}.metadata")
    yield from _pod_spec(spec, where, rows)
    policy = spec.get("restartPolicy")
    if kind.plural in ("jobs", "cronjobs") and policy == "Always":
        yield f"{where}.restartPolicy", 'Required value: valid values: "OnFailure", "Never"'
    elif at and kind.plural not in ("jobs", "cronjobs") and policy in ("OnFailure", "Never"):
        text = f'Unsupported value: "{policy}": supported values: "Always"'
        yield f"{where}.restartPolicy", text


def _selector(doc: Json, metadata: Json, word: str) -> Problems:
    selector, labels = (doc.get("spec") or {}).get("selector"), metadata.get("labels") or {}
    if selector == {}:
        word = "deployment" if word == "replicaset" else word
        yield "spec.selector", invalid(selector, f"empty selector is invalid for {word}")
    elif not selector or not matches(selector, labels):
        text = "`selector` does not match template `labels`"
        yield "spec.template.metadata.labels", invalid(labels, text)


def _pod_spec(spec: Json, at: str, rows: Json) -> Problems:
    if not spec.get("containers"):
        yield f"{at}.containers", "Required value"
    names: set[str] = set()
    volumes = {one.get("name") for one in spec.get("volumes") or []}
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or []):
            where = f"{at}.{key}[{index}]"
            yield from _rows(rows["container"], container, where)
            for number, mount in enumerate(container.get("volumeMounts") or []):
                if mount.get("name") and mount["name"] not in volumes:
                    text = f"Not found: {_shown(mount['name'])}"
                    yield f"{where}.volumeMounts[{number}].name", text
            yield from _resources(container.get("resources") or {}, f"{where}.resources")
            name = container.get("name")
            if name and name in names:
                yield f"{where}.name", f"Duplicate value: {_shown(name)}"
            names.add(name)
    if spec.get("resources"):
        yield from _resources(spec["resources"], f"{at}.resources", pod_level=True)
        yield from _consistent(spec, f"{at}.resources")
    yield from _rows(rows["pod"], spec, at)


def _resources(resources: Json, at: str, *, pod_level: bool = False) -> Problems:
    """Yield what is wrong with requests and limits; the limits come first, as on a server."""
    requests, limits = (listed(resources.get(kind)) for kind in KINDS)
    for kind, found in (("limits", limits), ("requests", requests)):
        for name, amount in found.items():
            field = f"{at}.{kind}[{name}]"
            if pod_level and not is_pod_level(name):
                known = 'supported values: "cpu", "hugepages-", "memory"'
                yield field, f"Unsupported value: {_shown(name)}: {known}"
            elif not pod_level:
                yield from _resource_name(name, field)
            if amount.value < 0:
                yield field, invalid(str(amount), _NEGATIVE)
            if is_extended(name) and amount.value.denominator != 1:
                yield field, invalid(str(amount), "must be an integer")
            if kind == "requests":
                yield from _below_limit(name, str(amount), limits.get(name), at)
    said = {*requests, *limits}
    if any(map(_is_huge, said)) and not said & {"cpu", "memory"}:
        yield at, "Forbidden: HugePages require cpu or memory"


def _is_huge(name: str) -> bool:
    return name.startswith("hugepages-")


def _below_limit(name: str, request: str, limit: Any, at: str) -> Problems:
    exact = is_extended(name) or _is_huge(name)
    if limit is None:
        if exact:
            yield (
                f"{at}.limits",
                "Required value: Limit must be set for non overcommitable resources",
            )
    elif exact and read(request).value != limit.value:
        yield f"{at}.requests", invalid(request, f"must be equal to {name} limit of {limit}")
    elif read(request).value > limit.value:
        text = f"must be less than or equal to {name} limit of {limit}"
        yield f"{at}.requests", invalid(request, text)


def _resource_name(name: str, field: str) -> Problems:
    if text := _key_problem(name):
        yield field, invalid(name, text)
    elif "/" not in name and name not in _STANDARD and not _is_huge(name):
        if name not in packaged("kube/validation.yaml")["standard"]:
            yield field, invalid(name, "must be a standard resource type or fully qualified")
        yield field, invalid(name, "must be a standard resource for containers")
    elif name.startswith("requests."):
        yield field, invalid(name, "doesn't follow extended resource name standard")


def _consistent(spec: Json, at: str) -> Problems:
    """Yield where a pod's own resources fall below those of its containers."""
    resources, pod = spec["resources"], {"spec": spec}
    requests, limits = (listed(resources.get(kind)) for kind in KINDS)
    for kind, own in (("requests", requests), ("limits", limits)):
        for name, total in sorted(container_amounts(pod, kind, spec_only=True).items()):
            level = is_pod_level(name) if kind == "requests" else _is_huge(name)
            if level and name in own and total.value > own[name].value:
                text = f"must be greater than or equal to aggregate container {kind} of {total}"
                yield f"{at}.{kind}[{name}]", invalid(str(own[name]), text)
    for index, container in enumerate(spec.get("containers") or []):
        for name, limit in listed((container.get("resources") or {}).get("limits")).items():
            if is_pod_level(name) and name in limits and limit.value > limits[name].value:
                text = f"must be less than or equal to pod limits of {limits[name]}"
                yield f"{at}.containers[{index}][{name}].limits", invalid(str(limit), text)


def _pod_update(doc: Json, old: Json) -> Problems:
    after, before = (_without(one["spec"], "image") for one in (doc, old))
    for key in ("containers", "initContainers"):
        if len(after.get(key) or []) != len(before.get(key) or []):
            yield f"spec.{key}", f"Forbidden: pod updates may not add or remove {_SAID[key]}"
            return
    kept = [one for one in old["spec"].get("tolerations") or [] if one not in _tolerated(doc)]
    if kept:
        text = "existing toleration can not be modified except its tolerationSeconds"
        yield "spec.tolerations", f"Forbidden: {text}"
    for key in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"):
        after.pop(key, None)
        before.pop(key, None)
    if any(after.get(key) != before[key] for key in before) or set(after) - set(before):
        yield "spec", f"Forbidden: {packaged('kube/validation.yaml')['pod_update']}"


_SAID = {"containers": "containers", "initContainers": "init containers"}


def _tolerated(pod: Json) -> list[Json]:
    return list(pod["spec"].get("tolerations") or [])


def _without(spec: Json, key: str) -> Json:
    lists = {
        name: [{k: v for k, v in one.items() if k != key} for one in spec[name]]
        for name in _SAID
        if spec.get(name)
    }
    return spec | lists


def _resized(doc: Json, old: Json) -> Problems:
    after, before = (_without(one["spec"], "resources") for one in (doc, old))
    if after != before:
        yield "spec", "Forbidden: only cpu and memory resources are mutable"
        return
    if sets_pod_level(old["spec"]) and doc["spec"].get("resources") != old["spec"]["resources"]:
        yield "spec", "Forbidden: only cpu and memory resources are mutable"
    for key in _SAID:
        pairs = zip(doc["spec"].get(key) or [], old["spec"].get(key) or [], strict=True)
        for index, (new, was) in enumerate(pairs):
            at = f"spec.{key}[{index}].resources"
            changed = new.get("resources") != was.get("resources")
            if changed and key == "initContainers" and was.get("restartPolicy") != "Always":
                yield at, "Forbidden: resources for non-sidecar init containers are immutable"
            for kind in KINDS:
                given, had = ((one.get("resources") or {}).get(kind) or {} for one in (new, was))
                if {"cpu", "memory"} & (set(had) - set(given)):
                    yield f"{at}.{kind}", f"Forbidden: resource {kind} cannot be removed"
                if any(given.get(n) != had.get(n) for n in {*given, *had} - {"cpu", "memory"}):
                    yield "spec", "Forbidden: only cpu and memory resources are mutable"
    if qos_class(doc) != qos_class(old):
        text = "Pod QOS Class may not change as a result of resizing"
        yield "spec", invalid(qos_class(doc), text)


# what compares fields of other kinds


def _quota(doc: Json) -> Problems:
    spec = doc.get("spec") or {}
    known = packaged("kube/validation.yaml")
    for key, amount in listed(spec.get("hard")).items():
        at = f"spec.hard[{key}]"
        if text := _key_problem(key):
            yield at, invalid(key, text)
        elif "/" not in key and not re.fullmatch(known["quota_key"], key):
            yield at, invalid(key, "must be a standard resource type or fully qualified")
            yield at, invalid(key, "must be a standard resource for quotas")
        if amount.value < 0:
            yield at, invalid(str(amount), _NEGATIVE)
        elif re.fullmatch(known["whole"], key) and amount.value.denominator != 1:
            yield at, invalid(str(amount), "must be an integer")
    scopes, hard = spec.get("scopes") or [], spec.get("hard") or {}
    yield from _scopes(scopes, scopes, hard, "spec.scopes", "spec.scopes")
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    at = "spec.scopeSelector.matchExpressions"
    names = [one.get("scopeName", "") for one in expressions]
    yield from _scopes(names, spec.get("scopeSelector"), hard, at, f"{at}.scopeName")
    for one in expressions:
        operator, values, name = one.get("operator"), one.get("values") or [], one.get("scopeName")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield f"{at}.operator", invalid(operator or "", "not a valid selector operator")
        elif name != "PriorityClass" and operator != "Exists":
            yield f"{at}.operator", invalid(operator, known["only_exists"])
        elif operator in ("In", "NotIn") and not values:
            yield f"{at}.values", f"Required value: {known['some_values']}"
        elif operator in ("Exists", "DoesNotExist") and values:
            yield f"{at}.values", invalid(values, known["no_values"])


def _scopes(names: list[str], shown: Any, hard: Json, at: str, unknown: str) -> Problems:
    known = packaged("kube/validation.yaml")["scopes"]
    for name in names:
        if name not in known:
            yield unknown, invalid(shown if at == unknown else name, "unsupported scope")
            continue
        standard = [key for key in hard if "/" not in key]
        if any(not re.fullmatch(known[name], key) for key in standard):
            yield at, invalid(shown, "unsupported scope applied to resource")
    for scope in ("BestEffort", "Terminating"):
        if {scope, f"Not{scope}"} <= set(names):
            yield at, invalid(shown, "conflicting scopes")


def _claim(doc: Json) -> Problems:
    size = listed(_value(doc, "spec.resources.requests")).get("storage")
    if size is None:
        yield "spec.resources[storage]", "Required value"
    elif size.value <= 0:
        yield "spec.resources[storage]", invalid(str(size), "must be greater than zero")


def _service(doc: Json) -> Problems:
    spec = doc.get("spec") or {}
    ports, headless = spec.get("ports") or [], spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        yield "spec.ports", "Required value"
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield f"spec.ports[{index}].name", "Required value"


def _autoscaler(doc: Json) -> Problems:
    spec = doc.get("spec") or {}
    if (most := spec.get("maxReplicas") or 0) < spec.get("minReplicas", 1) and most:
        text = "must be greater than or equal to `minReplicas`"
        yield "spec.maxReplicas", invalid(most, text)


def _moved(doc: Json, old: Json) -> Problems:
    given, had = ((one.get("spec") or {}).get("clusterIP") for one in (doc, old))
    if had and given != had and doc["spec"].get("type") != "ExternalName":
        yield "spec.clusterIPs[0]", invalid([given or ""], "may not change once set")


def _strategy(doc: Json) -> Problems:
    strategy = _value(doc, "spec.strategy") or {}
    rolling = strategy.get("rollingUpdate")
    at = "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate" and rolling:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield at, f"Forbidden: {text}"
    elif rolling and all(
        str(rolling.get(k)) in ("0", "0%") for k in ("maxSurge", "maxUnavailable")
    ):
        yield f"{at}.maxUnavailable", invalid(rolling["maxUnavailable"], _BOTH_ZERO)


_BOTH_ZERO = "may not be 0 when `maxSurge` is 0"


def _priority(doc: Json) -> Problems:
    name, most = doc["metadata"]["name"], 1000000000
    if name.startswith("system-"):
        text = "priority class names with 'system-' prefix are reserved for system use only"
        yield "metadata.name", f"Forbidden: {text}"
    elif doc.get("value", 0) > most:
        text = f"maximum allowed value of a user defined priority is {most}"
        yield "value", f"Forbidden: {text}"


def _config(doc: Json) -> Problems:
    for part in ("data", "binaryData"):
        for key in doc.get(part) or {}:
            if text := name_problem("config", key):
                yield f"{part}[{key}]", invalid(key, text)


def _schedule(doc: Json) -> Problems:
    schedule, zone = (_value(doc, f"spec.{key}") or "" for key in ("schedule", "timeZone"))
    if schedule and (text := cron.schedule_problem(schedule)):
        yield "spec.schedule", invalid(schedule, text)
    if zone and not cron.is_zone(zone):
        yield "spec.timeZone", invalid(zone, f"unknown time zone {zone}")


_MORE = {
    "resourcequotas": _quota,
    "limitranges": limitranges.problems,
    "persistentvolumeclaims": _claim,
    "services": _service,
    "horizontalpodautoscalers": _autoscaler,
    "deployments": _strategy,
    "priorityclasses": _priority,
    "configmaps": _config,
    "secrets": _config,
    "cronjobs": _schedule,
}


def _frozen(doc: Json, old: Json, free: list[str], text: str) -> Problems:
    after, before = (
        {key: value for key, value in (one.get("spec") or {}).items() if key not in free}
        for one in (doc, old)
    )
    if any(after.get(key) != value for key, value in before.items()) or set(after) - set(before):
        yield "spec", f"Forbidden: {text}"
