"""`python -m tests.benchmarks.job CONNECTION REQUESTS LIMITS [CONTROL]`: one bulk run, measured.

Prints JSON: seconds of observe, plan and apply, of them the processor's, then of reading back, the
process's peak memory, and what came out. LIMITS holds the buckets that the client knows; CONTROL,
if given, is put in place of the sandbox's at the start, behind the client's back.
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import azure.mgmt.authorization.v2022_04_01.models
import azure.mgmt.containerservice.models  # noqa: F401 - imports are not what is measured

import mnslib.kube.client  # noqa: F401
from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential
from mnslib.azure.throttle import Limits, Rate
from mnslib.provisioning.apply import apply, read_back
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.requests.spec import parse_requests
from mnslib.run.interruption import collect_rarely
from mnslib.run.targets import Target
from tests.sandbox.client import Client


def limits_of(given):
    """Return the documented buckets with those given; None holds nothing back."""
    rates = {name: rate and Rate(*rate) for name, rate in given.items()}
    return Limits(**rates)


def main(connection_file, requests, limits, control=""):
    collect_rarely()  # as the kernel of a run does
    connection = json.loads(Path(connection_file).read_text("utf-8"))
    azure = AzureClient(
        sandbox_cloud(connection),
        sandbox_credential(connection),
        limits=limits_of(json.loads(limits)),
    )
    target = Target(azure=azure, sandbox=connection)
    journal = Journal(Path(requests).with_suffix(".jsonl"), now=now)
    began, used = time.perf_counter(), time.process_time()
    if control:
        Client(connection).control("POST", "limits", json.loads(control)).raise_for_status()
    specs = parse_requests(Path(requests))
    observed = observe(specs, azure=azure, kube_for=target.kube_for, now=now)
    planned = time.perf_counter()
    plan = make_plan(specs, observed)
    applying = time.perf_counter()
    approval = Approval(plan=plan, may_write=True)
    result = apply(approval, azure=azure, kube_for=target.kube_for, journal=journal)
    ended, spent = time.perf_counter(), time.process_time() - used
    again = observe(specs, azure=azure, kube_for=None, now=now, known=observed)
    checked, _ = read_back(plan, result, specs, again=again, azure=azure)
    report = {
        "wall": ended - began,
        "observe": planned - began,
        "plan": applying - planned,
        "apply": ended - applying,
        "processor": spent,
        "read_back": time.perf_counter() - ended,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "outcomes": checked.counts(),
        "reasons": sorted({item.reason for item in checked.outcomes if item.reason})[:3],
    }
    print(json.dumps(report))


def now():
    return datetime.now(UTC)


if __name__ == "__main__":
    main(*sys.argv[1:])
