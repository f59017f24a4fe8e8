"""What a team gets: `handover/<cluster>/<namespace>/kubeconfig`, kept from git and from others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mnslib.errors import ConfigError
from mnslib.project import find_project_root, write_whole
from mnslib.targets import SANDBOX_VARIABLE, Target, sandbox_file

if TYPE_CHECKING:
    from mnslib.resource_ids import ManagedNamespaceId

OWNER_FILE = "cluster-id"
"""Beside a kubeconfig: the cluster it is for, since two clusters may have the same name."""


def write_pack(
    namespace: ManagedNamespaceId, target: Target, *, cloud: str, credential: str
) -> Path:
    """Return the kubeconfig of a namespace, written below the project folder (mode 0600).

    Raises:
        ConfigError: if the folder holds the pack of another cluster of the same name.
        MnsError: if Azure gives no kubeconfig.
    """
    from mnslib.kube.kubeconfig import namespace_kubeconfig

    cluster = namespace.cluster
    folder = find_project_root() / "handover" / cluster.cluster_name / namespace.namespace_name
    note = folder / OWNER_FILE
    owner = note.read_text("utf-8").strip() if note.exists() else str(cluster)
    if owner.lower() != str(cluster).lower():
        raise ConfigError(f"{folder} is of another cluster: {owner}. Move it away, then run again.")
    text = namespace_kubeconfig(
        target.azure.managed_namespaces.list_credential(namespace),
        cluster_name=cluster.cluster_name,
        namespace_name=namespace.namespace_name,
        credential=credential,
        cloud=cloud,
        target="azure" if target.sandbox is None else "sandbox",
        environment=None if target.sandbox is None else {SANDBOX_VARIABLE: str(sandbox_file())},
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    write_whole(note, f"{cluster}\n", mode=0o600)
    write_whole(folder / "kubeconfig", text, mode=0o600)
    return folder / "kubeconfig"
