"""The values that everything speaks of."""

from __future__ import annotations

from decimal import Decimal

from mnslib.models import (
    BUILT_IN_ROLES,
    QUOTA_FIELDS,
    QUOTA_KEYS,
    ROLE_SHORT_NAMES,
    format_quota_value,
)


def test_cpu_is_written_in_millicores_and_memory_in_binary_units() -> None:
    assert format_quota_value("cpu_limit", Decimal("0.25")) == "250m"
    assert format_quota_value("memory_request", Decimal(2**29)) == "512Mi"


def test_every_quota_field_has_its_key() -> None:
    assert tuple(QUOTA_KEYS) == QUOTA_FIELDS


def test_every_short_role_name_stands_for_a_known_role() -> None:
    assert set(ROLE_SHORT_NAMES.values()) == set(BUILT_IN_ROLES)
    assert len(ROLE_SHORT_NAMES) == len(BUILT_IN_ROLES) == len(set(BUILT_IN_ROLES.values()))
