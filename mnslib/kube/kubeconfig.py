"""Kubeconfig files: read the access of a cluster, write one for a namespace.

Nobody's own kubeconfig is touched. What the service hands out (`listCredential`) names its context
after the cluster and sets no namespace, so that two namespaces would overwrite each other; here
each gets names of its own, so that kubectl can merge them (`KUBECONFIG=a:b`). Holds no token:
`mns token` or kubelogin fetches one.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import yaml

from mnslib.errors import KubeError
from mnslib.results import utc_text

EXEC_API_VERSION = "client.authentication.k8s.io/v1"
"""Source: Kubernetes, "client-go credential plugins"; kubectl 1.22 and later."""

KUBELOGIN_MODES = {
    "default": "azurecli",
    "cli": "azurecli",
    "environment": "spn",
    "workload-identity": "workloadidentity",
    "managed-identity": "msi",
}
"""`credential` to `kubelogin get-token --login`. Source: kubelogin, "Login modes"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """Where a cluster's API server is, and whose certificate to trust."""

    server: str
    ca_pem: str


def read_access(kubeconfig_text: str) -> ClusterAccess:
    """Return the API server that the first cluster of a kubeconfig names.

    Raises:
        KubeError: if the text is no kubeconfig, or the server is not https with a certificate.
    """
    entry = _entry(_parse(kubeconfig_text), "cluster")
    name, cluster = str(entry["name"]), entry["cluster"]
    server = str(cluster.get("server", ""))
    try:
        data = str(cluster.get("certificate-authority-data", ""))
        ca_pem = base64.b64decode(data, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise KubeError(f"cluster {name}: its kubeconfig holds no certificate") from error
    if not server.startswith("https://") or "BEGIN CERTIFICATE" not in ca_pem:
        raise KubeError(f"cluster {name}: its kubeconfig names no https server with a certificate")
    return ClusterAccess(server=server, ca_pem=ca_pem)


def namespace_kubeconfig(
    kubeconfig_text: str,
    *,
    cluster_name: str,
    namespace_name: str,
    login: Literal["mns", "kubelogin"] = "mns",
    credential: str = "default",
    cloud: str = "public",
    target: Literal["azure", "sandbox"] = "azure",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the service's kubeconfig, made for one namespace; holds no secret.

    Cluster, context and user are called `<cluster>-<namespace>`, and the namespace is set.

    Args:
        kubeconfig_text: as `listCredential` gives it.
        login: who fetches the token: `mns token` of this very installation, for one's own use, or
            `kubelogin`, for somebody else's machine.
        credential, cloud, target: what `mns token` is told; kubelogin gets the mode of
            `credential`.
        environment: variables that `mns token` shall run with, such as `MNS_SANDBOX`.

    Raises:
        KubeError: if the text is no kubeconfig with an Entra sign-in: a cluster without Entra ID
            hands out a client certificate, which is a secret that cannot be revoked.
    """
    document = _parse(kubeconfig_text)
    signed_in = _entry(document, "user")["user"].get("exec")
    if not isinstance(signed_in, dict):
        raise KubeError(
            f"cluster {cluster_name}: its kubeconfig has no Entra sign-in; a certificate or token "
            "would be a lasting secret and is not written. Enable Entra ID on the cluster first."
        )
    if login == "kubelogin":
        sign_in = _kubelogin(signed_in, KUBELOGIN_MODES[credential])
    else:
        sign_in = _mns_token(["--target", target, "--cloud", cloud, "--credential", credential])
        sign_in["env"] = [{"name": k, "value": v} for k, v in sorted((environment or {}).items())]
    name = f"{cluster_name}-{namespace_name}"
    cluster = _entry(document, "cluster")["cluster"]
    context = {"cluster": name, "user": name, "namespace": namespace_name}
    own = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"exec": sign_in}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return yaml.safe_dump(own, sort_keys=False)


def exec_credential_json(token: str, expires_on: int) -> str:
    """Return what an exec credential plugin prints: the token and when it ends.

    Args:
        token: a bearer token.
        expires_on: seconds since 1970, UTC.

    Source: Kubernetes, "client-go credential plugins", output format v1.
    """
    expires = utc_text(datetime.fromtimestamp(expires_on, UTC))
    return json.dumps(
        {
            "apiVersion": EXEC_API_VERSION,
            "kind": "ExecCredential",
            "status": {"token": token, "expirationTimestamp": expires},
        }
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeError("the kubeconfig from Azure is no YAML") from error
    if not isinstance(document, dict) or document.get("kind") != "Config":
        raise KubeError("what Azure answered is no kubeconfig")
    return document


def _entry(document: Mapping[str, Any], kind: str) -> dict[str, Any]:
    entries = document.get(f"{kind}s")
    first = entries[0] if isinstance(entries, list) and entries else None
    if not isinstance(first, dict) or not isinstance(first.get(kind), dict) or "name" not in first:
        raise KubeError(f"the kubeconfig from Azure names no {kind}")
    return first


def _mns_token(arguments: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": EXEC_API_VERSION,
        # kubectl runs it from anywhere, with any PATH
        "command": sys.executable,
        "args": ["-m", "mnslib", "token", *arguments],
        "env": None,
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }


def _kubelogin(signed_in: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """Return the service's exec block with another `--login`.

    `--client-id` there belongs to the interactive modes; in the others it would name the identity.
    """
    arguments = list(signed_in.get("args") or ["get-token"])
    for option in ("--client-id", "--login"):
        if option in arguments:
            at = arguments.index(option)
            del arguments[at : at + 2]
    arguments += ["--login", mode]
    return {**signed_in, "args": arguments}
