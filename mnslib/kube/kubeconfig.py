"""Kubeconfigs as text: read the access of a cluster, make one for a namespace, merge two.

What the service hands out (`listCredential`) names its context after the cluster and sets no
namespace, so that two namespaces would overwrite each other; here each gets names of its own. Holds
no token: `mns token` or kubelogin fetches one, as whoever runs kubectl. Writes no file.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from mnslib.errors import ConfigError, KubeError
from mnslib.results import utc_text

EXEC_API_VERSION = "client.authentication.k8s.io/v1"
"""Source: Kubernetes, "client-go credential plugins"; kubectl 1.22 and later."""

INSTALL_HINTS = {
    "mns": "mns fetches your token. Install mnslib, have `mns` on PATH (activate its environment), "
    "and sign in with `az login`.",
    "kubelogin": "kubelogin fetches your token. Get it with `az aks install-cli`, and sign in with "
    "`az login`.",
    "sandbox": "This kubeconfig is of a sandbox: it works only on the machine that it was made on, "
    "as long as that installation is there.",
}
"""What kubectl says where it does not find the program."""

_ENTRIES = ("clusters", "users", "contexts")


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
    login: str = "mns",
    cloud: str = "public",
    sandbox_environment: Mapping[str, str] | None = None,
) -> str:
    """Return the service's kubeconfig, made for one namespace; holds no secret.

    Cluster, context and user are called `<cluster>-<namespace>`, and the namespace is set. It works
    on any machine with the program that fetches the token, as whoever is signed in there.

    Args:
        kubeconfig_text: as `listCredential` gives it.
        login: that program: `mns` or `kubelogin`.
        cloud: what `mns token` is told.
        sandbox_environment: None on Azure; the variables by which `mns token` finds the sandbox,
            which works on this machine only and therefore with this very installation.

    Raises:
        ConfigError: if there is no such login.
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
    if login not in ("mns", "kubelogin"):
        raise ConfigError(f"login is {login!r}: write one of mns, kubelogin.")
    if sandbox_environment is not None:
        sign_in = _sandbox_token(sandbox_environment)
    elif login == "kubelogin":
        sign_in = _kubelogin(signed_in)
    else:
        sign_in = _exec("mns", ["token", "--cloud", cloud], hint="mns")
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


def _sandbox_token(environment: Mapping[str, str]) -> dict[str, Any]:
    arguments = ["-m", "mnslib", "token", "--target", "sandbox"]
    # kubectl runs it from anywhere, with any PATH
    sign_in = _exec(sys.executable, arguments, hint="sandbox")
    sign_in["env"] = [{"name": k, "value": v} for k, v in sorted(environment.items())]
    return sign_in


def _exec(command: str, arguments: list[str], *, hint: str) -> dict[str, Any]:
    return {
        "apiVersion": EXEC_API_VERSION,
        "command": command,
        "args": arguments,
        "env": None,
        "installHint": INSTALL_HINTS[hint],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }


def _kubelogin(signed_in: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service's exec block with the sign-in of `az login`.

    `--client-id` there belongs to the interactive modes; in this one it would name the identity.
    """
    arguments = list(signed_in.get("args") or ["get-token"])
    for option in ("--client-id", "--login"):
        if option in arguments:
            at = arguments.index(option)
            del arguments[at : at + 2]
    arguments += ["--login", "azurecli"]
    return {**signed_in, "args": arguments, "installHint": INSTALL_HINTS["kubelogin"]}


# Merging works on YAML's nodes, not on values, so that `0123` or `1e3` stays the text it was.


def merged_kubeconfig(old: str, new: str) -> str:
    """Return a kubeconfig with the entries of another one added, and nothing else touched.

    Other entries keep their order and every value its very text; comments are lost, as they are
    with kubectl. Entries of the same name for the same server are replaced; `current-context` is
    set only where it is empty.

    Raises:
        ConfigError: if `old` is no kubeconfig, or has an entry of that name for another server, or
            for none.
    """
    document, addition = _compose(old), _compose(new)
    _refuse_other_server(document, addition)
    for section in _ENTRIES:
        entries = _section(document, section)
        for entry in _section(addition, section):
            names = [_scalar(item, "name") for item in entries]
            name = _scalar(entry, "name")
            if name in names:
                entries[names.index(name)] = entry
            else:
                entries.append(entry)
    if not _scalar(document, "current-context"):
        context = yaml.ScalarNode("tag:yaml.org,2002:str", _scalar(addition, "current-context"))
        _put(document, "current-context", context)
    return yaml.serialize(document, Dumper=yaml.SafeDumper, allow_unicode=True)


def _compose(text: str) -> yaml.MappingNode:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError("it is no kubeconfig and is left as it is") from error
    is_config = isinstance(node, yaml.MappingNode) and _scalar(node, "kind") == "Config"
    if not is_config or not isinstance(node, yaml.MappingNode):
        raise ConfigError("it is no kubeconfig and is left as it is")
    return node


def _refuse_other_server(old: yaml.MappingNode, new: yaml.MappingNode) -> None:
    def servers(document: yaml.MappingNode) -> dict[str, str]:
        return {
            _scalar(entry, "name"): _scalar(_get(entry, "cluster"), "server")
            for entry in _section(document, "clusters")
        }

    present = servers(old)
    for name, server in servers(new).items():
        if present.get(name, server) != server:
            raise ConfigError(
                f"it has an entry {name} for another server ({present[name]}) and is left as it "
                f"is; remove that with `kubectl config delete-cluster {name}`, or name another file"
            )
        users = [_scalar(entry, "name") for entry in _section(old, "users")]
        if name in users and name not in present:  # whose credential that is nobody can tell
            raise ConfigError(
                f"it has a user {name} of something else and is left as it is; remove that with "
                f"`kubectl config delete-user {name}`, or name another file"
            )


def _get(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _put(node: yaml.MappingNode, key: str, value: yaml.Node) -> None:
    node.value = [pair for pair in node.value if pair[0].value != key]
    node.value.append((yaml.ScalarNode("tag:yaml.org,2002:str", key), value))


def _scalar(node: yaml.Node | None, key: str) -> str:
    value = _get(node, key)
    return str(value.value) if isinstance(value, yaml.ScalarNode) else ""


def _section(document: yaml.MappingNode, key: str) -> list[yaml.Node]:
    """Return the list under a key, making an empty one where it is missing or null."""
    found = _get(document, key)
    if found is not None and found.tag == "tag:yaml.org,2002:null":
        found = None
    if found is not None and not isinstance(found, yaml.SequenceNode):
        raise ConfigError(f"its {key} are no list, and it is left as it is")
    if found is None:
        found = yaml.SequenceNode("tag:yaml.org,2002:seq", [])
        _put(document, key, found)
    return found.value  # type: ignore[no-any-return]  # PyYAML's nodes are untyped inside
