"""How far long work is: a bar that moves in a notebook, lines of a log elsewhere."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Any, TypeVar

from mnslib.provisioning.apply import Progress
from mnslib.run.log import tell
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.show.templates import render_part

SECONDS_BETWEEN_LINES = 2.0
"""A log gets a line at most so often; a person reads no faster."""


Show = Callable[[str, int, int], object]
"""Is given a sentence, how much is done, and of how much."""
_Found = TypeVar("_Found")


def apply_progress() -> Callable[[Progress], None]:
    """Return an observer of an apply: a bar that moves, or a line now and then."""
    show, shown, shown_at = shower(), "", float("-inf")
    is_stopping = False
    seconds = 0.0 if is_notebook() else SECONDS_BETWEEN_LINES

    def observe(progress: Progress) -> None:
        nonlocal shown, shown_at, is_stopping
        is_begun = progress.elapsed_seconds <= SECONDS_BETWEEN_LINES
        text = render_part("run.txt.j2", "progress", progress, is_begun)
        is_told, is_stopping = is_stopping, progress.stops_in_minutes is not None
        is_due = progress.elapsed_seconds - shown_at >= seconds or is_stopping > is_told
        is_over = not (progress.running or progress.waiting)
        if text != shown and (is_due or is_over):
            shown, shown_at = text, progress.elapsed_seconds
            show(text, progress.done, progress.total)

    return observe


def watched(found: Iterable[_Found], total: int) -> Iterator[_Found]:
    """Yield what is read of so many clusters; shows how far it is where that takes longer."""
    show: Show | None = None
    shown_at = time.monotonic()
    for done, one in enumerate(found, 1):
        if time.monotonic() - shown_at >= SECONDS_BETWEEN_LINES or (show and done == total):
            show, shown_at = show or shower(), time.monotonic()
            show(f"{done} of {total} clusters read", done, total)
        yield one


def ipython() -> Any:
    """Return the IPython in which this runs; None outside of one."""
    from IPython.core.getipython import get_ipython

    return get_ipython()


def show_now(shown: Any) -> None:
    """Show something before its cell ends, as one that fails shows nothing else."""
    from IPython.display import display

    display(shown)  # type: ignore[no-untyped-call]


def is_notebook() -> bool:
    """Return whether a person looks on: this is a notebook's kernel, and not the runner's."""
    return hasattr(ipython(), "kernel") and RUN_DIRECTORY_VARIABLE not in os.environ


def shower() -> Show:
    """Return what shows progress here: one bar in a notebook, lines on standard error elsewhere."""
    if not is_notebook():
        return lambda text, _done, _total: tell(text)
    from IPython.display import HTML, DisplayHandle

    bar = DisplayHandle()  # type: ignore[no-untyped-call]
    bar.display(HTML(""))  # type: ignore[no-untyped-call]

    def show(text: str, done: int, total: int) -> None:
        full = f'<progress value="{done}" max="{max(total, 1)}" style="width:100%"></progress>'
        bar.update(HTML(f"{full}<div>{escape(text)}</div>"))  # type: ignore[no-untyped-call]

    return show
