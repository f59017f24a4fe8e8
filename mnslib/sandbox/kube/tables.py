"""How a server shows objects when it is asked for a table, as `kubectl get` asks: tables.yaml.

Also the shorter forms, objects of which only the metadata is wanted. Knows no store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from mnslib.sandbox.kube.kinds import Kind
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.state import seconds
from mnslib.sandbox.wire import Call, Json

_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}
_MODES |= {"ReadWriteOncePod": "RWOP"}
_SPANS = (  # seconds below which a span is told in this unit, and the smaller one told with it
    (120, "s", 1, "", 1),
    (600, "m", 60, "s", 1),
    (3 * 3600, "m", 60, "", 1),
    (8 * 3600, "h", 3600, "m", 60),
    (48 * 3600, "h", 3600, "", 1),
    (8 * 86400, "d", 86400, "h", 3600),
    (730 * 86400, "d", 86400, "", 1),
    (2920 * 86400, "y", 365 * 86400, "d", 86400),
)


def form(call: Call) -> tuple[str, str]:
    """Return in which form the answer is wanted, and its API version; empty: as it is.

    The first of the header's choices that can be served counts.
    """
    for choice in call.headers.get("accept", "").split(","):
        media, *rest = (part.strip() for part in choice.split(";"))
        wanted = dict(part.partition("=")[::2] for part in rest)
        if media == "application/json" and "as" not in wanted:
            break
        known = wanted.get("as") in _FORMS and wanted.get("g") == "meta.k8s.io"
        if media == "application/json" and known and wanted.get("v") in ("v1", "v1beta1"):
            return wanted["as"], f"meta.k8s.io/{wanted['v']}"
    return "", ""


def single(call: Call, kind: Kind, doc: Json) -> Json:
    """Return one object in the form that the call wants."""
    wanted, version = form(call)
    if wanted == "Table":
        metadata = {"resourceVersion": doc["metadata"].get("resourceVersion", "")}
        return _table(call, kind, [doc], metadata, version)
    return _partial(doc, version) if wanted else doc


def several(call: Call, kind: Kind, items: list[Json], metadata: Json) -> Json:
    """Return a list in the form that the call wants."""
    wanted, version = form(call)
    if wanted == "Table":
        return _table(call, kind, items, metadata, version)
    word = f"{kind.word}List"
    if wanted:
        items, word = [_partial(doc, version) for doc in items], "PartialObjectMetadataList"
    version = version or kind.version
    return {"kind": word, "apiVersion": version, "metadata": metadata, "items": items}


def _partial(doc: Json, version: str) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": doc["metadata"]}


def _table(call: Call, kind: Kind, items: Iterable[Json], metadata: Json, version: str) -> Json:
    columns = _columns(kind.plural)
    include, now = call.query.get("includeObject", "Metadata"), call.state.now()
    rows = []
    for doc in items:
        context = {**doc, "object": doc, "now": now}
        row: Json = {"cells": [cell(context) for _, cell in columns]}
        if include != "None":
            row["object"] = doc if include == "Object" else _partial(doc, version)
        rows.append(row)
    body = {"kind": "Table", "apiVersion": version, "metadata": metadata}
    return body | {"columnDefinitions": [column for column, _ in columns], "rows": rows}


@cache
def _columns(plural: str) -> list[tuple[Json, Callable[[Json], Any]]]:
    table = packaged("kube/tables.yaml")
    found = []
    for name, text in table["columns"].get(plural, {"Name": "name", "Age": "age"}).items():
        text = table["words"].get(text, text)
        column = {
            "name": name.removeprefix("+"),
            "type": "integer" if text.endswith("|int") else "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": int(name.startswith("+")),
        }
        found.append((column, _reader(text)))
    return found


@cache
def _environment() -> Any:
    import jinja2  # where a table is asked for: the sandbox starts without

    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, autoescape=False)
    environment.filters.update(_FILTERS)
    environment.filters["age"] = jinja2.pass_context(
        lambda context, text: _since(text, context["now"])
    )
    environment.filters["lasting"] = jinja2.pass_context(
        lambda context, begun, ended: _span(begun, _moment(ended) or context["now"])
    )
    return environment


def _reader(text: str) -> Callable[[Json], Any]:
    from jinja2 import TemplateError

    if "{%" in text or "{{" in text:
        read = _environment().from_string(text).render
    else:
        read = _environment().compile_expression(text)

    def cell(context: Json) -> Any:
        try:
            found = read(context)
        except (TemplateError, TypeError, ValueError):  # of another type than the kind's
            return "<unknown>"
        return "" if found is None else found

    return cell


# filters: each takes whatever is stored


def _each(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _moment(text: Any) -> float | None:
    try:
        return seconds(str(text))
    except ValueError:
        return None


def human(span: float) -> str:
    """Return a span of time as a server writes it. Source: apimachinery, util/duration."""
    whole = math.floor(span)
    if whole < 0:
        return "<invalid>" if whole < -1 else "0s"
    for bound, unit, size, smaller, part in _SPANS:
        if whole < bound:
            rest = whole % size // part if smaller else 0
            return f"{whole // size}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{whole // (365 * 86400)}y"


def _since(text: Any, now: float) -> str:
    return _span(text, now) or "<unknown>"


def _span(begun: Any, ended: float) -> str:
    moment = _moment(begun)
    return "" if moment is None else human(ended - moment)


def _stays(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _true_types(conditions: Any, *types: str) -> list[str]:
    """Return those of the types that are true, in this order."""
    true = {one.get("type") for one in _each(conditions) if one.get("status") == "True"}
    return [kind for kind in types if kind in true]


def _pod_ready(pod: Json) -> str:
    spec, status = _map(pod.get("spec")), _map(pod.get("status"))
    sidecars = [one.get("name") for one in _each(spec.get("initContainers")) if _stays(one)]
    total = len(_each(spec.get("containers"))) + len(sidecars)
    known = _each(status.get("containerStatuses"))
    inits = _each(status.get("initContainerStatuses"))
    known += [one for one in inits if one.get("name") in sidecars]
    if not known and _true_types(status.get("conditions"), "Ready"):
        return f"{total}/{total}"  # a world's pods have conditions alone
    return f"{sum(bool(one.get('ready')) for one in known)}/{total}"


def _pod_status(pod: Json) -> str:
    spec, status = _map(pod.get("spec")), _map(pod.get("status"))
    reason = status.get("reason") or status.get("phase") or ""
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if reason == "NodeLost" else "Terminating"
    if any(one.get("reason") == "SchedulingGated" for one in _each(status.get("conditions"))):
        reason = "SchedulingGated"
    inits = {one.get("name"): one for one in _each(spec.get("initContainers"))}
    for index, one in enumerate(_each(status.get("initContainerStatuses"))):
        state = _map(one.get("state"))
        ended, word = state.get("terminated"), _map(state.get("waiting")).get("reason")
        sidecar = _stays(inits.get(one.get("name"), {})) and one.get("started")
        if (isinstance(ended, dict) and not ended.get("exitCode")) or sidecar:
            continue
        word = _ended(ended) if ended else word
        return f"Init:{index}/{len(inits)}" if word in (None, "PodInitializing") else f"Init:{word}"
    for one in reversed(_each(status.get("containerStatuses"))):
        state = _map(one.get("state"))
        ended = state.get("terminated")
        reason = _map(state.get("waiting")).get("reason") or (_ended(ended) if ended else reason)
    return str(reason)


def _ended(ended: Any) -> str:
    found = _map(ended)
    code = found.get("signal") and f"Signal:{found['signal']}"
    return str(found.get("reason") or code or f"ExitCode:{found.get('exitCode', 0)}")


def _pairs(labels: Any) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(_map(labels).items())) or "<none>"


def _selector(selector: Any) -> str:
    """Return a label selector as a server writes it. Source: apimachinery, FormatLabelSelector."""
    labels = _map(_map(selector).get("matchLabels"))
    texts = [_pairs(labels)] if labels else []
    for one in _each(_map(selector).get("matchExpressions")):
        key, values = one.get("key"), ",".join(sorted(map(str, one.get("values") or ())))
        forms = {"Exists": f"{key}", "DoesNotExist": f"!{key}", "In": f"{key} in ({values})"}
        texts.append(forms.get(str(one.get("operator")), f"{key} notin ({values})"))
    return ",".join(texts) or "<none>"


def _names(items: Any, *keys: str) -> str:
    """Return of each item what it has under the first of the keys."""
    found = [next((one[key] for key in keys if one.get(key)), None) for one in _each(items)]
    texts = [",".join(map(str, one)) if isinstance(one, list) else str(one) for one in found if one]
    return ",".join(texts)


def _quota(quota: Json, limits: bool) -> str:
    status = _map(quota.get("status"))
    hard, used = _map(status.get("hard")), _map(status.get("used"))
    keys = [key for key in sorted(hard) if key.startswith("limits.") == limits]
    return ", ".join(f"{key}: {used.get(key, '0')}/{hard[key]}" for key in keys)


_FILTERS: dict[str, Callable[..., Any]] = {
    "int": lambda value: value if isinstance(value, int) else 0,
    "pod_ready": _pod_ready,
    "pod_status": _pod_status,
    "true_types": _true_types,
    "pairs": _pairs,
    "selector": _selector,
    "names": _names,
    "quota": _quota,
    "modes": lambda modes: ",".join(_MODES.get(str(one), str(one)) for one in modes or ()),
}
