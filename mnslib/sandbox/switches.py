"""The switches: behavior that no source settles; each one's default and reason: docs/sandbox.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Behaviour that no source settles; each default and its reason stand in docs/sandbox.md."""

    retry_after_seconds: int | None = None
    if_match: Literal["honored", "ignored"] = "honored"
    identical_compares: Literal["all", "labels-and-annotations"] = "all"
    identical_ignores_name_label: bool = True
    adoption_refusal: Literal["operation", "request"] = "operation"
    always_metadata: Literal["merge", "replace"] = "merge"
    existing_namespace_code: str = "BadRequest"
    system_namespace_code: str = "BadRequest"
    stopped_cluster_code: str = "OperationNotAllowed"
    missing_cluster_code: str = "ParentResourceNotFound"
    failed_create_leaves_resource: bool = True
    keep_leaves_objects: bool = True
    write_during_operation: Literal["conflict", "accept"] = "conflict"
    quota_missing: Literal["refuse", "accept"] = "refuse"
    cpu_form: Literal["milli", "kubernetes"] = "milli"
    request_over_limit: Literal["accept", "refuse"] = "accept"
    unknown_properties: Literal["refuse", "ignore"] = "refuse"
    location_missing: Literal["refuse", "accept"] = "refuse"
    location_different: Literal["refuse", "accept"] = "refuse"
    default_adoption_policy: Literal["Never", "IfIdentical", "Always"] = "Never"
    default_delete_policy: Literal["Keep", "Delete"] = "Keep"
    name_label_returned: bool = False
    managed_label_returned: bool = False
    quota_object_when_empty: bool = False
    policy_object_when_allow_all: bool = True
    same_namespace_rule: Literal["namespace-selector", "pod-selector"] = "namespace-selector"
    private_cluster_updates_fail: bool = False
    assignments_end_with_namespace: bool = True
    repeated_assignment_status: Literal[200, 201] = 201
    list_lag_seconds: float = 0.0
    assignment_delay_seconds: float = 0.0
    data_assignment_delay_seconds: float = 0.0
    principal_delay_seconds: float = 0.0
    role_assignments_per_subscription: int = 4000
    namespace_list: Literal["filtered", "refused"] = "filtered"
    operation_read: Literal["signature", "role"] = "signature"
    feature_flag_required: bool = False
    provider_registration_required: bool = True
    scheduler_metrics: bool = False

    def changed(self, values: Mapping[str, object]) -> Switches:
        """Return these switches with some values replaced.

        Raises:
            ValueError: on an unknown name or a value that the switch does not have.
        """
        hints = get_type_hints(Switches)
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(known))}")
            if not _allowed(hints[name], value):
                raise ValueError(f"switch {name!r} does not take {value!r}")
        return Switches(**{**asdict(self), **values})


def _allowed(hint: Any, value: object) -> bool:
    options = get_args(hint)
    if options and not any(isinstance(option, type) for option in options):
        return any(type(value) is type(option) and value == option for option in options)
    if value is None:
        return type(None) in options
    kinds = [option for option in options if option is not type(None)] or [hint]
    return type(value) in kinds or (float in kinds and type(value) is int)
