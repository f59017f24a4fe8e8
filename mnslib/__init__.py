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
    "advice_rows": "mnslib.show.layers",
    "approval_report": "mnslib.show.plans",
    "asked_checks": "mnslib.show.asked",
    "changes_report": "mnslib.show.changed",
    "changes_since": "mnslib.capacity.changed",
    "changes_table": "mnslib.show.plans",
    "checks_table": "mnslib.show.provisioning",
    "cluster_commitment": "mnslib.show.charts",
    "clusters_table": "mnslib.show.plans",
    "commitment_rows": "mnslib.show.capacity",
    "commitment_table": "mnslib.capacity.promises",
    "crossings_rows": "mnslib.show.evidence",
    "crossings_table": "mnslib.capacity.crossings",
    "daily_peaks": "mnslib.capacity.daily",
    "daily_rows": "mnslib.show.capacity",
    "decisions": "mnslib.show.decisions",
    "evidence_report": "mnslib.show.evidence",
    "evidence_table": "mnslib.capacity.evidence",
    "findings": "mnslib.capacity.utilization",
    "fit_report": "mnslib.show.room",
    "fit_table": "mnslib.capacity.fit",
    "history_checks": "mnslib.show.capacity",
    "layers_by_day": "mnslib.capacity.layers",
    "layers_over_time": "mnslib.show.charts",
    "layers_rows": "mnslib.show.layers",
    "layers_table": "mnslib.capacity.layers",
    "new_findings": "mnslib.capacity.changed",
    "observed_table": "mnslib.show.provisioning",
    "outcome_chart": "mnslib.show.provisioning",
    "outcome_report": "mnslib.show.provisioning",
    "placement_report": "mnslib.show.room",
    "placement_table": "mnslib.capacity.placement",
    "plan_chart": "mnslib.show.plans",
    "quadrant": "mnslib.show.charts",
    "refusal_findings": "mnslib.capacity.refusals",
    "refusals_report": "mnslib.show.refusals",
    "refusals_table": "mnslib.capacity.refusals",
    "requests_table": "mnslib.show.provisioning",
    "roll_up_rows": "mnslib.show.layers",
    "roll_ups": "mnslib.capacity.roll_ups",
    "snapshot_report": "mnslib.show.capacity",
    "state_grid": "mnslib.show.charts",
    "step_requests": "mnslib.show.steps",
    "steps_table": "mnslib.show.steps",
    "still_open": "mnslib.show.provisioning",
    "three_layers": "mnslib.show.charts",
    "tightest": "mnslib.capacity.utilization",
    "utilization_heatmap": "mnslib.show.charts",
    "utilization_now": "mnslib.show.charts",
    "utilization_report": "mnslib.show.capacity",
    "utilization_rows": "mnslib.show.capacity",
    "utilization_sentence": "mnslib.show.capacity",
    "utilization_table": "mnslib.capacity.utilization",
    "with_advice": "mnslib.capacity.advice",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mnslib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
