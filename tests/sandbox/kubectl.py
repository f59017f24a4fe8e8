"""A real kubectl as a foreign client of one of the sandbox's clusters."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.sandbox.client import AKS_SERVER_ID, Client, cluster_id

OLDEST = (1, 27)
TIMEOUT_SECONDS = 60


@cache
def missing() -> str:
    """Return why there is no kubectl to test with, or an empty text."""
    program = shutil.which("kubectl")
    if program is None:
        return "needs kubectl on the PATH"
    done = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, check=False
    )
    version = json.loads(done.stdout)["clientVersion"] if done.returncode == 0 else {}
    found = tuple(int(re.sub("[^0-9]", "", version.get(key, "0"))) for key in ("major", "minor"))
    return "" if found >= OLDEST else f"needs kubectl 1.27 or newer, not {found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one command left behind."""

    rc: int
    out: str
    err: str


class Kubectl:
    """Runs shell commands whose `kubectl` speaks to one cluster."""

    def __init__(self, config: Path) -> None:
        self.config = config
        config.chmod(0o600)

    @classmethod
    def of(cls, client: Client, home: Path, cluster: str = "aks-prod-weu-1") -> Kubectl:
        """Return one that is signed in as the client's identity."""
        server = next(
            one["kubernetes_endpoint"]
            for one in client.connection["clusters"]
            if one["name"] == cluster
        )
        ca_file = client.connection["ca_file"]
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "c", "cluster": {"server": server, "certificate-authority": ca_file}}
            ],
            "users": [{"name": "u", "user": {"token": client.token(AKS_SERVER_ID)}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        home.mkdir(exist_ok=True)
        config = home / "config"
        config.write_text(json.dumps(content))
        return cls(config)

    @classmethod
    def of_admin(cls, client: Client, home: Path, cluster: str = "aks-prod-weu-1") -> Kubectl:
        """Return one with the cluster's admin credential, which is allowed first."""
        path = cluster_id(cluster)
        found = client.arm("GET", path).json()
        found["properties"]["disableLocalAccounts"] = False
        assert client.arm("PUT", path, found).status_code == 200
        client.finish(600)
        granted = client.arm("POST", f"{path}/listClusterAdminCredential").json()
        config = home / "config"
        config.write_bytes(base64.b64decode(granted["kubeconfigs"][0]["value"]))
        return cls(config)

    def __call__(self, command: str, stdin: str = "") -> Result:
        """Run one command line of a shell."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.config.parent),
            "KUBECONFIG": str(self.config),
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            ["sh", "-c", command],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(rc=done.returncode, out=done.stdout, err=done.stderr)

    def json(self, command: str) -> Any:
        """Return what a command prints as JSON."""
        done = self(f"{command} -o json")
        assert done.rc == 0, done.err
        return json.loads(done.out)
