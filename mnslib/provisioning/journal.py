"""The append-only journal of a run: one JSON line per event, on disk before the request is sent.

It says who would be restored to what: `started` carries the namespace as it was. It holds no
operation URL, since that carries a signature.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

JOURNAL_NAME = "journal.jsonl"


class Journal:
    """Appends events to a file; safe to use from several threads."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()

    def write(self, event: str, **details: Any) -> None:
        """Append one event and have it on disk before returning."""
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json.dumps({"utc": stamp, "event": event, **details}, ensure_ascii=False)
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
