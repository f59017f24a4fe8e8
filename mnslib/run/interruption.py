"""What a kernel of the runner does from its first moment: loses no interrupt, collects rarely.

Loaded as an IPython extension, so standard library only. A cell that is interrupted may await what
is under way and go on to record it.
"""

import gc
import signal
from typing import Any

MOST_NEW_OBJECTS = 50_000
"""Python collects after so many, else after 700: a tenth of an analysis. Our choice: garbage that
is in cycles waits longer, a few MB of it."""


def collect_rarely() -> None:
    """Have this process look for garbage less often: loading makes a million objects and none."""
    gc.set_threshold(MOST_NEW_OBJECTS)


def load_ipython_extension(shell: Any) -> None:
    """Have a kernel keep an interrupt that finds no statement running for the next cell.

    ipykernel ignores one while it is idle, and loses the cell's reply where one meets its own code.
    """
    collect_rarely()
    runs_statements = is_pending = False
    run_statements = shell.run_ast_nodes

    def on_interrupt(_number: int, _frame: object) -> None:
        nonlocal is_pending
        if runs_statements:
            raise KeyboardInterrupt
        is_pending = True

    async def run_ast_nodes(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs_statements, is_pending
        runs_statements = True
        try:
            if is_pending:
                is_pending = False
                raise KeyboardInterrupt
            return await run_statements(*args, **kwargs)
        finally:
            runs_statements = False

    shell.run_ast_nodes = run_ast_nodes
    # these would put ipykernel's own handler in place for each message
    shell.kernel.pre_handler_hook = shell.kernel.post_handler_hook = lambda: None
    signal.signal(signal.SIGINT, on_interrupt)
