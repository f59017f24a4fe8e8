"""Protobuf bodies, as typed clients send them: the envelope, and any kind that fields.yaml numbers.

Source: apimachinery `pkg/runtime/serializer/protobuf`, `generated.proto` of each group.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from mnslib.sandbox.kube.schema import Shape, fields, model_of
from mnslib.sandbox.wire import Json

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_LEVELS = 60  # of messages; Source: none, no kind has a third of it
Member = bytes | int
Message = dict[int, list[Member]]


def decoded(body: bytes, version: str, word: str) -> Json:
    """Return the object in a body, as its JSON would be.

    Raises:
        ValueError: if it is no message of this kind, or of a kind without numbers.
    """
    if not body.startswith(_MAGIC):
        text = (
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
        raise ValueError(text)
    envelope = _message(body[len(_MAGIC) :])
    types = _message(_bytes(envelope, 1))
    version, word = _text(types, 1) or version, _text(types, 2) or word
    model = model_of(version, word)
    if not any(shape.number for shape in fields(model).values()):
        raise ValueError(f"no kind {word!r} in {version!r} is read in protobuf; send JSON")
    return {"apiVersion": version, "kind": word} | _object(_bytes(envelope, 2), model, 0)


def _object(data: bytes, model: str, level: int) -> Json:
    if level > _LEVELS:
        raise ValueError("it is nested too deeply")
    message, found = _message(data), {}
    for name, shape in fields(model).items():
        *outer, number = shape.number or (0,)
        part = message
        for step in outer:
            part = _message(_bytes(part, step))
        if number in part:
            value = _field(part[number], shape, level)
            if shape.pointer or value not in ("", 0, False, None):
                found[name] = value
    return found


def _field(members: list[Member], shape: Shape, level: int) -> Any:
    if shape.form == "map":
        entries = [_message(_data(one)) for one in members]
        return {
            _text(entry, 1): _single(entry.get(2, [b""])[-1], shape.inner, level)
            for entry in entries
        }
    if shape.form == "list":
        return [_single(one, shape.inner, level) for one in members]
    return _single(members[-1], shape, level)


def _single(member: Member, shape: Shape, level: int) -> Any:
    if "." in shape.of:
        return _object(_data(member), shape.of, level + 1)
    return _READERS[shape.of](member)


def _integer(member: Member) -> int:
    if not isinstance(member, int):
        raise ValueError("a number is expected")
    return member - 2**64 if member >= 2**63 else member


def _string(member: Member) -> str:
    return _data(member).decode()


def _int_or_string(member: Member) -> int | str:
    message = _message(_data(member))
    if message.get(1, [0])[-1]:
        return _text(message, 3)
    return _integer(message.get(2, [0])[-1])


def _time(member: Member) -> str | None:
    message = _message(_data(member))
    if not message:
        return None
    seconds = timedelta(seconds=_integer(message.get(1, [0])[-1]))
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + seconds:%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        raise ValueError("a time is out of range") from None


def _raw(member: Member) -> Any:
    text = _bytes(_message(_data(member)), 1)
    return json.loads(text) if text else None


_READERS = {
    "string": _string,
    "integer": _integer,
    "boolean": lambda member: bool(_integer(member)),
    "bytes": lambda member: base64.b64encode(_data(member)).decode(),
    "Quantity": lambda member: _text(_message(_data(member)), 1),
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _time,
    "any": _raw,
}


# messages


def _message(data: bytes) -> Message:
    """Return the members of a message by number.

    Raises:
        ValueError: at a sudden end, or a wire type that no kind has.
    """
    found: Message = {}
    for number, member in _members(data):
        found.setdefault(number, []).append(member)
    return found


def _members(data: bytes) -> Iterator[tuple[int, Member]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 2:
            if at + value > len(data):
                raise ValueError("unexpected EOF")
            yield key >> 3, data[at : at + value]
            at += value
        elif key & 7 == 0:
            yield key >> 3, value
        else:
            raise ValueError(f"proto: illegal wireType {key & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("unexpected EOF")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value & (2**64 - 1), at


def _data(member: Member) -> bytes:
    if not isinstance(member, bytes):
        raise ValueError("a message is expected")
    return member


def _bytes(message: Message, number: int) -> bytes:
    return _data(message.get(number, [b""])[-1])


def _text(message: Message, number: int) -> str:
    return _bytes(message, number).decode()
