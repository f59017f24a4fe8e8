"""The pods that a real API server judged, before another one: opt-in.

KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver, as envtest has it; with
kube-controller-manager quotas are counted by it, without it this test writes their status.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sandbox.test_pod_cases import CASES, FACTS, said

ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS", ""))
COUNTER = ASSETS / "kube-controller-manager"
pytestmark = pytest.mark.skipif(
    not (ASSETS / "kube-apiserver").is_file() or not (ASSETS / "etcd").is_file(),
    reason="KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver",
)
STEPS = ("pod_before", "claims_made", "hard_lowered_to", "resized_to_requests_limits")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class RealServer:
    """An API server with everything allowed to the token `admin`."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()
        self.session.verify, self.session.trust_env = False, False
        self.session.headers["Authorization"] = "Bearer admin"

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.session.request(method, self.url + path, json=body, timeout=30, **more)

    def wait(self, path: str, *, holds: Any) -> None:
        for _ in range(300):
            try:
                answer = self.send("GET", path)
                if answer.ok and holds(answer):
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        raise TimeoutError(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    home = tmp_path_factory.mktemp("server")
    store, peers, port = (free_port() for _ in range(3))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (home / "sa.key").write_bytes(key)
    (home / "tokens").write_text('admin,admin,1,"system:masters"\n')
    url = f"https://127.0.0.1:{port}"
    cluster = {"server": url, "insecure-skip-tls-verify": True}
    config = {
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": "admin"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    (home / "kubeconfig").write_text(json.dumps(config))
    etcd = f"http://127.0.0.1:{store}"
    lines = [
        f"etcd --data-dir {home}/etcd --listen-client-urls {etcd} --advertise-client-urls {etcd} "
        f"--listen-peer-urls http://127.0.0.1:{peers}",
        f"kube-apiserver --etcd-servers {etcd} --secure-port {port} --cert-dir {home}/certs "
        f"--bind-address 127.0.0.1 --token-auth-file {home}/tokens --service-account-issuer {url} "
        f"--service-account-key-file {home}/sa.key --disable-admission-plugins ServiceAccount "
        f"--service-account-signing-key-file {home}/sa.key --authorization-mode AlwaysAllow",
    ]
    if COUNTER.is_file():
        lines.append(f"kube-controller-manager --kubeconfig {home}/kubeconfig --leader-elect=false")
    started = []
    with (home / "log").open("wb") as log:
        for line in lines:
            program, *words = line.split()
            started.append(subprocess.Popen([ASSETS / program, *words], stdout=log, stderr=log))
        try:
            found = RealServer(url)
            found.wait("/readyz", holds=lambda answer: True)
            overhead = {"podFixed": FACTS["about"]["runtime_class_heavy_overhead"]}
            heavy = {"metadata": {"name": "heavy"}, "handler": "heavy", "overhead": overhead}
            found.send("POST", "/apis/node.k8s.io/v1/runtimeclasses", heavy)
            for name, value in FACTS["about"]["priority_classes"].items():
                body = {"metadata": {"name": name}, "value": value}
                found.send("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body)
            yield found
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not set(STEPS) & set(case)])
def test_a_real_server_judges_a_pod_as_it_did(server: RealServer, name: str) -> None:
    case = copy.deepcopy(CASES[name])
    place = f"/api/v1/namespaces/{name}"
    server.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for key, limits in case.get("limit_ranges", {}).items():
        body = {"metadata": {"name": key}, "spec": {"limits": limits}}
        assert server.send("POST", f"{place}/limitranges", body).status_code == 201
    for key, spec in case["quota_hard"].items():
        body = {"metadata": {"name": key}, "spec": spec}
        made = server.send("POST", f"{place}/resourcequotas", body).json()
        path = f"{place}/resourcequotas/{key}"
        if not COUNTER.is_file():
            made["status"] = {"hard": spec["hard"], "used": dict.fromkeys(spec["hard"], "0")}
            assert server.send("PUT", f"{path}/status", made).ok
        server.wait(path, holds=lambda answer: answer.json()["status"].get("used"))
    time.sleep(0.3)  # admission reads quotas and LimitRanges by a watch
    pod = {"metadata": {"name": "p"}, "spec": case["pod_spec"]}
    answer = server.send("POST", f"{place}/pods", pod)
    assert answer.status_code == case["real_status_code"], answer.text
    if name != "two-quotas-both-exceeded" and case["real_refusal"]:
        assert said(answer.json()["message"]) == said(case["real_refusal"])
