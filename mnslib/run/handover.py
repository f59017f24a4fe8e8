"""What a team gets: `handover/<cluster>/<namespace>/kubeconfig`, kept from git and from others.

On demand it is merged into a kubeconfig that is there already.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import SoftFileLock, Timeout

from mnslib.errors import ConfigError, cut
from mnslib.kube.kubeconfig import merged_kubeconfig, namespace_kubeconfig
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.run.project import find_project_root, message, resolve_path, write_whole
from mnslib.run.targets import SANDBOX_VARIABLE, Target, sandbox_file

OWNER_FILE = "cluster-id"
"""Beside a kubeconfig: the cluster it is for, since two clusters may have the same name."""

LOCK_SECONDS = 10.0
"""How long to wait for another program that writes the same kubeconfig; our choice."""


def write_pack(
    namespace: ManagedNamespaceId, target: Target, *, cloud: str, login: str = "mns"
) -> Path:
    """Return the kubeconfig of a namespace, written below the project folder (mode 0600).

    Args:
        login: the program that shall fetch the team's tokens: `mns` or `kubelogin`.

    Raises:
        ConfigError: if the folder holds the pack of another cluster of the same name.
        MnsError: if Azure gives no kubeconfig.
    """
    cluster = namespace.cluster
    folder = find_project_root() / "handover" / cluster.cluster_name / namespace.namespace_name
    note = folder / OWNER_FILE
    owner = note.read_text("utf-8").strip() if note.exists() else str(cluster)
    if owner.lower() != str(cluster).lower():
        raise ConfigError(f"{folder} is of another cluster: {owner}. Move it away, then run again.")
    text = kubeconfig_text(namespace, target, cloud=cloud, login=login)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    write_whole(note, f"{cluster}\n", mode=0o600)
    write_whole(folder / "kubeconfig", text, mode=0o600)
    return folder / "kubeconfig"


def kubeconfig_text(
    namespace: ManagedNamespaceId, target: Target, *, cloud: str, login: str = "mns"
) -> str:
    """Return the kubeconfig of a namespace; it holds no secret."""
    is_sandbox = target.sandbox is not None
    return namespace_kubeconfig(
        target.azure.managed_namespaces.list_credential(namespace),
        cluster_name=namespace.cluster.cluster_name,
        namespace_name=namespace.namespace_name,
        login=login,
        cloud=cloud,
        sandbox_environment={SANDBOX_VARIABLE: str(sandbox_file())} if is_sandbox else None,
    )


def refused_kubeconfig(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter why no kubeconfig can be merged as asked, before anything is done.

    Args:
        asked: all parameters by name; those of a wrong type are passed over.
    """
    named = asked.get("kubeconfig")
    if not isinstance(named, str) or not named:
        return {}
    problem = "it is no path of one file: no list, variable or quotes."
    if not set(named) & {os.pathsep, *";$%\"'"} and named.isprintable() and named == named.strip():
        problem = _unwritable(named)
    said = f"kubeconfig is {cut(named)!r}: {problem} Write ~/.kube/config, or an absolute path."
    return {"kubeconfig": said} if problem else {}


def _unwritable(named: str) -> str:
    """Return why a kubeconfig cannot be written to a path; empty if it can."""
    try:
        place = resolve_path(named).resolve()
        if place.exists():
            place.open("rb").close()
        if named.endswith(os.sep) or (place.exists() and not place.is_file()):
            return f"{place} is no file."
        folder = place.parent
        if not folder.exists() and Path(named).expanduser().is_absolute():
            folder = folder.parent  # one is made, as kubectl makes ~/.kube
        if not folder.is_dir():
            base = "relative paths begin in the project folder"
            return f"there is no folder {place.parent} ({base})."
        with TemporaryFile(dir=folder):
            return ""
    except (OSError, RuntimeError) as error:  # the latter is of links in a circle, or no such home
        return f"it cannot be written: {cut(str(error))}."


def merge_into(file: str, pack: Path) -> Path:
    """Return the kubeconfig that the pack was merged into, whole and with mode 0600.

    Args:
        file: such as `~/.kube/config`; made where it is missing, followed where it is a link.

    Raises:
        ConfigError: if it cannot be merged or is locked; it is unchanged then.
    """
    place, text = resolve_path(file), pack.read_text("utf-8")
    try:
        place = place.resolve()
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with SoftFileLock(f"{place}.lock", timeout=LOCK_SECONDS):
            old = place.read_text("utf-8") if place.exists() else ""
            merged = merged_kubeconfig(old, text) if old.strip() else text
            write_whole(place, merged, mode=0o600)
    except Timeout as error:
        raise ConfigError(message("locked", place=place)) from error
    except (ConfigError, OSError, RuntimeError, UnicodeDecodeError) as error:
        # RuntimeError is pathlib's for links in a circle
        raise ConfigError(f"{place} cannot be merged into: {cut(str(error))}.") from error
    return place
