"""The fields of every kind: from the typed models' text (lightkube-models) and fields.yaml.

The models are read, not imported: importing them imports a client too, which takes half a second
and the sandbox has no use for. Knows no request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

_MODEL = re.compile(r'^class (\w+)\(DictMixin\):\n    r"""(.*?)"""', re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^      \* \*\*(\w+)\*\* ``(.+?)`` - (.*)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a value may be: one of a type, a list of them, or a map of names to them.

    `of` is a model (`core_v1.PodSpec`) or a word: string, integer, number, boolean, bytes,
    Quantity, IntOrString, Time, MicroTime, any. `go` is how Go names the single type.
    """

    form: str = "one"
    of: str = "any"
    go: str = ""
    required: bool = False
    pointer: bool = False
    number: tuple[int, ...] = ()
    merge: Json = field(default_factory=dict)
    description: str = ""

    @property
    def is_object(self) -> bool:
        """Whether it is one value with fields of its own."""
        return self.form == "one" and "." in self.of

    @property
    def inner(self) -> Shape:
        """The shape of what a list or map holds."""
        return Shape(of=self.of, go=self.go)

    @property
    def enum(self) -> dict[str, str]:
        """The words that it may be, with what is said of each; empty for any."""
        found: dict[str, str] = data("enums").get(self.go, {})
        return found

    def omits(self, value: Any) -> bool:
        """Return whether a server leaves this value of a field out, as Go's omitempty does."""
        plain = self.form != "one" or self.of in ("string", "integer", "boolean", "number")
        known = bool(self.number) and not (self.required or self.pointer)
        return value is None or (plain and known and not value)

    @property
    def type_name(self) -> str:
        """The name of the type in a decoding error."""
        module, _, name = self.of.partition(".")
        own = f"{module.rpartition('_')[2]}.{name}" if name else data("words")[self.of]["go"]
        found = {"list": "[]", "map": "map[string]"}.get(self.form, "") + (self.go or own)
        return "v1.ResourceList" if found == "map[string]resource.Quantity" else found


def model_of(version: str, word: str) -> str:
    """Return the model of a kind by its API version; empty if there is none.

    Options of a delete are of any version, as clients send them.
    """
    group, _, name = version.rpartition("/")
    model = f"{group.partition('.')[0] or 'core'}_{name}.{word}"
    return next((one for one in (model, f"meta_v1.{word}") if _text(one)), "")


@cache
def fields(model: str) -> dict[str, Shape]:
    """Return the fields of a model by name."""
    numbers, merges = data("numbers").get(model, ""), data("merges").get(model, {})
    known = {name: rest for name, _, rest in (one.partition(":") for one in numbers.split())}
    found = {}
    for text in re.split(r"\n(?=      \* \*\*)", _text(model)):
        if match := _FIELD.search(text):
            name = match[1].removesuffix("_")
            if known and name not in known and name not in ("apiVersion", "kind"):
                continue  # of a later server than the one that is imitated
            merge = merges.get(name, {})
            found[name] = _shape(model, match[2], known.get(name, ""), merge, match[3])
    return found


def description(model: str) -> str:
    """Return what a model says of itself."""
    return _joined(_text(model).partition("**parameters**")[0])


def is_atomic(shape: Shape) -> bool:
    """Return whether server-side apply takes a value whole."""
    if shape.form == "list":
        return shape.merge.get("list") not in ("map", "set")
    return shape.merge.get("map") == "atomic" or (shape.is_object and shape.of in data("atomic"))


def _shape(model: str, hint: str, token: str, merge: Json, text: str) -> Shape:
    """Return a field's shape by its model's type hint and its token in fields.yaml."""
    number, _, kind = token.partition(":")
    required, form, go = not hint.startswith("Optional["), "one", kind.removeprefix("*")
    hint = hint if required else hint[9:-1]
    if hint.startswith("List["):
        form, hint = "list", hint[5:-1]
    qualified = hint if "." in hint else f"{model.partition('.')[0]}.{hint}"
    words = data("words").items()
    of = next((name for name, word in words if {hint, qualified} & set(word["hints"])), qualified)
    if go.startswith("map/"):
        form, of, go = "map", go[4:], ""
    return Shape(
        form=form,
        of=of,
        go=go,
        required=required,
        pointer=kind.startswith("*"),
        number=tuple(map(int, number.split("."))) if number else (),
        merge=merge,
        description=_joined(text),
    )


def _joined(text: str) -> str:
    """Return a text without the line breaks that only wrap it."""
    parts = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(part.split()) for part in parts)


def data(section: str) -> Json:
    """Return a section of fields.yaml."""
    found: Json = packaged("kube/fields.yaml")[section]
    return found


@lru_cache(maxsize=64)  # clients name modules too
def _texts(module: str) -> dict[str, str]:
    folders = getattr(find_spec("lightkube"), "submodule_search_locations", None) or []
    files = [Path(folder) / "models" / f"{module}.py" for folder in folders]
    return {
        match[1]: match[2]
        for file in files
        if file.is_file()
        for match in _MODEL.finditer(file.read_text("utf-8"))
    }


def _text(model: str) -> str:
    module, _, name = model.partition(".")
    return _texts(module).get(name, "") if module.isidentifier() else ""
