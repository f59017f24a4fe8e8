"""Lines that people read along: where nothing takes them, the work goes on.

Of a run each says when it was written and by which, or is an object of JSON. On a terminal they
stay as they are: who looks on knows what runs.
"""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from typing import Any

from mnslib.results import utc_now, utc_text

FORMATS = ("text", "json")
_LEVELS = {"running": "info", "done": "info", "findings": "warning", "interrupted": "warning"}
"""By the status of the run; of any other it is `error`."""


class Log:
    """A stream that people read along; where it takes nothing, the work goes on.

    Attributes:
        run: name of the run directory, once there is one.
        status: how the run has ended, once it has.
    """

    run, status = "-", "running"

    def __init__(self, stream: Any, log_format: str = "") -> None:
        self._stream, self._format, self._is_within = stream, log_format, False

    def write(self, text: str) -> int:
        """Write what can be written, at once."""
        with suppress(AttributeError, OSError, ValueError):  # no stream, a full or a closed one
            self._stream.write("".join(map(self._said, StringIO(text))))  # TypeError for bytes
            self._stream.flush()
        return len(text)

    def _said(self, line: str) -> str:
        utc, text = utc_text(utc_now()), line.strip()
        if self._format == "json":
            how = {"level": _LEVELS.get(self.status, "error"), "status": self.status}
            said = {"utc": utc, "run": self.run, **how, "message": text}
            return json.dumps(said, ensure_ascii=False) + "\n" if text else ""
        is_plain = not self._format or self._is_within or line == "\n"
        self._is_within = not line.endswith("\n")
        return line if is_plain else f"{utc} {self.run} {line}"

    def flush(self) -> None:
        """Do nothing: nothing is left to write."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def begin_log(log_format: str) -> Callable[[str], None]:
    """Have standard error, of JSON standard output too, say from now on which run writes.

    Returns what is to be told the name of the run directory.
    """
    streams = [sys.stdout, sys.stderr]
    plain = [one._stream if isinstance(one, Log) else one for one in streams]
    is_read = log_format != "json" and getattr(plain[1], "isatty", bool)()
    logs = [Log(plain[0], log_format if log_format == "json" else ""),
            Log(plain[1], "" if is_read else log_format)]  # fmt: skip
    # for good: Python itself writes there once more when it ends
    sys.stdout, sys.stderr = logs

    def on_begin(run: str) -> None:
        for one in logs:
            one.run = run

    return on_begin


def end_log(status: str) -> None:
    """Have what is said from now on bear the status with which the run has ended."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Log):
            stream.status = status


def tell(sentence: str) -> None:
    """Write a line on standard error, whoever reads it; nothing where nothing is to be said."""
    if sentence:
        Log(sys.stderr).write(f"{sentence}\n")
