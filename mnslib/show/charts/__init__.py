"""Frames and results as pictures; the only room that knows matplotlib, so import it late.

Each function returns a `Chart`, which a notebook shows by itself, as a PNG.
"""

from mnslib.show.charts.bulk import bulk_outcome as bulk_outcome
from mnslib.show.charts.bulk import bulk_timeline as bulk_timeline
from mnslib.show.charts.commitment import cluster_commitment as cluster_commitment
from mnslib.show.charts.commitment import commitment_before_after as commitment_before_after
from mnslib.show.charts.layers import layers_over_time as layers_over_time
from mnslib.show.charts.layers import three_layers as three_layers
from mnslib.show.charts.now import utilization_now as utilization_now
from mnslib.show.charts.picture import Chart as Chart
from mnslib.show.charts.quadrant import quadrant as quadrant
from mnslib.show.charts.state_grid import state_grid as state_grid
