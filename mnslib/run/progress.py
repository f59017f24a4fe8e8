"""How far an apply is, as a notebook or a log shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnslib.provisioning.apply import Progress

SECONDS_BETWEEN_LINES = 2.0
"""A log gets a line at most so often; a person reads no faster."""


def progress_lines() -> Callable[[Progress], None]:
    """Return an observer that writes a line to standard error now and then."""
    shown, shown_at = (-1, 0), float("-inf")

    def show(progress: Progress) -> None:
        nonlocal shown, shown_at
        counts = progress.done, progress.not_attempted
        is_due = progress.elapsed_seconds - shown_at >= SECONDS_BETWEEN_LINES
        is_over = not (progress.running or progress.waiting)
        if counts != shown and (is_due or is_over):
            shown, shown_at = counts, progress.elapsed_seconds
            sys.stderr.write(_sentence(progress) + "\n")
            sys.stderr.flush()

    return show


def progress_bar() -> Callable[[Progress], None]:
    """Return an observer that moves one bar in the notebook."""
    from IPython.display import HTML, DisplayHandle

    bar = DisplayHandle()  # type: ignore[no-untyped-call]
    bar.display(HTML(""))  # type: ignore[no-untyped-call]
    shown = ""

    def show(progress: Progress) -> None:
        nonlocal shown
        text = _sentence(progress)
        if text != shown:
            shown = text
            bar.update(  # type: ignore[no-untyped-call]
                HTML(  # type: ignore[no-untyped-call]
                    f'<progress value="{progress.done}" max="{max(progress.total, 1)}" '
                    f'style="width:100%"></progress><div>{escape(text)}</div>'
                )
            )

    return show


def _sentence(progress: Progress) -> str:
    if not progress.total:
        return "Nothing was left to do."
    text = (
        f"{progress.done} of {progress.total} done, {progress.running} running, "
        f"{progress.waiting} waiting, {progress.failed} failed"
    )
    if progress.not_attempted:
        text += f", {progress.not_attempted} not attempted"
    elif progress.left_seconds and progress.elapsed_seconds > SECONDS_BETWEEN_LINES:
        text += f"; {progress.rate_per_second:.1f} a second"
        text += f", about {progress.left_seconds:.0f} s left"
    return text
