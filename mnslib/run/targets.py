"""Where a run goes: Azure, or the sandbox in its place, and the doors to both.

Asks nothing before it is used; knows nothing of notebooks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mnslib.errors import ConfigError, cut
from mnslib.resource_ids import ClusterId
from mnslib.run.log import tell
from mnslib.run.parameters import TARGETS, history_problems, word_problem
from mnslib.run.project import find_project_root, message

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.kube.client import KubeClient
    from mnslib.models import ManagedCluster

WAY = ("target", "cloud", "credential")
"""Parameters that say which target it is, as `open_target` takes them."""

SANDBOX_VARIABLE = "MNS_SANDBOX"
"""Environment variable that names the connection file of a running sandbox."""

IDENTITY_VARIABLE = "MNS_SANDBOX_IDENTITY"
"""Environment variable that names whom runs and tokens on the sandbox act as; `admin` without."""


NOBODY = "nobody"
"""As whom a pack of the sandbox signs in where nobody was asked: refused, and not the admin."""


@dataclass(slots=True, kw_only=True, eq=False)
class Target:
    """The door to Azure, and one to each cluster; `sandbox` is its connection, None on Azure."""

    azure: AzureClient
    sandbox: Mapping[str, Any] | None
    _kube: dict[str, KubeClient] = field(default_factory=dict)

    def kube_for(self, cluster: ManagedCluster) -> KubeClient:
        """Return the Kubernetes door of a cluster; asks for its kubeconfig once.

        Raises:
            ArmError: if Azure does not give it, for lack of a role or of the cluster.
            KubeError: if what it gives names no server or no certificate authority.
        """
        if cluster.id.key not in self._kube:
            self._kube[cluster.id.key] = self.kube_as(self.azure, cluster)
        return self._kube[cluster.id.key]

    def kube_as(self, azure: AzureClient, cluster: ManagedCluster) -> KubeClient:
        """Return the Kubernetes door of a cluster as whoever a door to Azure signs in as."""
        from mnslib.kube.client import KubeClient

        return KubeClient(
            self.azure.managed_clusters.list_cluster_user_credential(cluster.id),
            token=lambda: azure.access_token(azure.cloud.kubernetes_scope).token,
            name=cluster.id.cluster_name,
        )

    def as_one_of(self, ids: Collection[str], credential: str) -> AzureClient | None:
        """Return the door to Azure as somebody else, None where nobody can be signed in as.

        Args:
            ids: object ids; the sandbox signs in as the first of them that it can.
            credential: on Azure that of somebody, as the parameter `credential`.
        """
        from mnslib.azure.client import AzureClient
        from mnslib.azure.credentials import make_credential, sandbox_credential
        from mnslib.azure.throttle import NO_LIMITS

        cloud = self.azure.cloud
        if self.sandbox is None:
            own = make_credential(credential, cloud=cloud) if credential else None
            return AzureClient(cloud, own) if own else None
        admin = self.sandbox["identities"]["admin"]["object_id"]
        for one in ids:
            if one != admin:
                with suppress(ConfigError):  # a group inside the group signs in nowhere
                    known = sandbox_as(self.sandbox, one)
                    own = sandbox_credential(known, identity=one)
                    return AzureClient(cloud, own, limits=NO_LIMITS)
        return None

    def close(self) -> None:
        """Close the connections of all doors that were opened."""
        for kube in self._kube.values():
            kube.close()
        self.azure.close()

    def scope(
        self, subscription_ids: Sequence[str], clusters: Sequence[str]
    ) -> tuple[list[str], list[ClusterId]]:
        """Return subscriptions and clusters to read; on the sandbox nothing named means all.

        Raises:
            ConfigError: if nothing is named on Azure, or `clusters` holds what is no id of one.
        """
        subscriptions = list(subscription_ids)
        if not subscriptions and not clusters:
            if self.sandbox is None:
                raise ConfigError(message("no_scope"))
            subscriptions = list(self.sandbox["subscription_ids"])
        try:
            return subscriptions, [ClusterId.parse(text) for text in clusters]
        except ValueError as error:
            raise ConfigError(message("no_cluster", why=error)) from error

    def prometheus(
        self, history: str, endpoint: str, *, token_env: str = ""
    ) -> PrometheusClient | None:
        """Return the door to the history, None where there is none to ask.

        Args:
            history: `auto` (the workspace's endpoint if one is given, or the sandbox's),
                `azure-monitor`, `prometheus` (a server of one's own, which no token of Azure's
                is ever sent to) or `none`.
            endpoint: the query endpoint.
            token_env: environment variable with the bearer token of one's own server.

        Raises:
            ConfigError: if the word does not exist, or a token must not be sent to the endpoint.
        """
        asked = {
            "target": "azure" if self.sandbox is None else "sandbox",
            "history": history,
            "prometheus_endpoint": endpoint,
            "prometheus_token_env": token_env,
        }
        if problems := history_problems(asked):
            raise ConfigError("\n".join(problems.values()))
        is_own = history == "prometheus"
        if self.sandbox is not None and not is_own:
            endpoint = str(self.sandbox["prometheus_endpoint"])
        if history == "none" or not endpoint:
            return None
        if is_own:
            from mnslib.azure.prometheus import plain_prometheus

            token = os.environ.get(token_env, "").strip()
            if token_env and not token:
                raise ConfigError(message("no_token"))
            return plain_prometheus(endpoint, token=token)  # which is written down nowhere
        workspace = urlsplit(self.azure.cloud.prometheus_scope).hostname
        host = urlsplit(endpoint).hostname or ""
        if self.sandbox is None and not host.endswith(f".{workspace}"):
            named = repr(cut(endpoint, 120))
            raise ConfigError(message("no_workspace", endpoint=named, workspace=workspace))
        return self.azure.prometheus(endpoint)


def open_target(target: str, *, cloud: str, credential: str, identity: str = "") -> Target:
    """Return the way to Azure or to the sandbox, which is started if need be; signs in nowhere yet.

    Args:
        identity: whom to act as on the sandbox: one of its identities, or of its directory; empty
            for whom `MNS_SANDBOX_IDENTITY` names, and else the admin.

    Raises:
        ConfigError: if a word does not exist, `MNS_SANDBOX` names a file that cannot be read, or
            nobody can sign in as that identity.
    """
    from mnslib.azure.client import AzureClient
    from mnslib.azure.clouds import CLOUDS, sandbox_cloud
    from mnslib.azure.credentials import make_credential, sandbox_credential
    from mnslib.azure.throttle import NO_LIMITS
    from mnslib.sandbox.launcher import ensure_running, find_running, is_home

    if _require("target", target, TARGETS) == "azure":
        chosen = CLOUDS[_require("cloud", cloud, tuple(CLOUDS))]
        azure = AzureClient(chosen, make_credential(credential, cloud=chosen))
        return Target(azure=azure, sandbox=None)
    file = sandbox_file()
    sandbox = find_running(file)
    if sandbox is None and os.environ.get(SANDBOX_VARIABLE) and not is_home(file):
        raise ConfigError(message("no_sandbox", variable=SANDBOX_VARIABLE, file=file))
    if sandbox is None:
        tell("Starting the sandbox, which takes some seconds ...")
        sandbox = ensure_running(file.parent)
    # The sandbox has no limits unless told so, and then its 429s are learned from.
    who = identity or os.environ.get(IDENTITY_VARIABLE) or "admin"
    own = sandbox_credential(sandbox_as(sandbox, who), identity=who)
    return Target(azure=AzureClient(sandbox_cloud(sandbox), own, limits=NO_LIMITS), sandbox=sandbox)


def sandbox_as(sandbox: Mapping[str, Any], identity: str) -> Mapping[str, Any]:
    """Return a sandbox's connection whose identities have one of its directory by that name, too.

    Raises:
        ConfigError: if nobody is called so, several are, or a group is.
    """
    from mnslib.sandbox.launcher import control

    if identity in sandbox["identities"]:
        return sandbox
    if identity == NOBODY:
        raise ConfigError(message("no_member"))
    try:
        who = control(sandbox, "POST", "credential", {"principal": identity})
    except ValueError as error:
        raise ConfigError(message("no_identity", why=error)) from error
    return {**sandbox, "identities": {**sandbox["identities"], identity: who}}


def sandbox_file() -> Path:
    """Return the connection file of the sandbox that is used: the one named, else the project's."""
    named = os.environ.get(SANDBOX_VARIABLE)
    return Path(named).absolute() if named else find_project_root() / ".mns" / "connection.json"


def sandbox_files() -> dict[str, Path]:
    """Return the connection file of each sandbox by its name, the one that is used first."""
    root = find_project_root() / ".mns"
    known = {"project": root / "connection.json", "demo": root / "demo" / "connection.json"}
    used = sandbox_file()
    return known if used in known.values() else {SANDBOX_VARIABLE: used, **known}


def sandbox_name(parameters: Mapping[str, Any]) -> str:
    """Return which sandbox a run reads: its name, else its connection file; empty for none.

    Args:
        parameters: of the run; one that analyzes an earlier run reads none.
    """
    if parameters.get("target") != "sandbox" or parameters.get("snapshot_run"):
        return ""
    used = sandbox_file()
    name = next(name for name, file in sandbox_files().items() if file == used)
    return str(used) if name == SANDBOX_VARIABLE else name


def _require(name: str, value: str, known: Sequence[str]) -> str:
    if problem := word_problem(name, value, known):
        raise ConfigError(problem)
    return value
