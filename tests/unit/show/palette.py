"""The colors of charts by name, as the tests of what is drawn speak of them."""

from __future__ import annotations

from mnslib.show.charts.sheet import COLORS
from mnslib.show.tables import HEAT as HEAT

WHITE, INK, MUTED, PANEL = (COLORS[name] for name in ("white", "ink", "muted", "panel"))
CRITICAL, WARNING, WARNING_TEXT = (COLORS[name] for name in ("crit", "warn", "warn-text"))
GOOD, GOOD_SOFT, GOOD_TEXT = (COLORS[name] for name in ("good", "good-soft", "good-text"))
CALM, CALM_LOWER, NODES = (COLORS[name] for name in ("calm", "calm-lower", "nodes"))
UNREQUESTED, REQUESTED, USED = (COLORS[name] for name in ("unrequested", "requested", "used"))
