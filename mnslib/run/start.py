"""Begin a run: `mns.start` in the setup cell of every notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnslib.run.changing import Changing
from mnslib.run.parameters import read_parameters
from mnslib.run.project import find_project_root
from mnslib.run.reading import Reading


def start(notebook: str, cells: Mapping[str, Any]) -> Changing | Reading:
    """Return the run of a notebook, with its run directory made and its target chosen.

    Starts the sandbox where that is the target; signs in nowhere yet. The parameters are read once;
    the run that this kernel had begun before is closed.

    Args:
        notebook: its name without ending, such as `30_provision_in_bulk`.
        cells: its `globals()`.

    Raises:
        ConfigError: if a parameter has an unknown name or a value that does not exist.
    """
    declared = read_parameters(find_project_root() / "notebooks" / f"{notebook}.ipynb")
    is_changing = "dry_run" in {parameter.name for parameter in declared}
    return Changing(notebook, cells) if is_changing else Reading(notebook, cells)
