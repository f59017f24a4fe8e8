"""The process that a notebook runs in: always this interpreter's, interrupted or ended from here.

Takes no kernelspec of the user's, who may have none or another Python's under the same name.
Knows nothing of notebooks or papermill. Import it late: jupyter_client comes with it.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop, run_sync

from mnslib.run.runs import UNDER_WAY_NAME, is_under_way, mark_under_way
from mnslib.signals import stop_seconds

BUSY_STOP_SECONDS = 30.0
"""Twice the time for a cell to await what is under way; our choice, about an ARM write's."""

LAST_SHARE = 0.95
"""Of the time that a stop may take, for the cells; the rest is the runner's, to record and tell."""

IDLE_STOP_SECONDS = 1.0
"""Twice the time for a kernel without work to end by itself, which takes it 0.1 s.

About one in ten ipykernel 7 processes waits 10 s for its own output thread when it is told to end.
"""

_ARGUMENTS = [
    # the history of a run is in its notebook, not in the user's profile
    "--HistoryManager.hist_file=:memory:",
    "--ext=mnslib.run.interruption",
    "--ext=mnslib.show.charts",  # a module that is no extension is loaded all the same
]

_KEPT = {"MALLOC_MMAP_THRESHOLD_": f"{2**30}", "MALLOC_TRIM_THRESHOLD_": f"{2**32}"}
"""What tells glibc to keep freed memory: a wide array's parts would be fetched anew, page by page.

Source: glibc, mallopt(3).
"""


_FOLDERS = "mns-kernel-"
YOUNG_SECONDS = 60.0
"""So long a folder may be there before its process has locked it; our choice."""


class _OwnSpec(KernelSpecManager):
    """Knows one kernel: ipykernel of the running interpreter."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", name=kernel_name)


class Kernel(AsyncKernelManager):
    """A started kernel, as nbclient talks to it, which remembers its client to close its channels.

    `interrupt` and `kill` may be called in a signal handler.
    """

    made: AsyncKernelClient | None = None
    killed = ""
    """By what the process was ended at once; empty unless it was."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it, and return while it loads what draws."""
        self._own_loop = ensure_event_loop()
        # sockets in a folder of our own: unlike TCP, closed to other users of the machine
        _remove_left_over()
        self._folder = tempfile.TemporaryDirectory(prefix=_FOLDERS)
        self._mark = mark_under_way(Path(self._folder.name))
        super().__init__(
            kernel_name="python3",
            kernel_spec_manager=_OwnSpec(),
            transport="tcp" if sys.platform == "win32" else "ipc",
            connection_file=str(Path(self._folder.name) / "kernel.json"),
        )
        own = {**_KEPT, **os.environ, **environment}
        run_sync(self.start_kernel)(extra_arguments=_ARGUMENTS, env=own)

    def client(self, **kwargs: Any) -> AsyncKernelClient:  # type: ignore[override]  # as its base
        """Return a client of it."""
        self.made = super().client(**kwargs)
        return self.made

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell that runs, else in the next; they may end in time."""
        self._later(self.interrupt_kernel())
        loop, seconds = self._own_loop, LAST_SHARE * stop_seconds()
        late = partial(self.kill, f"since it was not done {seconds:.0f} s later")
        loop.call_soon_threadsafe(loop.call_later, seconds, late)

    def kill(self, why: str) -> None:
        """End the process at once."""
        self.killed = self.killed or why
        self._later(self.shutdown_kernel(now=True))

    def stop(self, *, is_busy: bool) -> None:
        """End the process; a cell that still runs is interrupted and given time."""
        self.shutdown_wait_time = BUSY_STOP_SECONDS if is_busy else IDLE_STOP_SECONDS
        run_sync(self._stop)()
        self._mark.release()
        self._folder.cleanup()

    def _later(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._own_loop)

    async def _stop(self) -> None:
        if await self.is_alive():
            await self.shutdown_kernel()
        await self.cleanup_resources()
        if self.made is not None:
            self.made.stop_channels()


def _remove_left_over() -> None:
    """Remove the folders of processes that were killed, which nobody locks any more."""
    for mark in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*/{UNDER_WAY_NAME}"):
        with suppress(OSError):
            is_made = time.time() - mark.stat().st_mtime > YOUNG_SECONDS
            if is_made and not is_under_way(mark.parent):
                shutil.rmtree(mark.parent)
