"""`make chaos`: bulk runs in scripted weather, killed at random moments, resumed until done."""

from __future__ import annotations

import argparse
import sys
import time

from .pool import play_all
from .scenario import ROWS, WEATHER, Tally


def main() -> int:
    """Print the table; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--notebooks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    options = parser.parse_args()
    began = time.monotonic()
    tally = play_all(options.runs, options.notebooks, first_seed=options.seed)
    seconds = time.monotonic() - began
    print(f"{options.runs} runs of {ROWS} items, {options.notebooks} more through the notebook:")
    print_table(tally, seconds)
    return 1 if tally.wrong else 0


def print_table(tally: Tally, seconds: float) -> None:
    """Print faults and counts."""
    killed = sum(tally.kills.values())
    print(f"{tally.attempts} processes, {killed} of them stopped, in {seconds:.0f} s\n")
    print("| fault | runs | times |\n| --- | ---: | ---: |")
    for name in WEATHER:
        print(f"| {name} | {tally.runs_with[name]} | {tally.faults[name]} |")
    for name, count in sorted(tally.kills.items()):
        print(f"| {name} | | {count} |")
    print("\n| outcome | items |\n| --- | ---: |")
    for name, count in sorted(tally.outcomes.items()):
        print(f"| {name} | {count} |")
    print(f"\n{len(tally.wrong)} wrong")


if __name__ == "__main__":
    sys.exit(main())
