"""Frames and results as pictures; the only room that knows matplotlib, so import it late.

Each function returns a `Chart`, which a notebook shows by itself, as a PNG.
"""

from __future__ import annotations

from mnslib.show.charts.bulk import bulk_outcome, bulk_timeline
from mnslib.show.charts.commitment import cluster_commitment, commitment_before_after
from mnslib.show.charts.layers import layers_over_time, three_layers
from mnslib.show.charts.now import utilization_now
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.quadrant import quadrant
from mnslib.show.charts.state_grid import state_grid

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
    "utilization_now",
]
