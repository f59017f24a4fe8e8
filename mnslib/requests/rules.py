"""What Azure and Kubernetes take for one value: names, amounts, words, keys, roles.

Each reader returns the typed value of a text, or raises `CellError` with everything that is wrong
and what to write instead. Knows no format of a file; text is never evaluated.

    >>> amount("memory_limit", "512Mi")
    Decimal('536870912')
"""

import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from mnslib.errors import cut, nearest
from mnslib.models import BUILT_IN_ROLES, ROLE_SHORT_NAMES, SERVICE_LABELS, format_quota_value
from mnslib.packaged import packaged
from mnslib.quantities import format_memory, parse_quantity, two_readings
from mnslib.requests.signs import examined
from mnslib.resource_ids import CLUSTER_NAME, GUID
from mnslib.secrets import RULE

Finding = tuple[str, str]
"""What is wrong, and what to write instead (empty where nobody can know)."""

Word = TypeVar("Word", bound=StrEnum)

_MESSAGES: Mapping[str, Mapping[str, str]] = packaged("mnslib.requests", "messages")
_DATA = packaged("mnslib.requests", "rules")
PROJECT_LABELS: Mapping[str, str] = _DATA["project_labels"]
_MEANT: Mapping[str, str] = _DATA["meant"]
_INSTEAD: Mapping[str, str] = _DATA["instead"]
SYSTEM_NAMESPACES = frozenset(_DATA["system_namespaces"])
"""Names the service refuses."""

LONGEST_LABEL = 63
"""Characters of a namespace name, a label value and a key's name. Source: Kubernetes, labels."""

LONGEST_PREFIX = 253
"""Characters of a key's prefix, a DNS subdomain. Source: Kubernetes, labels, "Syntax"."""

LARGEST_ANNOTATIONS_BYTES = 256 * 1024
"""All keys and values together. Source: Kubernetes API machinery, TotalAnnotationSizeLimitB."""

LONGEST_TAG_NAME, LONGEST_TAG_VALUE, MOST_TAGS = 512, 256, 50
"""Source: Azure Resource Manager, "Use tags to organize your resources", limitations."""

_NAMES = {
    "subscription_id": GUID,
    "resource_group": re.compile(r"[-\w.()]{0,89}[-\w()]"),
    "cluster_name": CLUSTER_NAME,
    "namespace_name": re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
}
"""Form of the names that say which namespace is meant. Source: Azure, naming rules for resources;
Kubernetes, object names."""

_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_TEXT = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_CPU = re.compile(r"(\d+\.?\d*|\.\d+)m?", re.ASCII)
_MEMORY = re.compile(r"(\d+\.?\d*|\.\d+)[KMGTPE]i", re.ASCII)
_LOOSE = re.compile(r"(?P<number>\d*[.,]?\d+)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_CPU_WORDS = re.compile(r"(m|(?i:milli))?(?i:v?(?:c|cpu|core)s?)?")
"""What people call cores and millicores; a capital M stands for neither."""


def say(name: str, fix: str | None = None, /, **facts: object) -> Finding:
    """Return a finding in the words of `messages.yaml`; `fix` is what to write where it varies."""
    words = _MESSAGES[name]
    told, write = (words.get(part, "").format(**facts) for part in ("told", "write"))
    return told, write if fix is None else fix


SECRET = say("secret", rule=RULE)
OF_SECRETS = (SECRET[0], say("secret_formula")[0])
"""What is told of a cell that may hold a secret: no copy is made of such a file."""


class CellError(ValueError):
    """A cell cannot be taken; `findings` holds everything that is wrong with it."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(message for message, _ in self.findings))


def refuse(message: str, suggestion: str = "") -> CellError:
    """Return the error of a cell in which one thing is wrong."""
    return CellError([(message, suggestion)])


def show(text: object) -> str:
    """Return outside text in quotes, without control characters, short enough for a message."""
    return repr(cut(text if isinstance(text, str) else reprlib.repr(text), 60))


def seen(text: str, read: Callable[[str], object] = str, *, is_name: bool = False) -> str:
    """Return a text that is what it looks like.

    Args:
        read: what has to take the text that is offered instead, or offers another one.
    """
    clean, odd = examined(text, is_name=is_name)
    if not odd:
        return text
    try:
        read(clean)
    except ValueError as error:
        clean = error.findings[0][1] if isinstance(error, CellError) else ""
    raise refuse(*say("text_signs", clean, odd=odd))


def one_of(text: str, words: type[Word]) -> Word:
    """Return the word of an enumeration; spelled exactly as Azure spells it."""
    known = [word.value for word in words]
    if text in known:
        return words(text)
    listed = " or ".join([", ".join(known[:-1]), known[-1]])
    raise refuse(*say("no_word", nearest(text, known) or listed, text=show(text)))


def role(text: str) -> str:
    """Return the full name of a role that can be granted; its short name will do."""
    name = ROLE_SHORT_NAMES.get(text, text)
    if text in _DATA["azure_roles"]:
        raise refuse(*say("azure_role", _DATA["azure_roles"][text], text=text))
    if name not in BUILT_IN_ROLES:
        words = nearest(text, [*ROLE_SHORT_NAMES, *BUILT_IN_ROLES]) or ", ".join(ROLE_SHORT_NAMES)
        raise refuse(*say("no_role", words, text=show(text)))
    return name


def name(column: str, text: str) -> str:
    """Return the text of a column that names subscription, group, cluster or namespace."""
    if not _NAMES[column].fullmatch(text):
        meant = _name_guess(column, text)
        raise refuse(*say("not_meant", meant, text=show(text), meant=_MEANT[column]))
    if column == "namespace_name" and text in SYSTEM_NAMESPACES:
        raise refuse(*say("system_namespace", text=show(text)))
    return text


def _name_guess(column: str, text: str) -> str:
    if column == "subscription_id":
        return _INSTEAD[column]
    if column == "namespace_name":
        bare = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_LABEL].strip("-")
        return bare if text.isascii() and bare not in SYSTEM_NAMESPACES else ""
    if "/" in text:
        return "the bare name, not an id"
    bare = text.rstrip(". ")
    return bare if _NAMES[column].fullmatch(bare) else ""


def amount(column: str, text: str, *, is_exact: bool = False) -> Decimal:
    """Return cores, of whole millicores written `500m` or `0.5`; else bytes, of whole KiB.

    Memory is written with Ki, Mi, Gi, Ti, Pi or Ei.

    Args:
        is_exact: the text is that of a number, in which a point is no sign of thousands.
    """
    resource, form, step, whole = (
        ("cpu", _CPU, Decimal("0.001"), "millicores")
        if column.startswith("cpu")
        else ("memory", _MEMORY, Decimal(1024), "KiB")
    )
    if not is_exact and (meant := two_readings(text)):
        offered = [_guess(column, one) for one in meant]
        fix = " or ".join(offered) if all(offered) else _INSTEAD["amount"]
        raise refuse(*say("two_readings", fix, text=show(text), readings=" or ".join(meant)))
    if not form.fullmatch(text):
        fix = _guess(column, text) or _INSTEAD[resource]
        raise refuse(*say("not_meant", fix, text=show(text), meant=_MEANT[resource]))
    try:
        found = parse_quantity(text)
    except ValueError as error:
        raise refuse(str(error)) from error
    if found % step:
        raise refuse(*say("not_whole", text=text, unit=whole))
    return found


def _guess(column: str, text: str) -> str:
    """Return another way to write an amount, of that very size; nothing where that is unknown."""
    match = _LOOSE.fullmatch(text)
    if match is None:
        return ""
    number, unit = match["number"].replace(",", "."), match["unit"]
    if column.startswith("cpu"):
        word = _CPU_WORDS.fullmatch(unit)
        return _offered(column, number + ("m" if word[1] else "")) if word else ""
    if re.fullmatch(r"(?i:[kmgtpe]ib?)", unit):
        return _offered(column, f"{number}{unit[0].upper()}i")
    try:
        exact = parse_quantity(number + unit)
    except ValueError:
        return ""
    is_meant = exact >= 2**20 and not exact % 1024  # nobody means a few bytes
    return _offered(column, format_memory(exact)) if is_meant else ""


def _offered(column: str, text: str) -> str:
    """Return an amount that is accepted as it is written here, if there is such a one."""
    try:
        size = amount(column, text, is_exact=True)
    except CellError:
        return ""
    return format_quota_value(column, size) if two_readings(text) else text


def label_findings(labels: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield what Kubernetes would refuse about labels; a value of None removes the key."""
    for key, value in labels.items():
        yield from _key_findings(key)
        if value and not _LABEL_TEXT.fullmatch(value):
            fix = re.sub(r"[^A-Za-z0-9_.]+", "-", value)[:LONGEST_LABEL].strip("-_.")
            # without its other letters a word is none
            yield say("label_value", fix if value.isascii() else "", value=show(value))


def annotation_findings(annotations: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield what Kubernetes would refuse about annotations; a value may be any text."""
    for key in annotations:
        yield from _key_findings(key)
    size = sum(len((key + (value or "")).encode()) for key, value in annotations.items())
    if size > LARGEST_ANNOTATIONS_BYTES:
        yield say("large_annotations", size=size, most=LARGEST_ANNOTATIONS_BYTES)


def _key_findings(key: str) -> Iterator[Finding]:
    prefix, slash, bare = key.rpartition("/")
    if key in SERVICE_LABELS:
        yield say("service_key", key=key)
    elif slash and (len(prefix) > LONGEST_PREFIX or not _DNS_SUBDOMAIN.fullmatch(prefix)):
        lower = f"{prefix.lower()}/{bare}"
        fix = "" if lower == key or any(_key_findings(lower)) else lower
        yield say("key_prefix", fix, key=show(key))
    elif not _LABEL_TEXT.fullmatch(bare):
        yield say("no_key", key=show(key))


def companion_findings(amounts: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield what a quota beside the service's own cannot hold; amounts by key, None removes it."""
    forms = "|".join(map("({})".format, _DATA["quota_keys"]))
    for key, value in amounts.items():
        if key.rpartition(".")[2] in ("cpu", "memory"):
            yield say("own_quota_key", key=key)
        elif not re.fullmatch(forms, key):
            yield say("no_quota_key", nearest(key, _DATA["quota_keys"]), key=show(key))
        elif value is not None and key.endswith("storage"):
            try:
                amount("memory", value)
            except CellError as error:
                yield from error.findings
        elif value is not None and not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            yield say("no_count", key=key, value=show(value))


def tag_findings(tags: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield what Azure would refuse about tags; it ignores the case of a name."""
    spelled: dict[str, str] = {}
    for key, value in tags.items():
        if forbidden := sorted(set(key) & set(_DATA["not_in_tag_names"])):
            fix = re.sub(f"[{re.escape(_DATA['not_in_tag_names'])}]+", "-", key).strip("- ")
            fix = fix if len(fix) <= LONGEST_TAG_NAME else ""
            yield say("tag_signs", fix, key=show(key), signs=" ".join(forbidden))
        if not 1 <= len(key) <= LONGEST_TAG_NAME:
            yield say("tag_name", most=LONGEST_TAG_NAME, count=len(key))
        if value is not None and len(value) > LONGEST_TAG_VALUE:
            yield say("tag_value", key=show(key), count=len(value), most=LONGEST_TAG_VALUE)
        if (first := spelled.setdefault(key.lower(), key)) != key:
            yield say("same_tag", first=show(first), key=show(key))
    if len(tags) > MOST_TAGS:
        yield say("many_tags", count=len(tags), most=MOST_TAGS)
