"""What the cells of a notebook show by themselves: what fails as a card, at the end the report.

The output that Papermill knows a failed cell by stays; `%tb` has its frames. A notebook is saved
when its front end likes, so that only its kernel knows in time what it has shown.
"""

import json
import os
from functools import cache
from itertools import chain
from pathlib import Path
from traceback import walk_tb
from typing import Any
from urllib.parse import quote

from mnslib.errors import ApplyError, MnsError
from mnslib.run import project, runs
from mnslib.run.log import tell
from mnslib.run.progress import ipython, is_notebook
from mnslib.run.record import Run
from mnslib.show.displays import CARD, Callout, Parts
from mnslib.show.outputs import error_card, joined
from mnslib.show.tables import told
from mnslib.show.templates import sentence


def watch_cells() -> None:
    """Have the run of this notebook told what fails, and a person shown what to do about it."""
    if (shell := ipython()) is not None:
        _watch(shell)


@cache  # once for each
def _watch(shell: Any) -> None:
    cells = _Cells(shell)
    shell.events.register("post_run_cell", cells.after)
    if hasattr(shell, "kernel"):
        shell.display_pub.register_hook(cells.hear)
        if not shell.custom_exceptions:  # which are somebody else's to show
            shell.set_custom_exc((MnsError, KeyboardInterrupt), _show_card)


def card_of(error: BaseException) -> Callout:
    """Return what an error says; of a run also how to go on, of an interrupt what was done."""
    name, said, code = type(error).__name__, str(error), ""
    if run := next(iter(_steps(error)), Run.open):
        is_stopped = isinstance(error, ApplyError) and run.so_far.interrupted_by_signal
        if is_stopped or isinstance(error, KeyboardInterrupt):
            name, said = KeyboardInterrupt.__name__, sentence("run.txt.j2", "stopped", run.so_far)
        code = run.way_on(error)
    return error_card(name, said, code=code)


def _show_card(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
    from IPython.display import display

    card = card_of(error)
    display(card, metadata={CARD: True})  # type: ignore[no-untyped-call]
    # who can be asked looks at the card; all others read the text of a log
    is_looked_at = shell.get_parent().get("content", {}).get("allow_stdin")
    error._render_traceback_ = lambda: [told("report")["trace"] if is_looked_at else repr(card)]
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    del error._render_traceback_


class _Cells:
    """What a kernel's cells have shown since its run began, by source; the last time they ran."""

    def __init__(self, shell: Any) -> None:
        self.shell, self.run = shell, Run.open
        self.now: list[dict[str, Any]] = []
        self.ran: dict[str, list[dict[str, Any]]] = {}

    def hear(self, message: dict[str, Any]) -> dict[str, Any]:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "display_data":
            self.now.append({"output_type": kind, **content})
        elif kind == "update_display_data":
            for output in chain(self.now, *self.ran.values()):
                if output.get("transient") == content["transient"]:
                    output |= content
        return message

    def after(self, cell: Any) -> None:
        """Have the open run write how a cell failed, unless that follows from a cell before.

        Nor where it came up in a step of another run, of a notebook or of the library. Where the
        run ended, show where its report is; the runner makes its own.
        """
        error = cell.error_in_exec or cell.error_before_exec
        steps = _steps(error)
        outputs, self.now = self.now, []
        if (run := Run.open) is None:
            return
        is_told = error and not run.has_failed and (not steps or steps[0] is run)
        if is_told:
            run.write_failure(error, is_own=bool(steps))
        run.has_failed = error is not None
        if run.is_closed:
            Run.open = None
        if not is_notebook():
            return
        if cell.result is not None and not hasattr(cell.result, "_ipython_display_"):
            data, about = self.shell.display_formatter.format(cell.result)
            outputs.append({"output_type": "execute_result", "data": data, "metadata": about})
        if error:
            name, said = type(error).__name__, str(error)
            outputs.append({"output_type": "error", "ename": name, "evalue": said})
        if run is not self.run:
            self.run, self.ran = run, {}
        self.ran[cell.info.raw_cell.strip()] = outputs
        if is_told or run.is_closed:
            self._report(run)

    def _report(self, run: Run) -> None:
        from IPython.display import display

        record = project.read_record(run.directory)
        tell(runs.write_end(run.directory, record, self._executed(run.notebook)))
        runs.write_index(run.directory.parent)
        report = run.directory / "report.html"
        link = quote(Path(os.path.relpath(report)).as_posix())
        display(Parts([f"Report: {report}"], href=link))  # type: ignore[no-untyped-call]

    def _executed(self, notebook: str) -> dict[str, Any]:
        """Return the notebook with what its cells have shown, those of no file in their order."""
        file = Path(os.environ.get("JPY_SESSION_NAME", ""))  # a Jupyter server's name for it
        if not file.is_file():
            file = project.find_project_root() / "notebooks" / f"{notebook}.ipynb"
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        cells, place = content["cells"], 0
        for cell in cells:
            cell |= {"outputs": [], "execution_count": None}
        for source, outputs in self.ran.items():
            found = (n for n, one in enumerate(cells) if joined(one["source"]).strip() == source)
            place, before = next(found, -1), place
            if place < 0:
                place = before + 1
                cells.insert(place, {"cell_type": "code", "source": source})
            cells[place] |= {"outputs": outputs, "execution_count": 1}
        return content


def _steps(error: BaseException | None) -> list[Run]:
    """Return the runs in whose steps an error came up, the outermost first."""
    frames = walk_tb(error.__traceback__) if error else ()
    selves = (frame.f_locals.get("self") for frame, _ in frames)
    return [one for one in selves if isinstance(one, Run)]
