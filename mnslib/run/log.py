"""Lines that people read along: where nothing takes them, the work goes on."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any


class Log:
    """A stream that people read along; where it takes nothing, the work goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written, at once."""
        with suppress(AttributeError, OSError, ValueError):  # no stream, a full or a closed one
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is left to write."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def tell(sentence: str) -> None:
    """Write a line on standard error, whoever reads it; nothing where nothing is to be said."""
    if sentence:
        Log(sys.stderr).write(f"{sentence}\n")
