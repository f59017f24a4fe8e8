"""The policy file: what the requests of an organization have to keep to, beyond what Azure takes.

It looks at requests only, so that a mistake has its row and column: a required label must stand in
the row, or in its tier, also where the namespace has it already. Of a request with `ensure: absent`
only the cluster counts. Knows nothing of what is there.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from mnslib import models
from mnslib.requests import rules
from mnslib.requests.cells import KIND_WORDS, PRINCIPAL_KINDS
from mnslib.requests.columns import Quota, read_settings
from mnslib.requests.rules import Finding, refuse, say, show
from mnslib.resource_ids import GUID, ClusterId

Required = dict[str, list[Annotated[str, AfterValidator(rules.seen)]] | None]
"""Allowed values by key; None stands for any value."""


def _cluster(text: str) -> str:
    if "/" not in text:
        return rules.name("cluster_name", text).lower()
    cluster = ClusterId.parse(text)
    if cluster.key != text.rstrip("/").lower():
        raise refuse(*say("policy_cluster", f"{cluster}", text=show(text)))
    return cluster.key


def _principal(text: str) -> str:
    kind, colon, principal = text.partition(":")
    if kind not in PRINCIPAL_KINDS or (colon and not GUID.fullmatch(principal)):
        raise refuse(*say("policy_principal", text=show(text)))
    return text.lower()


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _seen(cls, said: Any, read: Callable[[Any], Any]) -> Any:
        if isinstance(said, list):
            for one in said:
                if isinstance(one, str):
                    rules.seen(one, lambda clean: read([clean]))
        elif isinstance(said, str):
            rules.seen(said, read)
        return read(said)


def _follows(example: str, info: ValidationInfo) -> str:
    if "pattern" in info.data and not info.data["pattern"].fullmatch(example):
        raise refuse(*say("policy_example"))
    return example


class Naming(_Rules):
    """How namespaces are named; the pattern has to match the whole name."""

    pattern: re.Pattern[str]
    example: Annotated[str, AfterValidator(_follows)]


class Words(_Rules):
    """The words that each column may hold; an empty cell counts as what a new namespace gets."""

    ingress_policy: list[models.NetworkRule] = [*models.NetworkRule]
    egress_policy: list[models.NetworkRule] = [*models.NetworkRule]
    adoption_policy: list[models.AdoptionPolicy] = [*models.AdoptionPolicy]
    delete_policy: list[models.DeletePolicy] = [*models.DeletePolicy]


class Policy(_Rules):
    """What a policy file says; what it does not mention is free."""

    naming: Naming | None = None
    required_labels: Required = {}
    required_tags: Required = {}
    allowed_clusters: list[Annotated[str, AfterValidator(_cluster)]] | None = None
    allowed_tiers: list[str] | None = None
    maximum_quota: Quota = Quota()
    allowed_roles: list[Annotated[str, AfterValidator(rules.role)]] | None = None
    allowed_principals: list[Annotated[str, AfterValidator(_principal)]] | None = None
    allowed_policies: Words = Words()

    def violations(self, spec: models.NamespaceSpec) -> Iterator[tuple[str, Finding]]:
        """Yield the column and what is wrong with it, for each rule that the request breaks."""
        cluster = spec.id.cluster
        names = {cluster.key, cluster.cluster_name.lower()}
        yield from _allowed("cluster_name", f"{cluster}", names, self.allowed_clusters)
        if spec.ensure is models.Ensure.ABSENT:
            return
        full, name = spec.in_full, spec.id.namespace_name
        if self.naming and not self.naming.pattern.fullmatch(name):
            example = self.naming.example
            yield "namespace_name", say("policy_name", name=show(name), example=example)
        if spec.tier:
            yield from _allowed(
                "tier", f"the tier {show(spec.tier)}", {spec.tier}, self.allowed_tiers
            )
        yield from _missing("labels", self.required_labels, full.labels)
        yield from _missing("tags", self.required_tags, full.tags)
        for column, most in self.maximum_quota:
            asked = full.quota.get(column)
            if most is not None and asked is not None and asked > most:
                said, least = (models.format_quota_value(column, one) for one in (asked, most))
                yield column, say("policy_quota", said=said, most=least)
        for column, words in self.allowed_policies:
            word, new = getattr(full, column), models.NEW_NAMESPACE_POLICIES[column]
            what = word or f"an empty cell, which means {new} on a new namespace"
            yield from _allowed(column, what, {word or new}, words)
        for grant in full.access:
            yield from _allowed(
                "access", f"the role {grant.role}", {grant.role}, self.allowed_roles
            )
            if not grant.is_named:
                yield from self.principal_violations(grant)

    def principal_violations(self, grant: models.AccessGrant) -> Iterator[tuple[str, Finding]]:
        """Yield that nobody may grant a role to this principal; asked once its id is known."""
        kind = KIND_WORDS[grant.principal_type]
        names = {kind, f"{kind}:{grant.principal_id}"}
        what = f"a role for a {kind} ({grant.principal_id})"
        yield from _allowed("access", what, names, self.allowed_principals)


def _allowed(
    column: str, what: str, names: Set[str], allowed: Sequence[str] | None
) -> Iterator[tuple[str, Finding]]:
    if allowed is not None and not names & {*allowed}:
        yield column, say("policy_allows", " or ".join(allowed), what=what)


def _missing(
    column: str, required: Required, said: Mapping[str, str | None]
) -> Iterator[tuple[str, Finding]]:
    fold: Callable[[str], str] = str.lower if column == "tags" else str  # names of tags ignore case
    held = {fold(key): value for key, value in said.items()}
    for key, allowed in required.items():
        value = held.get(fold(key))
        fixes = " or ".join(f"{key}={word}" for word in allowed or ["<value>"])
        if not value:
            yield column, say("policy_requires", fixes, key=show(key))
        elif allowed and value not in allowed:
            yield column, say("policy_allows", fixes, what=f"{show(value)} for {show(key)}")


def read_policy(path: Path) -> Policy:
    """Return the rules of a policy file."""
    parts: dict[str, type[BaseModel]] = {"naming": Naming, "maximum_quota": Quota}
    parts["allowed_policies"] = Words
    found: Policy = read_settings(
        path, Policy, lambda part: parts.get(part, Policy).model_fields, what="rule"
    )
    return found
