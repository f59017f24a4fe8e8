"""A run as a notebook sees it: `connect`, then one step of the run after the other.

The steps are in `change_steps` and `read_steps`, their record in `session`; here is the one value
that has them all, and how it shows itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.run.change_steps import ChangeSteps
from mnslib.run.read_steps import ReadSteps

if TYPE_CHECKING:
    from mnslib.show.displays import Cell, Table


def connect(notebook: str, cells: Mapping[str, Any]) -> Notebook:
    """Return the run of a notebook, with its run directory made and its target chosen.

    Starts the sandbox where that is the target; signs in nowhere yet.

    Args:
        notebook: its name without ending, such as `30_provision_in_bulk`.
        cells: its `globals()`.

    Raises:
        ConfigError: if a parameter has an unknown name or a value that does not exist.
    """
    return Notebook(notebook, cells)


class Notebook(ChangeSteps, ReadSteps):
    """One run of one notebook: the steps that its cells call, and its first words."""

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        super().__init__(notebook, cells)
        self._offline = str(self.parameters.get("snapshot_run", ""))
        if not self._offline:
            _ = self.target  # a word that does not exist is refused here, not by a later cell

    def _facts(self) -> Table:
        from mnslib.show.displays import Table

        dry_run = self.parameters.get("dry_run")
        mode = "dry run: writes nothing" if dry_run else "writes what is approved"
        endpoint = "none: nothing is asked"
        if self._offline:
            mode = f"offline: analyzes what {self._offline} read"
        else:
            endpoint = self.target.azure.cloud.arm_endpoint
            if self.parameters.get("inventory") == "history":
                endpoint = str(self.parameters["prometheus_endpoint"]) or "the sandbox's metrics"
            mode = "reads only" if dry_run is None else mode
        rows: list[list[Cell]] = [
            ["Target", {"azure": "Azure"}.get(word := str(self.parameters["target"]), word)],
            ["Endpoint", endpoint],
            ["Mode", mode],
            ["Run directory", str(self.directory)],
            ["mnslib", mnslib.__version__],
        ]
        return Table(columns=["This run", ""], rows=rows)

    def __repr__(self) -> str:
        return repr(self._facts())

    def _repr_html_(self) -> str:
        return self._facts()._repr_html_()
