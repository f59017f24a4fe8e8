"""What a team gets: a pack in `handover/<cluster>/<namespace>/`, kept from git and from others.

Its kubeconfig is merged into one that is there already on demand. A pack goes with its namespace.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any

from filelock import SoftFileLock, Timeout

from mnslib.errors import ConfigError, cut
from mnslib.kube.kubeconfig import merged_kubeconfig, namespace_kubeconfig
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.run.project import find_project_root, message, resolve_path, write_whole
from mnslib.run.targets import IDENTITY_VARIABLE, SANDBOX_VARIABLE, Target, sandbox_file

OWNER_FILE = "cluster-id"
"""Beside a kubeconfig: the cluster it is for, since two clusters may have the same name."""

FILES = ("kubeconfig", "handover.html", "starter.yaml", "request.csv", OWNER_FILE)
"""What a pack may hold."""

LOCK_SECONDS = 10.0
"""How long to wait for another program that writes the same kubeconfig; our choice."""


def write_pack(
    namespace: ManagedNamespaceId,
    target: Target,
    *,
    cloud: str,
    login: str = "",
    identity: str = "",
    beside: Mapping[str, str | bytes] = MappingProxyType({}),
) -> Path:
    """Return the kubeconfig of a namespace, written below the project folder (mode 0600).

    Args:
        login, identity: as `kubeconfig_text` takes them.
        beside: what else goes into the pack, by those of `FILES`.

    Raises:
        ConfigError: if the folder holds the pack of another cluster of the same name.
        MnsError: if Azure gives no kubeconfig.
    """
    folder, owner = _pack(namespace)
    if owner and owner != namespace.cluster.key:
        raise ConfigError(f"{folder} is of another cluster: {owner}. Move it away, then run again.")
    text = kubeconfig_text(namespace, target, cloud=cloud, login=login, identity=identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    files = {OWNER_FILE: f"{namespace.cluster}\n", "kubeconfig": text, **beside}
    for name, content in files.items():
        write_whole(folder / name, content, mode=0o600)
    return folder / "kubeconfig"


def remove_pack(namespace: ManagedNamespaceId) -> None:
    """Remove the pack of a namespace, if there is one of its very cluster; other files stay."""
    try:
        folder, owner = _pack(namespace)
    except ConfigError:  # the library runs without a project as well, and writes no packs there
        return
    if owner == namespace.cluster.key:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):  # somebody may keep something else there
            folder.rmdir()


def _pack(namespace: ManagedNamespaceId) -> tuple[Path, str]:
    """Return the folder of a namespace's pack, and the key of the cluster it is of."""
    cluster = namespace.cluster
    folder = find_project_root() / "handover" / cluster.cluster_name / namespace.namespace_name
    note = folder / OWNER_FILE
    return folder, note.read_text("utf-8").strip().lower() if note.exists() else ""


def kubeconfig_text(
    namespace: ManagedNamespaceId,
    target: Target,
    *,
    cloud: str,
    login: str = "",
    identity: str = "",
) -> str:
    """Return the kubeconfig of a namespace; it holds no secret.

    Args:
        login: the program that shall fetch the team's tokens: `mns`, `kubelogin`, or empty for
            kubelogin, so that a team installs nothing of the platform's. The sandbox has its own.
        identity: whom kubectl signs in as on the sandbox, which has nobody's own sign-in; empty for
            whoever runs it.
    """
    is_sandbox = target.sandbox is not None
    variables = {SANDBOX_VARIABLE: str(sandbox_file())}
    variables |= {IDENTITY_VARIABLE: identity} if identity else {}
    return namespace_kubeconfig(
        target.azure.managed_namespaces.list_credential(namespace),
        cluster_name=namespace.cluster.cluster_name,
        namespace_name=namespace.namespace_name,
        login=login or "kubelogin",
        cloud=cloud,
        sandbox_environment=variables if is_sandbox else None,
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
