"""One run of a notebook: what its cells call, what runs it, and what is left on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnslib.run.changing import Changing
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
    from mnslib.run.cells import watch_cells
    from mnslib.run.parameters import read_parameters
    from mnslib.run.project import find_project_root

    watch_cells()
    declared = read_parameters(find_project_root() / "notebooks" / f"{notebook}.ipynb")
    names = {parameter.name for parameter in declared}
    if "namespace_name" in names:
        from mnslib.run.guided import Onboarding

        return Onboarding.begun(notebook, cells, declared)
    if "create_cluster" in names:
        from mnslib.run.preparing import Preparing

        return Preparing.begun(notebook, cells, declared)
    if "dry_run" in names:
        from mnslib.run.changing import Changing

        return Changing.begun(notebook, cells, declared)
    from mnslib.run.reading import Reading

    return Reading.begun(notebook, cells, declared)
