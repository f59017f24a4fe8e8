"""What a body says of an object: JSON, YAML or protobuf, decoded as the API server decodes it.

Errors have Go's words. Fields that a kind does not have are dropped, and told as the request's
`fieldValidation` wants it; quantities come back in the server's form.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Any

from mnslib.sandbox.amounts import exact
from mnslib.sandbox.kube import protobuf
from mnslib.sandbox.kube.schema import Shape, data, fields, model_of
from mnslib.sandbox.wire import Call, Json, Refusal, kube_error

_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_BOUNDS = {"int32": 2**31, "int64": 2**63}
_DIRECTIVES = ("", "Ignore", "Strict", "Warn")
_LEVELS = 100  # of YAML
_TOLD = 100  # unknown fields; Source: sigs.k8s.io/json
_SHOWN = 256  # characters of a warning; Source: apiserver, pkg/endpoints/filters/warning.go


class Undecodable(Exception):  # noqa: N818 - it is an answer, not a defect
    """The value is none of its type; the text has Go's words, `converted` those of its converter.

    A strategic merge patch's result is converted, anything else decoded.
    """

    def __init__(self, text: str, converted: str = "") -> None:
        super().__init__(text)
        self.converted = converted or text


class Repeated(Json):
    """An object of a JSON text in which names stood twice."""

    names: Collection[str] = ()


def read(call: Call, version: str, word: str) -> Json:
    """Return the object in the body, with its version and kind.

    Raises:
        Refusal: 400 with the decoder's words, 415 for a form that is not read.
    """
    media = call.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    try:
        if media == protobuf.MEDIA:
            doc = protobuf.decoded(call.body, version, word)
        elif media in ("application/json", "application/yaml"):
            doc = parsed(call, yaml="yaml" in media)
        else:
            text = "the body of the request was in an unknown format - accepted media types "
            text += f"include: application/json, application/yaml, {protobuf.MEDIA}"
            raise kube_error(415, "UnsupportedMediaType", text)
        if not isinstance(doc, dict):
            raise ValueError(f"json: cannot unmarshal {_word(doc)} into Go value of type struct")
    except LookupError as error:
        raise kube_error(415, "UnsupportedMediaType", str(error)) from None
    except ValueError as error:
        start = call.body[:30]
        summary = start.decode(errors="replace") if start.startswith(b"{") else start.hex()
        summary = (summary or "<empty>") + " ..." * (len(call.body) > len(start))
        text = f"the object provided is unrecognized (must be of type {word}): couldn't get "
        text += f"version/kind; json parse error: {error} ({summary})"
        raise kube_error(400, "BadRequest", text) from None
    check_type(doc, version, word)
    try:
        found, strict = decode(doc, model_of(version, word))
    except Undecodable as error:
        raise _unhandled(version, word, word, str(error)) from None
    if text := told(call, strict):
        raise _unhandled(version, word, word, text)
    return whole(found, version, word)


def whole(doc: Json, version: str, word: str) -> Json:
    """Return an object with its type, and a spec if its kind has one, though it be empty."""
    spec: Json = {"spec": {}} if "spec" in fields(model_of(version, word)) else {}
    return spec | doc | {"apiVersion": version, "kind": word}


def parsed(call: Call, *, yaml: bool = False) -> Any:
    """Return the parsed body, objects in which a name stands twice as `Repeated`.

    Raises:
        ValueError: if it is neither JSON nor, where that is taken, YAML.
    """
    if yaml:
        call.body = _as_json(call.body)
    if not call.body.strip():
        raise ValueError("unexpected end of JSON input")
    return call.json(pairs=_paired)


def _paired(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    again = Repeated(found)
    again.names = {name for name, times in Counter(name for name, _ in pairs).items() if times > 1}
    return again


def _as_json(body: bytes) -> bytes:
    """Return YAML as JSON, which it may be already.

    Raises:
        ValueError: if it is no YAML, or has aliases, by which a short text may mean a long one.
    """
    import yaml

    with suppress(ValueError, RecursionError):
        json.loads(body)
        return body
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        level = 0
        for event in yaml.parse(body, loader):
            level += isinstance(event, yaml.CollectionStartEvent)
            level -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or level > _LEVELS:
                raise ValueError("yaml: aliases and deep nesting are not taken")
        return json.dumps(yaml.load(body, loader), default=_time_text).encode()
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"yaml: {error}") from None


def _time_text(value: Any) -> str:
    """Return what YAML takes for a time as the text that it is to an API server."""
    return str(value.isoformat()).replace("+00:00", "Z")


def check_type(doc: Json, version: str, word: str) -> None:
    """Refuse an object that says to be of another kind or API version.

    Raises:
        Refusal: 400.
    """
    given, theirs = str(doc.get("apiVersion") or version), str(doc.get("kind") or word)
    model = model_of(given, theirs)
    if (given, theirs) == (version, word) or (model and model == model_of(version, word)):
        return
    if not model:
        text = f'no kind "{theirs}" is registered for version "{given}" {_SCHEME}'
        raise _unhandled(given, theirs, word, text)
    if theirs != word:
        inner = version.rpartition("/")[0].partition(".")[0] or "core"
        text = f"converting ({given.rpartition('/')[2]}.{theirs}) to ({inner}.{word}): unknown "
        raise _unhandled(given, theirs, word, f"{text}conversion")
    text = f"the API version in the data ({given}) does not match the expected API version "
    raise kube_error(400, "BadRequest", f"{text}({version})")


def _unhandled(version: str, theirs: str, word: str, text: str) -> Refusal:
    name = version.rpartition("/")[2]
    text = f'{theirs} in version "{name}" cannot be handled as a {word}: {text}'
    return kube_error(400, "BadRequest", text)


# strictness


def told(call: Call, strict: list[str]) -> str:
    """Return the error that unknown and repeated fields are, or empty, with warnings instead.

    Raises:
        Refusal: 422 for another word than Strict, Warn or Ignore.
    """
    directive = call.query.get("fieldValidation", "")
    if directive not in _DIRECTIVES:
        known = '", "'.join(_DIRECTIVES)
        options = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(call.method, "PatchOptions")
        text = f'{options}.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: '
        text += f'"{directive}": supported values: "{known}"'
        raise kube_error(422, "Invalid", text)
    if strict and directive == "Strict":
        return f"strict decoding error: {', '.join(strict)}"
    if directive != "Ignore":
        call.warnings += [text[:_SHOWN] for text in strict]
    return ""


# decoding


def decode(doc: Json, model: str) -> tuple[Json, list[str]]:
    """Return an object as its kind's type holds it, and what strictness would refuse of it.

    Raises:
        Undecodable: if something has another type.
    """
    if not model:
        return doc, []
    decoder = _Decoder()
    found = decoder.members(doc, model, (), "")
    if decoder.wrong:
        raise decoder.wrong
    return found, decoder.strict[:_TOLD]


class _Decoder:
    """Decodes as Go does: the first wrong type is told at the end, an odd quantity at once."""

    def __init__(self) -> None:
        self.wrong: Undecodable | None = None
        self.strict: list[str] = []

    def members(self, doc: Json, model: str, names: tuple[str, ...], at: str) -> Json:
        """Return the fields that a model has, as it has them.

        `names` is the path as decoding errors tell it, `at` as strictness does.
        """
        known = fields(model)
        found: Json = {}
        for name, value in doc.items():
            place = f"{at}.{name}" if at else name
            if isinstance(doc, Repeated):
                self.strict += [f'duplicate field "{place}"'] * (name in doc.names)
            if name not in known:
                self.strict.append(f'unknown field "{place}"')
            elif value is not None:
                taken = self._value(value, known[name], model, (*names, name), place)
                found |= {} if known[name].omits(taken) else {name: taken}
        return found

    def _value(self, value: Any, shape: Shape, model: str, names: tuple[str, ...], at: str) -> Any:
        single = shape.form == "one" and not shape.is_object
        if not single and not isinstance(value, list if shape.form == "list" else dict):
            return self._mismatch(value, shape, model, names)
        if shape.is_object:
            return self.members(value, shape.of, names, at)
        if single:
            return self._single(value, shape, model, names)
        if isinstance(value, Repeated):
            self.strict += [f'duplicate field "{at}.{name}"' for name in value.names]
        pairs: Any = value.items() if shape.form == "map" else enumerate(value)
        place = "{}[{}]" if shape.form == "list" else "{}.{}"
        inner = {
            key: self._value(one, shape.inner, model, names, place.format(at, key))
            for key, one in pairs
            if one is not None
        }
        kept = {key: one for key, one in inner.items() if one is not None}
        return kept if shape.form == "map" else list(kept.values())

    def _single(self, value: Any, shape: Shape, model: str, names: tuple[str, ...]) -> Any:
        match shape.of:
            case "Quantity":
                return _quantity(value)
            case "Time" | "MicroTime":
                return _time(value)
            case "IntOrString":
                if not isinstance(value, (str, int)) or isinstance(value, bool):
                    text = f"json: cannot unmarshal {_word(value)} into Go value of type int32"
                    raise Undecodable(text)
                return value
            case "any":
                return value
        kinds: dict[str, Any] = {"integer": int, "boolean": bool, "number": (int, float)}
        fits = isinstance(value, kinds.get(shape.of, str))
        fits = fits and isinstance(value, bool) == (shape.of == "boolean")
        if fits and shape.of == "integer":
            bound = _BOUNDS.get(shape.go, 2**31)
            fits = -bound <= value < bound
        if not fits:
            return self._mismatch(value, shape, model, names)
        return self._base64(value) if shape.of == "bytes" else value

    def _mismatch(self, value: Any, shape: Shape, model: str, names: tuple[str, ...]) -> None:
        word = _word(value)
        shown = f"number {value}" if (word, shape.of) == ("number", "integer") else word
        text = f"json: cannot unmarshal {shown} into Go struct field "
        text += f"{model.partition('.')[2]}.{'.'.join(names)} of type {shape.type_name}"
        self.wrong = self.wrong or Undecodable(text, _unconverted(value, shape))

    def _base64(self, value: str) -> str | None:
        try:
            base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
            return value
        except binascii.Error:
            odd = re.search(r"[^A-Za-z0-9+/]", value)
            at = odd.start() if odd else len(value) // 4 * 4
            self.wrong = self.wrong or Undecodable(f"illegal base64 data at input byte {at}")
            return None


def _unconverted(value: Any, shape: Shape) -> str:
    """Return why a value is not converted. Source: apimachinery, pkg/runtime/converter.go."""
    kinds = {str: "string", bool: "bool", int: "int64", float: "float64", list: "slice"}
    theirs = kinds.get(type(value), "map")
    if shape.form != "one":
        return f"cannot restore {'map' if shape.form == 'map' else 'slice'} from {theirs}"
    if shape.is_object:
        return f"cannot restore struct from: {theirs}"
    if (theirs, shape.of) in (("int64", "string"), ("float64", "integer"), ("int64", "integer")):
        return f"cannot convert {theirs} to {shape.type_name}"
    kind = shape.go if shape.of == "integer" and shape.go else data("words")[shape.of]["go"]
    return f"unrecognized type: {kind}"


def _word(value: Any) -> str:
    kinds = {str: "string", bool: "bool", list: "array", dict: "object", Repeated: "object"}
    return kinds.get(type(value), "number")


def _quantity(value: Any) -> str:
    """Return a quantity in the server's form. Source: apimachinery, ParseQuantity."""
    try:
        return str(exact(str(value).strip() if isinstance(value, (str, int, float)) else ""))
    except ValueError as error:
        raise Undecodable(str(error)) from None


def _time(value: Any) -> str:
    if not isinstance(value, str):
        raise Undecodable(f"json: cannot unmarshal {_word(value)} into Go value of type string")
    try:
        datetime.fromisoformat(value)
        valid = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", value)
    except ValueError:
        valid = None
    if not valid:
        text = f'parsing time "{value}" as "{_LAYOUT}": cannot parse "{value}" as "2006"'
        raise Undecodable(text)
    return value
