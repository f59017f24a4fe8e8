"""`python -m mnslib.sandbox`: serve in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Serve until ended; 1 with a sentence on stderr if it cannot start."""
    parser = argparse.ArgumentParser(prog="mnslib.sandbox", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", default=":memory:", help="SQLite file, or :memory:")
    parser.add_argument("--world", default="default", help="name or file")
    parser.add_argument("--latency", default="fast", help="fast, documented or a file")
    parser.add_argument("--limits", default="none", help="none, documented or a file")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="scripted faults")
    parser.add_argument("--idle-exit", type=float, metavar="MINUTES", dest="idle_exit_minutes")
    parser.add_argument("--connection", type=Path, required=True)
    options = parser.parse_args()
    from mnslib.sandbox.server import serve

    try:
        serve(**vars(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
