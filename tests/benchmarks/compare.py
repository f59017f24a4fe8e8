"""`python -m tests.benchmarks.compare`: 30 namespaces by the Azure CLI, by the SDK, and by ours.

All three on the same sandbox, each with namespaces of its own; `MNS_AZ` names the `az` to use.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bulk import FAST, Bench, sandbox_limits
from tests.benchmarks.world import write_requests
from tests.conformance.client import Az

NAMESPACES = 30
NO_PROXY = "http://127.0.0.1:9"  # nothing listens there: nothing leaves the machine
POLLING_SECONDS = 1
"""Kinder to the SDK than its own 30 s, with which each of these creations would take that long."""

_SDK = """
import json, sys
from azure.identity import ClientSecretCredential
from azure.mgmt.containerservice import ContainerServiceClient, models
c = json.load(open(sys.argv[1])); who = c["identities"]["admin"]; place = c["clusters"][0]
credential = ClientSecretCredential(
    c["tenant_id"], who["client_id"], who["client_secret"], authority=c["authority_host"],
    disable_instance_discovery=True, connection_verify=c["ca_file"])
client = ContainerServiceClient(
    credential, place["subscription_id"], base_url=c["arm_endpoint"],
    credential_scopes=[c["arm_endpoint"] + "/.default"], connection_verify=c["ca_file"])
quota = models.ResourceQuota(
    cpu_request="100m", cpu_limit="200m", memory_request="128Mi", memory_limit="256Mi")
for number in range(int(sys.argv[2])):
    body = models.ManagedNamespace(
        location="westeurope", properties=models.NamespaceProperties(default_resource_quota=quota))
    client.managed_namespaces.begin_create_or_update(
        c["resource_group"], place["name"], f"sdk-{number}", body,
        polling_interval=int(sys.argv[3])).result()
"""


def measured(action):
    """Return the wall seconds and the processor seconds of the child processes of an action."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    action()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def by_az(bench):
    """Write in a loop without waiting, as a shell script would."""
    az = Az(os.path.abspath(os.environ["MNS_AZ"]), bench.connection, bench.folder / "az", NO_PROXY)
    place = bench.connection["clusters"][0]
    az("admin", "version")  # signs in

    def loop():
        for number in range(NAMESPACES):
            done = az(
                "admin",
                f"aks namespace add -g {bench.connection['resource_group']} --no-wait"
                f" --cluster-name {place['name']} -n az-{number} --cpu-request 100m"
                f" --cpu-limit 200m --memory-request 128Mi --memory-limit 256Mi"
                f" --subscription {place['subscription_id']}",
            )
            assert done.rc == 0, done.err

    return loop


def by_sdk(bench):
    command = [sys.executable, "-c", _SDK, str(bench.process.file), str(NAMESPACES)]
    return lambda: subprocess.run([*command, str(POLLING_SECONDS)], check=True)


def by_ours(bench):
    requests = write_requests(bench.folder / "ours.csv", bench.connection, per_cluster=NAMESPACES)
    command = [sys.executable, "-m", "tests.benchmarks.job", str(bench.process.file)]
    command += [str(requests), json.dumps(FAST)]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main():
    """Print a line for each."""
    print("| 30 namespaces by | wall s | cpu s | calls each |\n| --- | --- | --- | --- |")
    ways = {
        "a loop over `az aks namespace add --no-wait`": by_az,
        "the SDK, one after the other": by_sdk,
        "mnslib, read back included": by_ours,
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "compare", subscriptions=1, clusters=1)
        for name, way in ways.items():
            if way is by_az and "MNS_AZ" not in os.environ:
                print(f"| {name} | skipped: MNS_AZ names no `az` | | |")
                continue
            action = way(bench)
            bench.throttle({"limits": sandbox_limits(FAST)})
            bench.client.control("DELETE", "requests")
            wall, processor = measured(action)
            log = bench.client.control("GET", "requests").json()["value"]
            calls = sum(entry["surface"] == "arm" for entry in log) / NAMESPACES
            print(f"| {name} | {wall:.1f} | {processor:.1f} | {calls:.1f} |", flush=True)
        bench.end()


if __name__ == "__main__":
    main()
