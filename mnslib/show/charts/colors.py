"""The colors of charts, each once; what pages use too comes from `tokens`."""

from __future__ import annotations

from mnslib.show import tokens
from mnslib.show.tokens import TOKENS

INK, TEXT, MUTED = TOKENS["ink"], TOKENS["text"], TOKENS["muted"]
AXIS, GRID, PANEL, WHITE = TOKENS["line"], TOKENS["grid"], TOKENS["panel"], "#FFFFFF"
CRITICAL, WARNING, WARNING_TEXT = TOKENS["crit"], TOKENS["warn"], TOKENS["warn-text"]
CRITICAL_TINT, WARNING_TINT = TOKENS["crit-bg"], TOKENS["warn-bg"]
GOOD, GOOD_TINT, GOOD_TEXT = TOKENS["good"], TOKENS["good-bg"], TOKENS["good-text"]
FIX, FIX_TINT = TOKENS["fix"], TOKENS["fix-bg"]
GOOD_SOFT = "#6FB0A7"
"""`GOOD` at 60 % on white: changed, where `GOOD` is new."""
CALM, CALM_LOWER = "#8FA1B3", "#CBD5DE"
UNREQUESTED, REQUESTED, USED, NODES = "#DCE6F0", "#7FB0DD", "#134B82", "#D9DFE5"
HEAT = tokens.HEAT
DARK = (CRITICAL, GOOD, USED)
"""Grounds of white text."""
