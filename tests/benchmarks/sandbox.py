"""`python -m tests.benchmarks.sandbox [SECONDS]`: 50 clients write for a minute; is all there?

Prints requests per second and the server's memory; ends with 1 if an answer was wrong, a write was
lost or the server fell.
"""

import os
import resource
import sys
import tempfile
from pathlib import Path

from tests.sandbox.client import Client, Process
from tests.sandbox.load import Writer, run_for

CLIENTS = 50


def memory_mib(pid):
    """Return resident memory; None where /proc is missing."""
    file = Path(f"/proc/{pid}/statm")
    return (
        int(file.read_text().split()[1]) * resource.getpagesize() / 2**20 if file.exists() else None
    )


def processor_seconds(pid):
    """Return what the process used of a processor so far; None where /proc is missing."""
    file = Path(f"/proc/{pid}/stat")
    used = file.read_text().rpartition(")")[2].split()[11:13] if file.exists() else ()
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK") if used else None


def main(seconds=60.0):
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder), "--state", f"{folder}/state.db")
        # a fast machine grants more roles in a minute than a subscription may hold
        no_limit = {"role_assignments_per_subscription": 1_000_000}
        Client(process.connection).control("POST", "switches", no_limit).raise_for_status()
        before = memory_mib(process.process.pid)
        writers = [Writer(process.connection, number) for number in range(CLIENTS)]
        idle = processor_seconds(process.process.pid)
        rate = run_for(writers, seconds)
        busy = processor_seconds(process.process.pid)
        requests = sum(writer.requests for writer in writers)
        after = memory_mib(process.process.pid)
        for writer in writers:
            writer.check_all()
        wrong = [text for writer in writers for text in writer.wrong]
        accepted = sum(len(writer.accepted) for writer in writers)
        alive = process.process.poll() is None
        process.process.kill()
        print(f"{CLIENTS} clients, {seconds:.0f} s: {rate:.0f} requests/s")
        if before is not None:
            print(f"processor of the sandbox: {(busy - idle) / requests * 1000:.2f} ms a request")
            print(f"memory of the sandbox: {before:.0f} MiB at the start, {after:.0f} MiB after")
        print(f"{accepted} documents accepted, {len(wrong)} wrong or lost, running: {alive}")
        print(*wrong[:5], sep="\n")
        return int(bool(wrong) or not alive)


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
