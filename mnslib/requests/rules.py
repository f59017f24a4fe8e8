"""What Azure and Kubernetes take for one value: names, amounts, words, keys, principals.

Each function returns the typed value of a text, or raises `CellError` with everything that is
wrong and what to write instead. Knows no format of a file; text is never evaluated.

    >>> memory_bytes("512Mi")
    Decimal('536870912')
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from mnslib.errors import Problem, SpecError, cut, nearest
from mnslib.models import SERVICE_LABELS
from mnslib.quantities import format_memory, parse_quantity
from mnslib.resource_ids import CLUSTER_NAME

Finding = tuple[str, str]
"""What is wrong, and what to write instead (empty where nobody can know)."""

Word = TypeVar("Word", bound=StrEnum)

SYSTEM_NAMESPACES = frozenset(
    {
        "default", "kube-system", "kube-node-lease", "kube-public", "gatekeeper-system",
        "cert-manager", "calico-system", "tigera-system", "app-routing-system",
        "aks-istio-system", "istio-system", "dapr-system", "flux-system", "prometheus-system",
        "eraser-system",
    }
)  # fmt: skip
"""Names the service refuses. Source: AKS, "Troubleshoot managed namespaces", 2025-08."""

LONGEST_LABEL = 63
"""Characters of a namespace name, a label value and a key's name. Source: Kubernetes, labels."""

LONGEST_PREFIX = 253
"""Characters of a key's prefix, a DNS subdomain. Source: Kubernetes, labels, "Syntax"."""

LONGEST_GROUP = 90
"""Characters of a resource group's name. Source: Azure, naming rules for resources."""

LARGEST_ANNOTATIONS_BYTES = 256 * 1024
"""All keys and values together. Source: Kubernetes API machinery, TotalAnnotationSizeLimitB."""

LONGEST_TAG_NAME, LONGEST_TAG_VALUE, MOST_TAGS = 512, 256, 50
"""Source: Azure Resource Manager, "Use tags to organize your resources", limitations."""

_NOT_IN_TAG_NAMES = "<>%&\\?/"
"""Source: as above."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_TEXT = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RESOURCE_GROUP = re.compile(r"[-\w.()]{0,89}[-\w()]")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CPU = re.compile(r"(\d+\.?\d*|\.\d+)m?", re.ASCII)
_MEMORY = re.compile(r"(\d+\.?\d*|\.\d+)[KMGTPE]i", re.ASCII)
_LOOSE = re.compile(r"(?P<number>\d*[.,]?\d+)\s*(?P<unit>[A-Za-z]*)", re.ASCII)


class CellError(ValueError):
    """A cell cannot be taken; `findings` holds everything that is wrong with it."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(message for message, _ in self.findings))


def problem(file: str, row: int | None, column: str | None, finding: Finding) -> Problem:
    """Return a finding with its place."""
    message, suggestion = finding
    return Problem(file=file, row=row, column=column, message=f"{message}.", suggestion=suggestion)


def file_error(path: Path, message: str, *, row: int | None = None, fix: str = "") -> SpecError:
    """Return the error of a file of which nothing can be used."""
    return SpecError([problem(path.name, row, None, (message, fix))])


def refuse(message: str, suggestion: str = "") -> CellError:
    """Return the error of a cell in which one thing is wrong."""
    return CellError([(message, suggestion)])


def show(text: object) -> str:
    """Return outside text in quotes, without control characters, short enough for a message."""
    return repr(cut(str(text), 60))


def one_of(text: str, words: type[Word]) -> Word:
    """Return the word of an enumeration; spelled exactly as Azure spells it."""
    known = [word.value for word in words]
    if text in known:
        return words(text)
    listed = " or ".join([", ".join(known[:-1]), known[-1]])
    raise refuse(f"{show(text)} is not known here", nearest(text, known) or listed)


def subscription_id(text: str) -> str:
    """Return a subscription id."""
    if not is_guid(text):
        raise refuse(
            f"{show(text)} is not a subscription id",
            "the GUID that `az account list` shows as id, not the subscription's name",
        )
    return text


def resource_group(text: str) -> str:
    """Return a resource group's name. Source: Azure, naming rules for resources."""
    if not _RESOURCE_GROUP.fullmatch(text):
        raise refuse(
            f"{show(text)} is not the name of a resource group: 1 to 90 letters, digits, "
            "- _ . ( ), no period at the end",
            "the bare name, not an id" if "/" in text else text.rstrip(". ")[:LONGEST_GROUP],
        )
    return text


def cluster_name(text: str) -> str:
    """Return a managed cluster's name."""
    if not CLUSTER_NAME.fullmatch(text):
        raise refuse(
            f"{show(text)} is not the name of a cluster: 1 to 63 letters, digits, - and _, "
            "a letter or digit first and last",
            "the bare name, not an id" if "/" in text else "",
        )
    return text


def namespace_name(text: str) -> str:
    """Return a managed namespace's name: a DNS label that is not a system namespace's."""
    if text in SYSTEM_NAMESPACES:
        raise refuse(f"{show(text)} is a system namespace, which the service refuses")
    if len(text) > LONGEST_LABEL or not _DNS_LABEL.fullmatch(text):
        raise refuse(
            f"{show(text)} is not a namespace name: 1 to {LONGEST_LABEL} lower-case letters, "
            "digits and hyphens, a letter or digit first and last",
            slug(text),
        )
    return text


def slug(text: str) -> str:
    """Return the DNS label nearest to `text`, empty if nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_LABEL].strip("-")


@lru_cache(maxsize=4096)  # a file asks for the same sizes again and again
def cpu_cores(text: str) -> Decimal:
    """Return cores, from whole millicores written `500m` or `0.5`."""
    if not _CPU.fullmatch(text):
        raise refuse(f"{show(text)} is not an amount of CPU", _cpu_guess(text))
    cores = _amount(text)
    millicores = (cores * 1000).to_integral_value()
    if millicores != cores * 1000:
        fix = f"{max(millicores, Decimal(1))}m"
        raise refuse(f"{text} is not a whole number of millicores", fix)
    return cores


@lru_cache(maxsize=4096)
def memory_bytes(text: str) -> Decimal:
    """Return bytes, from a whole number of KiB written with Ki, Mi, Gi, Ti, Pi or Ei."""
    if not _MEMORY.fullmatch(text):
        raise refuse(
            f"{show(text)} is not an amount of memory in a binary unit (Ki, Mi, Gi, Ti, Pi, Ei)",
            _memory_guess(text),
        )
    amount = _amount(text)
    kibibytes = (amount / 1024).to_integral_value()
    if kibibytes * 1024 != amount:
        fix = format_memory(max(kibibytes, Decimal(1)) * 1024)
        raise refuse(f"{text} is not a whole number of KiB", fix)
    return amount


def _amount(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise refuse(str(error)) from error


def _cpu_guess(text: str) -> str:
    usual = "cores, such as 0.5, or millicores, such as 500m"
    match = _LOOSE.fullmatch(text)
    if match is None:
        return usual
    number, unit = match["number"].replace(",", "."), match["unit"].lower()
    if unit in ("u", "n"):
        try:
            millicores = (parse_quantity(number + unit) * 1000).to_integral_value(ROUND_CEILING)
        except ValueError:  # more than anybody has
            return usual
        return f"{millicores}m"
    if unit.startswith("m") and not unit.startswith("mi"):
        return f"{number}m"
    return number if unit.startswith(("c", "v")) or not unit else usual


def _memory_guess(text: str) -> str:
    usual = "a number with a unit, such as 512Mi or 2Gi"
    match = _LOOSE.fullmatch(text)
    if match is None:
        return usual
    number, unit = match["number"].replace(",", "."), match["unit"]
    binary = f"{unit[:1].upper()}i" if unit else "Mi"
    if binary[0] not in "KMGTPE":
        return usual
    try:
        exact = parse_quantity(number + unit)
    except ValueError:  # such as GB or gi: the letter says which unit is meant
        return number + binary
    if unit == binary:  # the number was the mistake
        return number + binary
    if exact < 2**20:  # such as 512 or 512m: nobody means bytes
        return f"{number}{binary}" if unit else f"{number}Gi or {number}Mi"
    enough = format_memory((exact / 2**20).to_integral_value(ROUND_CEILING) * 2**20)
    return f"{enough} for that amount, or {number}{binary}" if unit else enough


def label_findings(key: str, value: str | None) -> list[Finding]:
    """Return what Kubernetes would refuse about one label; a value of None removes the key."""
    return metadata_key_findings(key) + ([] if value is None else label_value_findings(value))


def label_value_findings(value: str) -> list[Finding]:
    """Return what Kubernetes would refuse about a label's value; an empty one is fine."""
    if value == "" or (len(value) <= LONGEST_LABEL and _LABEL_TEXT.fullmatch(value)):
        return []
    message = (
        f"{show(value)} is not a label value: at most {LONGEST_LABEL} letters, digits, - _ and ."
    )
    fix = re.sub(r"[^A-Za-z0-9_.]+", "-", value)[:LONGEST_LABEL].strip("-_.")
    return [(f"{message}, a letter or digit first and last", fix)]


def metadata_key_findings(key: str) -> list[Finding]:
    """Return what is wrong with the key of a label or annotation."""
    if key in SERVICE_LABELS:
        return [(f"the key {key} belongs to the service, which sets it itself", "")]
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > LONGEST_PREFIX or not _DNS_SUBDOMAIN.fullmatch(prefix)):
        message = f"the key {show(key)} has a prefix that is no lower-case DNS name"
        return [(message, prefix.lower())]
    if len(name) > LONGEST_LABEL or not _LABEL_TEXT.fullmatch(name):
        form = f"[prefix/]name, the name 1 to {LONGEST_LABEL} letters, digits, - _ and ."
        message = f"{show(key)} is not a key: {form}, a letter or digit first and last"
        return [(message, "")]
    return []


def annotation_size_findings(pairs: Iterable[tuple[str, str | None]]) -> list[Finding]:
    """Return the finding that the annotations together are larger than Kubernetes takes."""
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in pairs)
    if size <= LARGEST_ANNOTATIONS_BYTES:
        return []
    message = f"the annotations have {size} bytes together; Kubernetes takes at most"
    return [(f"{message} {LARGEST_ANNOTATIONS_BYTES}", "")]


def tag_findings(name: str, value: str | None) -> list[Finding]:
    """Return what Azure would refuse about one tag; a value of None removes it."""
    found: list[Finding] = []
    if forbidden := sorted(set(name) & set(_NOT_IN_TAG_NAMES)):
        kept = "".join(c for c in name if c not in _NOT_IN_TAG_NAMES)
        found.append((f"the tag name {show(name)} holds {' '.join(forbidden)}", show(kept)))
    if not 1 <= len(name) <= LONGEST_TAG_NAME:
        found.append((f"a tag name has 1 to {LONGEST_TAG_NAME} characters, not {len(name)}", ""))
    if value is not None and len(value) > LONGEST_TAG_VALUE:
        message = f"the value of tag {show(name)} has {len(value)} characters; Azure takes at most"
        found.append((f"{message} {LONGEST_TAG_VALUE}", ""))
    return found


def is_guid(text: str) -> bool:
    """Return whether `text` has the form of an object id."""
    return _GUID.fullmatch(text) is not None
