"""Frames and results as pictures; the only room that knows matplotlib, so import it late.

Each function returns a `Chart`, which a notebook shows by itself, as a PNG.
"""

from __future__ import annotations

from mnslib.reporting.charts.before_after import commitment_before_after
from mnslib.reporting.charts.canvas import Chart
from mnslib.reporting.charts.commitment import cluster_commitment
from mnslib.reporting.charts.heatmap import utilization_heatmap
from mnslib.reporting.charts.layers_over_time import layers_over_time
from mnslib.reporting.charts.now import utilization_now
from mnslib.reporting.charts.outcome import bulk_outcome
from mnslib.reporting.charts.quadrant import quadrant
from mnslib.reporting.charts.state_grid import state_grid
from mnslib.reporting.charts.three_layers import three_layers
from mnslib.reporting.charts.timeline import bulk_timeline

__all__ = [
    "Chart",
    "bulk_outcome",
    "bulk_timeline",
    "cluster_commitment",
    "commitment_before_after",
    "layers_over_time",
    "quadrant",
    "state_grid",
    "three_layers",
    "utilization_heatmap",
    "utilization_now",
]
