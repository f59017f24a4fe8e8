"""Onboard, bulk-provision and capacity-plan AKS managed namespaces.

The names below are what notebooks use; each is loaded on first use, so that `import mnslib` stays
light. Deeper modules are the library's own rooms, see docs/architecture.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "absent_labels": "mnslib.capacity.roll_ups",
    "advice_rows": "mnslib.reporting.layers",
    "approval_report": "mnslib.reporting.plans",
    "asked_checks": "mnslib.reporting.asked",
    "changes_report": "mnslib.reporting.changed",
    "changes_since": "mnslib.capacity.changed",
    "changes_table": "mnslib.reporting.plans",
    "checks_table": "mnslib.reporting.provisioning",
    "cluster_commitment": "mnslib.reporting.charts",
    "clusters_table": "mnslib.reporting.plans",
    "commitment_rows": "mnslib.reporting.capacity",
    "commitment_table": "mnslib.capacity.promises",
    "crossings_rows": "mnslib.reporting.evidence",
    "crossings_table": "mnslib.capacity.crossings",
    "daily_peaks": "mnslib.capacity.daily",
    "daily_rows": "mnslib.reporting.capacity",
    "decisions": "mnslib.reporting.decisions",
    "evidence_report": "mnslib.reporting.evidence",
    "evidence_table": "mnslib.capacity.evidence",
    "findings": "mnslib.capacity.utilization",
    "history_checks": "mnslib.reporting.capacity",
    "layers_by_day": "mnslib.capacity.layers",
    "layers_over_time": "mnslib.reporting.charts",
    "layers_rows": "mnslib.reporting.layers",
    "layers_table": "mnslib.capacity.layers",
    "new_findings": "mnslib.capacity.changed",
    "observed_table": "mnslib.reporting.provisioning",
    "outcome_chart": "mnslib.reporting.provisioning",
    "outcome_report": "mnslib.reporting.provisioning",
    "placement_report": "mnslib.reporting.room",
    "placement_table": "mnslib.capacity.placement",
    "plan_chart": "mnslib.reporting.plans",
    "quadrant": "mnslib.reporting.charts",
    "refusal_findings": "mnslib.capacity.refusals",
    "refusals_report": "mnslib.reporting.refusals",
    "refusals_table": "mnslib.capacity.refusals",
    "requests_table": "mnslib.reporting.provisioning",
    "roll_up_rows": "mnslib.reporting.layers",
    "roll_ups": "mnslib.capacity.roll_ups",
    "room_report": "mnslib.reporting.room",
    "room_table": "mnslib.capacity.room",
    "snapshot_report": "mnslib.reporting.capacity",
    "state_grid": "mnslib.reporting.charts",
    "step_requests": "mnslib.reporting.steps",
    "steps_table": "mnslib.reporting.steps",
    "still_open": "mnslib.reporting.provisioning",
    "three_layers": "mnslib.reporting.charts",
    "tightest": "mnslib.capacity.utilization",
    "utilization_heatmap": "mnslib.reporting.charts",
    "utilization_now": "mnslib.reporting.charts",
    "utilization_report": "mnslib.reporting.capacity",
    "utilization_rows": "mnslib.reporting.capacity",
    "utilization_sentence": "mnslib.reporting.capacity",
    "utilization_table": "mnslib.capacity.utilization",
    "with_advice": "mnslib.capacity.advice",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mnslib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
