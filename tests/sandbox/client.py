"""A foreign client of the sandbox (requests), its process, and small factories."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
AKS_SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"
PROMETHEUS = "https://prometheus.monitor.azure.com"
PROD = "00000000-0000-4000-8000-00000000a001"
TEST = "00000000-0000-4000-8000-00000000b002"


class Process:
    """A sandbox started as `python -m mnslib.sandbox`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.file = folder / "connection.json"
        self.file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mnslib.sandbox", "--connection", str(self.file), *options]
        self.log = folder / "log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        deadline = time.monotonic() + 120  # 10,000 namespaces on a busy machine
        while not self.file.exists() and self.process.poll() is None:
            assert time.monotonic() < deadline, self.log.read_text()
            os.sched_yield()
        if self.process.poll() is None:
            self.connection: dict[str, Any] = json.loads(self.file.read_text())

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=10)


class Client:
    """Speaks to a sandbox as any program would; every method returns the bare response."""

    def __init__(self, connection: dict[str, Any], identity: str = "admin") -> None:
        self.connection, self.identity = connection, identity
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = connection["ca_file"]
        self._tokens: dict[str, str] = {}

    def sign_in(self, audience: str, **changes: str) -> requests.Response:
        who = self.connection["identities"][self.identity]
        form = {
            "grant_type": "client_credentials",
            "client_id": who["client_id"],
            "client_secret": who["client_secret"],
            "scope": f"{audience}/.default",
        }
        base = f"{self.connection['authority_host']}/{self.connection['tenant_id']}"
        return self.session.post(f"{base}/oauth2/v2.0/token", data=form | changes)

    def token(self, audience: str) -> str:
        if audience not in self._tokens:
            self._tokens[audience] = self.sign_in(audience).json()["access_token"]
        return self._tokens[audience]

    def call(self, method: str, url: str, audience: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token(audience)}"} | options.pop("headers", {})
        return self.session.request(method, url, headers=headers, timeout=20, **options)

    def arm(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str = "2026-08-01",
        **options: Any,
    ) -> requests.Response:
        endpoint = self.connection["arm_endpoint"]
        url = path if path.startswith("https:") else f"{endpoint}{path}"
        if "api-version" not in url:
            options["params"] = {"api-version": version} | options.pop("params", {})
        return self.call(method, url, endpoint, json=body, **options)

    def kube(
        self, cluster: str, method: str, path: str, body: Any = None, **options: Any
    ) -> requests.Response:
        found = next(c for c in self.connection["clusters"] if c["name"] == cluster)
        url = found["kubernetes_endpoint"] + path
        return self.call(method, url, AKS_SERVER_ID, json=body, **options)

    def prometheus(self, query: str, **fields: Any) -> requests.Response:
        url = f"{self.connection['prometheus_endpoint']}/api/v1/query_range"
        return self.call("GET", url, PROMETHEUS, params={"query": query} | fields)

    def control(self, method: str, name: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.connection['control_token']}"}
        url = f"{self.connection['control_endpoint']}/{name}"
        return self.session.request(method, url, headers=headers, json=body, timeout=20)

    def another(self, identity: str) -> Client:
        """Return a client of the same sandbox as somebody else."""
        return Client(self.connection, identity)

    # what most tests do

    def grant(
        self, scope: str, role: str, to: str = "namespace_user", **properties: Any
    ) -> requests.Response:
        """Assign a role by its GUID to an identity (or an object id) and return the answer."""
        principal = self.connection["identities"].get(to, {"object_id": to})["object_id"]
        auth = f"{scope.rstrip('/')}/providers/Microsoft.Authorization"
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{scope} {role} {principal}")
        wanted = {"principalId": principal, "principalType": "ServicePrincipal"}
        wanted["roleDefinitionId"] = f"{auth}/roleDefinitions/{role}"
        path, body = f"{auth}/roleAssignments/{name}", {"properties": wanted | properties}
        return self.arm("PUT", path, body, version="2022-04-01")

    def switch(self, **switches: Any) -> None:
        answer = self.control("POST", "switches", switches)
        assert answer.status_code == 200, answer.text

    def finish(self, seconds: float = 1) -> None:
        """Let time pass, so that fast operations end."""
        self.control("POST", "clock", {"seconds": seconds})

    def put(self, name: str, body: Any, *, cluster: str = "aks-prod-weu-1") -> requests.Response:
        """PUT a managed namespace and let its operation end; return the first answer."""
        answer = self.arm("PUT", namespace_id(name, cluster), body)
        self.finish()
        return answer

    def get(self, name: str, *, cluster: str = "aks-prod-weu-1") -> dict[str, Any]:
        return dict(self.arm("GET", namespace_id(name, cluster)).json())

    def operation(self, answer: requests.Response) -> dict[str, Any]:
        return dict(self.arm("GET", answer.headers["Azure-AsyncOperation"]).json())


def cluster_id(cluster: str = "aks-prod-weu-1") -> str:
    subscription = TEST if "test" in cluster else PROD
    return (
        f"/subscriptions/{subscription}/resourceGroups/rg-platform"
        f"/providers/Microsoft.ContainerService/managedClusters/{cluster}"
    )


def namespace_id(name: str, cluster: str = "aks-prod-weu-1") -> str:
    return f"{cluster_id(cluster)}/managedNamespaces/{name}"


def make_body(**properties: Any) -> dict[str, Any]:
    quota = {"cpuRequest": "500m", "cpuLimit": "800m", "memoryRequest": "1Gi", "memoryLimit": "2Gi"}
    return {"location": "westeurope", "properties": {"defaultResourceQuota": quota} | properties}


def make_pod(name: str = "x", **resources: dict[str, str]) -> dict[str, Any]:
    container = {"name": name, "image": "registry.example/x:1", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}


def decode(text: str) -> str:
    return base64.b64decode(text).decode()
