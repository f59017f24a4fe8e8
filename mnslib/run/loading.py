"""How a run's processes load their libraries: with few collections, and while they would wait.

Loading makes a million objects and no garbage; Python would look through them again and again.
Kernels of the runner load this module as an IPython extension. Knows nothing of notebooks.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any

MOST_NEW_OBJECTS = 50_000
"""Python collects after so many, else after 700: a tenth of an analysis. Our choice: garbage that
is in cycles waits longer, a few MB of it."""

FOR_LATER_CELLS = (
    "mnslib.capacity.store",
    "mnslib.show.cells",
    "mnslib.show.owner_pages",
    "mnslib.show.plans",
    "mnslib.show.workbook",
)
"""What an analysis needs once it has read the clusters: half a second to load."""


def collect_rarely() -> None:
    """Have this process look for garbage less often."""
    gc.set_threshold(MOST_NEW_OBJECTS)


def load(modules: tuple[str, ...]) -> None:
    """Load modules, for a thread whose caller waits for somebody's answer."""
    for name in modules:
        import_module(name)


def load_ipython_extension(_shell: Any) -> None:
    """Have a kernel collect rarely, before it loads what its cells need."""
    collect_rarely()
