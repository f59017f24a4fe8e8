"""The executed notebook on disk: written while its cells run, not between them.

papermill would write it before and after every cell, with the kernel waiting: a second of an
analysis. Knows neither papermill nor what is in the notebook.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mnslib.run.project import write_whole

SAVE_AFTER_SECONDS = 0.1
"""A cell that runs longer is run over a notebook saved as it began. Our choice: tables take less,
so what a killed run can lose is what its last tenths of a second showed."""


class Saver:
    """Saves a notebook during its cells, and once more where its execution raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notebook: Any = None
        self._next: asyncio.TimerHandle | None = None
        self._problem: OSError | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._forget()
        if error is not None and self._problem is None:
            self.save()

    def on_notebook_start(self, *, notebook: Any) -> None:
        self._notebook = notebook

    def on_cell_execute(self) -> None:
        """Have the notebook saved soon, if this cell is still running then.

        Raises:
            OSError: if it could not be saved the last time.
        """
        self._forget()
        if self._problem is not None:
            raise self._problem
        self._next = asyncio.get_running_loop().call_later(SAVE_AFTER_SECONDS, self._save_aside)

    def save(self) -> None:
        """Write the notebook as it is now; nothing where no cell was begun."""
        if self._notebook is not None:
            import nbformat  # takes as long as papermill, which is imported by then

            write_whole(self._path, nbformat.writes(self._notebook))  # type: ignore[no-untyped-call]

    def _save_aside(self) -> None:
        try:
            self.save()
        except OSError as error:  # nobody awaits a timer: the next cell raises it
            self._problem = error

    def _forget(self) -> None:
        if self._next is not None:
            self._next.cancel()
