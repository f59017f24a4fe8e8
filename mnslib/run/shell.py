"""A shell that acts as somebody on the sandbox: settings of its own for mns, kubectl and az.

They lie in `as/<identity>/` beside the sandbox's connection file; the user's own are not touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnslib.errors import cut
from mnslib.kube.kubeconfig import sandbox_kubeconfig
from mnslib.run.project import message, write_whole
from mnslib.run.targets import IDENTITY_VARIABLE, SANDBOX_VARIABLE, sandbox_as

AZ_SECONDS = 120
"""How long one call of az may take; our choice: it needs 1 to 3 s."""

AZ_SETTINGS = {
    "AZURE_CORE_INSTANCE_DISCOVERY": "false",
    "AZURE_CORE_COLLECT_TELEMETRY": "no",
    "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
}
"""Else az asks public hosts. Source: Azure CLI 2.91, tried against the sandbox."""


def acting_as(
    identity: str, sandbox: Mapping[str, Any], *, file: Path
) -> tuple[dict[str, str], str]:
    """Return the variables of a shell that acts as somebody on a sandbox, and a line on who it is.

    Writes a kubeconfig, and has az sign in where it is installed.

    Args:
        identity: one of the sandbox's identities, or of its directory by any name.
        sandbox: content of the connection file.
        file: that file.

    Raises:
        ConfigError: if nobody can be signed in as it.
    """
    known = sandbox_as(sandbox, identity)["identities"][identity]
    name = identity if identity in sandbox["identities"] else known["object_id"]
    who = {"kind": "identity", "name": identity, **known}
    home = file.parent / "as" / name
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = {SANDBOX_VARIABLE: str(file), IDENTITY_VARIABLE: name}
    servers = {one["name"]: one["kubernetes_endpoint"] for one in sandbox["clusters"]}
    text = sandbox_kubeconfig(servers, ca_file=sandbox["ca_file"], environment=own)
    write_whole(home / "kubeconfig", text, mode=0o600)
    local = [*filter(None, [os.environ.get("NO_PROXY")]), "localhost", "127.0.0.1"]
    variables = {
        **own,
        **AZ_SETTINGS,
        "KUBECONFIG": str(home / "kubeconfig"),
        "AZURE_CONFIG_DIR": str(home / "azure"),
        "REQUESTS_CA_BUNDLE": sandbox["ca_file"],
        "NO_PROXY": ",".join(dict.fromkeys(local)),
    }
    problem = _sign_in_az(who, sandbox, variables)
    told = message("acting", **who, az="" if problem else ", az")
    return variables, f"{told} {message('no_az', why=problem)}" if problem else told


def _sign_in_az(
    who: Mapping[str, Any], sandbox: Mapping[str, Any], variables: Mapping[str, str]
) -> str:
    """Have az sign in with its own settings; return why it did not, empty where it did."""
    az, folder = shutil.which("az"), Path(variables["AZURE_CONFIG_DIR"])
    if az is None:
        return "it is not installed, or not on PATH"
    note, now = folder / "signed-in.json", [sandbox["arm_endpoint"], who["client_id"]]
    if note.exists() and json.loads(note.read_text("utf-8")) == now:
        return ""
    shutil.rmtree(folder, ignore_errors=True)  # tokens of another start are in it
    folder.mkdir(mode=0o700)
    place, arm = "MnsSandbox", sandbox["arm_endpoint"]
    sign_in = ["login", "--service-principal", "--allow-no-subscriptions"]
    sign_in += ["-u", who["client_id"], "-p", who["client_secret"]]
    for words in (
        ["cloud", "register", "-n", place, "--endpoint-resource-manager", arm],
        ["cloud", "set", "-n", place],
        [*sign_in, "--tenant", sandbox["tenant_id"]],
    ):
        try:
            done = subprocess.run(
                [az, *words, "--only-show-errors", "-o", "none"],
                env={**os.environ, **variables},
                capture_output=True,
                text=True,
                timeout=AZ_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{words[0]}: {type(error).__name__}"
        if done.returncode:
            return f"{words[0]}: {cut(done.stderr.strip() or str(done.returncode))}"
    write_whole(note, json.dumps(now))
    return ""
