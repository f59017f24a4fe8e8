"""Protobuf bodies, as typed clients send them: the envelope, and any kind that fields.yaml numbers.

Source: apimachinery `pkg/runtime/serializer/protobuf`, `generated.proto` of each group.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mnslib.sandbox.kube.schema import Shape, fields, model_of
from mnslib.sandbox.wire import Json

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_LEVELS = 60  # of messages; Source: none, no kind has a third of it
Message = dict[int, list[Any]]


def decoded(body: bytes, version: str, word: str) -> Json:
    """Return the object in a body, as its JSON would be.

    Raises:
        LookupError: if fields.yaml does not number its kind.
        ValueError: if it is no message of this kind.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message")
    try:
        envelope = _message(body[len(_MAGIC) :])
        types = _message(_last(envelope, 1))
        version, word = _last(types, 1).decode() or version, _last(types, 2).decode() or word
        raw, model = _last(envelope, 2), model_of(version, word)
        if any(shape.number for shape in fields(model).values()):
            return {"apiVersion": version, "kind": word} | _object(raw, model, 0)
    except (AttributeError, IndexError, OverflowError, TypeError) as error:
        raise ValueError(f"proto: a member is none of its type: {error}") from error
    raise LookupError(f"{word} in {version} is not read in protobuf here: send it as JSON")


def _object(data: bytes, model: str, level: int) -> Json:
    if level > _LEVELS:
        raise ValueError("it is nested too deeply")
    message = _message(data)
    found: Json = {}
    for name, shape in fields(model).items():
        *outer, number = shape.number or (0,)
        part = message
        for step in outer:
            part = _message(_last(part, step))
        if number in part:
            value = _field(part[number], shape, level)
            found |= {} if shape.omits(value) else {name: value}
    return found


def _field(members: list[Any], shape: Shape, level: int) -> Any:
    if shape.form == "map":
        entries = [_message(one) for one in members]
        return {
            _last(entry, 1).decode(): _single(_last(entry, 2), shape, level) for entry in entries
        }
    values = [_single(one, shape, level) for one in members]
    return values if shape.form == "list" else values[-1]


def _single(member: Any, shape: Shape, level: int) -> Any:
    if "." in shape.of:
        return _object(member, shape.of, level + 1)
    return _READERS[shape.of](member)


def _integer(member: int) -> int:
    return member - 2**64 if member >= 2**63 else member


def _int_or_string(member: bytes) -> int | str:
    message = _message(member)
    text: str = _last(message, 3).decode()
    return text if _last(message, 1, 0) else _integer(_last(message, 2, 0))


def _time(member: bytes) -> str | None:
    message = _message(member)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=_integer(_last(message, 1, 0)))
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if message else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": bytes.decode,
    "integer": _integer,
    "boolean": bool,
    "bytes": lambda member: base64.b64encode(member).decode(),
    "Quantity": lambda member: _last(_message(member), 1).decode(),
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _time,
    "any": lambda member: json.loads(_last(_message(member), 1) or b"null"),
}


# messages


def _message(data: bytes) -> Message:
    """Return the members of a message by number: numbers, and what else they are as bytes."""
    found: Message = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: Any
        value, at = _varint(data, at)
        if key & 7 == 2:
            if at + value > len(data):
                raise ValueError("unexpected EOF")
            value, at = data[at : at + value], at + value
        elif key & 7:
            raise ValueError(f"proto: illegal wireType {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 128 and shift < 63:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | (data[at] & 127) << shift, at + 1


def _last(message: Message, number: int, default: Any = b"") -> Any:
    return message.get(number, [default])[-1]
