"""Kubeconfigs as text: read the access of a cluster, make one for a namespace, merge two.

What the service hands out (`listCredential`) names its context after the cluster and sets no
namespace, so that two namespaces would overwrite each other; here each gets names of its own. Holds
no token: `mns token` or kubelogin fetches one, as whoever runs kubectl. Writes no file.
"""

import base64
import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from mnslib.errors import ConfigError, KubeError
from mnslib.packaged import YAML_LOADER, packaged
from mnslib.results import utc_text

EXEC_API_VERSION = "client.authentication.k8s.io/v1"
"""Source: Kubernetes, "client-go credential plugins"; kubectl 1.22 and later."""

_WORDS = packaged("mnslib.kube", "words")

_HEAD = {"apiVersion": "v1", "kind": "Config"}
_ENTRIES = ("clusters", "users", "contexts")
_EMPTY = (None, "")
_OTHERS = ("current-context", "preferences", "extensions")
"""Parts of a kubeconfig. Source: Kubernetes, client-go, `clientcmd/api/v1`."""


def read_server(kubeconfig_text: str) -> tuple[str, str]:
    """Return address and certificate (PEM) of the API server that a kubeconfig names first.

    Raises:
        KubeError: if the text is no kubeconfig, or the server is not https with a certificate.
    """
    entry = _entry(_parse(kubeconfig_text), "cluster")
    name, cluster = str(entry["name"]), entry["cluster"]
    server = str(cluster.get("server", ""))
    try:
        data = str(cluster.get("certificate-authority-data", ""))
        ca_pem = base64.b64decode(data, validate=True).decode("ascii")
    except ValueError as error:
        raise KubeError(f"cluster {name}: its kubeconfig holds no certificate") from error
    if not server.startswith("https://") or "BEGIN CERTIFICATE" not in ca_pem:
        raise KubeError(f"cluster {name}: its kubeconfig names no https server with a certificate")
    return server, ca_pem


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
        raise KubeError(_WORDS["refusals"]["no_entra"].format(name=cluster_name))
    if login not in ("mns", "kubelogin"):
        raise ConfigError(f"login is {login!r}: write one of mns, kubelogin.")
    sign_in = _kubelogin(signed_in) if login == "kubelogin" else _mns_login(cloud)
    if sandbox_environment is not None:
        sign_in = _sandbox_login(sandbox_environment)
    name = f"{cluster_name}-{namespace_name}"
    cluster = _entry(document, "cluster")["cluster"]
    context = {"cluster": name, "user": name, "namespace": namespace_name}
    own = {
        **_HEAD,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"exec": sign_in}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return yaml.safe_dump(own, sort_keys=False)


def sandbox_kubeconfig(
    servers: Mapping[str, str], *, ca_file: str, environment: Mapping[str, str]
) -> str:
    """Return a kubeconfig with a context for each cluster of a sandbox; holds no secret.

    Args:
        servers: address of each cluster's API server, by the cluster's name.
        environment: the variables by which `mns token` finds the sandbox, and whom it is for.
    """
    user = {"name": "sandbox", "user": {"exec": _sandbox_login(environment)}}
    return yaml.safe_dump(
        {
            **_HEAD,
            "clusters": [
                {"name": name, "cluster": {"server": server, "certificate-authority": ca_file}}
                for name, server in servers.items()
            ],
            "users": [user],
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": "sandbox"}} for name in servers
            ],
            "current-context": next(iter(servers), ""),
        },
        sort_keys=False,
    )


def exec_credential_json(token: str, expires_on: int) -> str:
    """Return what an exec credential plugin prints: the token and when it ends.

    Args:
        token: a bearer token.
        expires_on: seconds since 1970, UTC.

    Source: Kubernetes, "client-go credential plugins", output format v1.
    """
    expires = utc_text(datetime.fromtimestamp(expires_on, UTC))
    status = {"token": token, "expirationTimestamp": expires}
    kind = {"apiVersion": EXEC_API_VERSION, "kind": "ExecCredential"}
    return json.dumps(kind | {"status": status})


def _parse(text: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=YAML_LOADER)
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


def _mns_login(cloud: str) -> dict[str, Any]:
    """Return the exec block that has `mns token` fetch the token."""
    return {**_WORDS["mns_login"], "args": ["token", "--cloud", cloud]}


def _sandbox_login(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the same for the sandbox; kubectl runs it from anywhere, with any PATH."""
    return _mns_login("") | {
        "command": sys.executable,
        "args": ["-m", "mnslib", "token", "--target", "sandbox"],
        "env": [{"name": k, "value": v} for k, v in sorted(environment.items())],
        "installHint": _WORDS["install_hints"]["sandbox"],
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
    return {**signed_in, "args": arguments, "installHint": _WORDS["install_hints"]["kubelogin"]}


def merged_kubeconfig(old: str, new: str) -> str:
    """Return a kubeconfig with the entries of another one added, and nothing else touched.

    Other entries keep their order, values their quotes, comments their place. Entries of the same
    name for the same server are replaced; `current-context` is set only where it is empty.

    Raises:
        ConfigError: if kubectl reads no kubeconfig in `old`, or it has an entry of that name for
            another server, or for none.
    """
    from ruamel.yaml import YAML  # here, for kubectl asks this module for tokens

    editor, merged = YAML(), io.StringIO()
    editor.preserve_quotes, editor.width = True, sys.maxsize
    document, addition = _load(editor, old), _load(editor, new)
    servers, users = _servers(document), [entry.get("name") for entry in document["users"]]
    for name, server in _servers(addition).items():
        if servers.get(name, server) != server:
            server = servers[name]
            raise ConfigError(_WORDS["refusals"]["other_server"].format(name=name, server=server))
        if name in users and name not in servers:  # whose credential that is nobody can tell
            raise ConfigError(_WORDS["refusals"]["other_user"].format(name=name))
    for section in _ENTRIES:
        entries = document[section]
        for entry in addition[section]:
            names = [held.get("name") for held in entries]
            if entry["name"] in names:
                entries[names.index(entry["name"])] = entry
            else:
                entries.append(entry)
    if document.get("current-context") in _EMPTY:
        document["current-context"] = addition["current-context"]
    editor.dump(document, merged)
    return merged.getvalue()


def _load(editor: Any, text: str) -> dict[str, Any]:
    """Return a kubeconfig as kubectl reads it, which takes what is left out for `_HEAD`."""
    from ruamel.yaml.error import YAMLError

    try:
        document = editor.load(text) or {}
    except YAMLError as error:
        raise ConfigError("it is no kubeconfig and is left as it is") from error
    is_one = isinstance(document, dict) and (
        not document or document.keys() & {*_HEAD, *_ENTRIES, *_OTHERS}
    )
    if not is_one or any(document.get(name) not in (word, *_EMPTY) for name, word in _HEAD.items()):
        raise ConfigError("it is no kubeconfig and is left as it is")
    document |= _HEAD
    for section in _ENTRIES:
        entries = document[section] = [] if document.get(section) in _EMPTY else document[section]
        if not isinstance(entries, list) or not all(
            isinstance(held, dict) and isinstance(held.get("name", ""), str) for held in entries
        ):
            raise ConfigError(f"its {section} are no list of entries, and it is left as it is")
        names = [str(held.get("name", "")) for held in entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            named = ", ".join(twice) or "without a name"
            raise ConfigError(f"two of its {section} are {named}: kubectl reads neither")
    return document


def _servers(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the server of each cluster; empty where it names none."""
    found = {entry.get("name"): entry.get("cluster") for entry in document["clusters"]}
    return {
        name: cluster.get("server", "") if isinstance(cluster, dict) else ""
        for name, cluster in found.items()
    }
